/*
 * Convolution for the vector unit of the ESP32-S3: the way through the image. Rows of output pixels are computed by
 * conv2d_row_esp32s3.S and conv2d_held_esp32s3.S, or conv2d_row_esp32s3.c elsewhere.
 */
#include "common/borders_esp32s3.h"
#include "common/shift_left_esp32s3.h"
#include "convolution/conv2d_row_esp32s3.h"
#include "convolution/gather_windows_esp32s3.h"
#include "convolution/window_energy_esp32s3.h"
#include "esp_dl_esp32s3.h"

/* Pixels whose sums are checked: how many were computed, and how many in vain. */
typedef struct {
    int32_t done, in_vain;
} checked_t;

/* Pixels of a row whose sums are checked; whether they fit. What does not fit was computed in vain. */
static bool fits(const esp_dl_conv2d_row_t *row, checked_t *state)
{
    if (state->in_vain * 32 > state->done) {
        return false;
    }
    if (row->ways->lanes(row) != 0) {
        state->in_vain += row->pixels;
        return false;
    }
    state->done += row->pixels;
    return true;
}

/* Pixels whose sums are checked, computed in one way or the other. */
static void either(const esp_dl_conv2d_row_t *row, checked_t *state)
{
    if (!fits(row, state)) {
        row->ways->parts(row);
        state->done += row->pixels;
    }
}

/*
 * A row whose sums are checked. Pixels with one that is too large for its lane are computed in two parts, and so are
 * the next ones until no more than 1 in 32 was in vain: whatever the data, all together take at most twice the time.
 */
static void checked(const esp_dl_conv2d_row_t *whole, const int8_t **segments, int32_t at_a_time, checked_t *state)
{
    if (whole->pixels <= at_a_time && fits(whole, state)) {
        return;
    }
    esp_dl_conv2d_row_t row = *whole;
    for (int32_t left = row.pixels; left > 0; left -= row.pixels) {
        row.pixels = left < at_a_time ? left : at_a_time;
        either(&row, state);
        for (int32_t s = 0; s < row.segment_count; s++) {
            segments[s] += row.pixels * row.step;
        }
        row.output += row.pixels * row.channels;
    }
}

/*
 * Pixels of a window of 1x1. Where the output overlaps the input, as the memory plan lets it, some pixels are copied
 * before theirs is written: sixteen channels after the other are written while all are still read.
 * copy: memory for `run` pixels
 */
static void runs(esp_dl_conv2d_row_t row, const int8_t **segments, int32_t run, int8_t *copy,
                 void (*compute)(const esp_dl_conv2d_row_t *))
{
    const int32_t bytes = row.segment_bytes, step = row.step;
    const int8_t *input = segments[0];
    const int8_t *input_end = input + row.pixels * step, *output_end = row.output + row.pixels * row.channels;
    if ((uintptr_t)output_end <= (uintptr_t)input || (uintptr_t)row.output >= (uintptr_t)input_end) {
        compute(&row);
        return;
    }
    row.step = bytes;
    for (int32_t left = row.pixels; left > 0; left -= row.pixels) {
        row.pixels = left < run ? left : run;
        esp_dl_copy_pixels(copy, input, bytes, step, row.pixels);
        segments[0] = copy;
        compute(&row);
        input += row.pixels * step;
        row.output += row.pixels * row.channels;
    }
}

/* Pixels of `bytes` bytes each, a multiple of 4, from places `step` bytes apart at multiples of 16, one behind the
 * other. */
static void pack_pixels(int8_t *to, const int8_t *from, int32_t bytes, int32_t step, int32_t pixels)
{
#ifdef ESP_DL_ESP32S3
    void esp_dl_pack_pixels_esp32s3(int8_t * to, const int8_t *from, int32_t count, int32_t from_step, int32_t blocks);
    esp_dl_pack_pixels_esp32s3(to, from, bytes, step, pixels);
#else
    for (; pixels > 0; pixels--, to += bytes, from += step) {
        memcpy(to, from, (size_t)bytes);
    }
#endif
}

/* Pixels of `bytes` bytes each, a multiple of 4, to places `step` bytes apart. */
static void spread_pixels(int8_t *to, const int8_t *from, int32_t bytes, int32_t step, int32_t pixels)
{
    const uint32_t *words = (const uint32_t *)(const void *)from;
    for (; pixels > 0; pixels--, to += step) {
        uint32_t *pixel = (uint32_t *)(void *)to;
        for (int32_t i = bytes / 4; i > 0; i--) {
            *pixel++ = *words++;
        }
    }
}

/* A row of pixels whose channels are no multiple of 16: some at a time are computed in memory at `line` with as many
 * more as make them one. addends: memory for what is added to them */
static void in_lines(esp_dl_conv2d_row_t row, const int8_t **segments, int32_t run, int8_t *line, int8_t *addends,
                     void (*compute)(const esp_dl_conv2d_row_t *))
{
    const int32_t bytes = row.channels;
    const int8_t *addend = (const int8_t *)((intptr_t)row.output + row.addend);
    int8_t *to = row.output;
    row.addend = addends - line;
    row.channels = row.output_step = esp_dl_aligned(bytes);
    row.output = line;
    for (int32_t left = row.pixels; left > 0; left -= row.pixels) {
        row.pixels = left < run ? left : run;
        if (row.factors > 0) {
            spread_pixels(addends, addend, bytes, row.channels, row.pixels);
            addend += row.pixels * bytes;
        }
        compute(&row);
        pack_pixels(to, line, bytes, row.channels, row.pixels);
        to += row.pixels * bytes;
        for (int32_t s = 0; s < row.segment_count; s++) {
            segments[s] += row.pixels * row.step;
        }
    }
}

/* Channels whose weights are read for all pixels of a row before the next ones', where a row is computed in two parts:
 * one pixel after the other would fetch more than the cache holds from flash again and again. */
#define PART_CHANNELS 256

/* A row in two parts. */
static void in_parts(const esp_dl_conv2d_row_t *whole, const int8_t **segments)
{
    if (whole->channels <= PART_CHANNELS) {
        whole->ways->parts(whole);
        return;
    }
    const int32_t count = whole->segment_count, weights = 16 * count * whole->segment_bytes;
    esp_dl_conv2d_row_t row = *whole;
    row.pixels = 1;
    for (int32_t c = 0; c < whole->channels; c += row.channels) {
        const int32_t left = whole->channels - c;
        row.channels = left < PART_CHANNELS ? left : PART_CHANNELS;
        row.output = whole->output + c;
        for (int32_t pixel = 0; pixel < whole->pixels; pixel++) {
            row.ways->parts(&row);
            row.output += whole->channels;
            for (int32_t s = 0; s < count; s++) {
                segments[s] += row.step;
            }
        }
        for (int32_t s = 0; s < count; s++) {
            segments[s] -= whole->pixels * row.step;
        }
        for (int32_t group = 0; group < row.channels; group += 16) {
            const int32_t shifts = row.weights[40 + ESP_DL_LANE_SHIFTS];
            row.weights += 48 + 16 * row.factors + weights + (shifts > 1 ? 16 * shifts : 0);
        }
    }
}

/* The energy of a row of windows. energies: of every row of the window, of which the row of windows before leaves those
 * that both have; first: there is none before */
static int32_t measure(const esp_dl_conv2d_row_t *row, const esp_dl_conv2d_esp32s3_t *p, bool first, int32_t *energies)
{
    const esp_dl_window_t *w = &p->window;
    const bool is_gathered = p->path == ESP_DL_CONV2D_GATHERED;
    const int32_t count = row->segment_count;
    int32_t sum = 0;
    esp_dl_energy_t energy = {
        .vectors = (is_gathered ? row->segment_bytes : p->input.c) / 16,
        .taps = is_gathered ? row->pixels : (row->pixels - 1) * w->stride_w + w->kernel_w,
        .is_wide = !is_gathered && w->kernel_w > 1,
        .half_zero = p->zero >> 1,
    };
    for (int32_t s = 0; s < count; s++) {
        if (!first && s + w->stride_h < count) {
            energies[s] = energies[s + w->stride_h];
        } else {
            energy.input = row->segments[s];
            energies[s] = esp_dl_window_energy_esp32s3(&energy);
        }
        sum += energies[s];
    }
    return sum;
}

/* A row of pixels that are computed at once where their windows hold little, else in two parts. */
__attribute__((noinline)) static void measured(esp_dl_conv2d_row_t row, const esp_dl_conv2d_esp32s3_t *p, bool first,
                                               const int8_t **segments, int32_t *energies)
{
    const bool is_tap = row.segment_count == 1;
    for (int32_t left = row.pixels; left > 0; left -= row.pixels) {
        row.pixels = is_tap && left > p->at_a_time ? p->at_a_time : left;
        if (measure(&row, p, first, energies) > p->most_energy) {
            in_parts(&row, segments);
        } else if (is_tap && row.segment_bytes <= ESP_DL_MAX_HELD) {
            row.ways->one(&row);
        } else if (!is_tap && row.segment_bytes == 48) {
            row.ways->nine(&row);
        } else {
            row.ways->held(&row);
        }
        for (int32_t s = 0; s < row.segment_count; s++) {
            segments[s] += row.pixels * row.step;
        }
        row.output += row.pixels * row.channels;
    }
}

/* Bytes of a window that is put together from this many. */
static int32_t window_bytes(int32_t bytes)
{
    return bytes <= ESP_DL_MAX_HELD ? (bytes + 7) / 8 * 8 : esp_dl_aligned(bytes);
}

/* Windows that have been put together and wait for others: how many, and where their output goes. */
typedef struct {
    int32_t count;
    int8_t *output;
} waiting_t;

/* The pixels of the windows that wait, in memory at `to`. whole: a row of any of them. Not inlined, as `gather`: their
 * variables would take registers from the loop over rows. */
__attribute__((noinline)) static void compute_gathered(const esp_dl_conv2d_row_t *whole,
                                                       const esp_dl_conv2d_esp32s3_t *p, int8_t *to, waiting_t *waiting)
{
    const int8_t *segment = to;
    esp_dl_conv2d_row_t row = *whole;
    row.segment_bytes = row.step = window_bytes(row.segment_count * row.segment_bytes);
    row.segments = &segment;
    row.segment_count = 1;
    row.output = waiting->output;
    row.pixels = waiting->count;
    waiting->count = 0;
    if (p->measured) {
        int32_t energy;
        measured(row, p, true, &segment, &energy);
    } else if (row.segment_bytes <= ESP_DL_MAX_HELD) {
        row.ways->one(&row);
    } else {
        row.ways->held(&row);
    }
}

/* A row of pixels whose windows are put together first, in memory at `to`; when there are `run` of them, also of rows
 * before, they are computed. */
__attribute__((noinline)) static void gather(const esp_dl_conv2d_row_t *row, const esp_dl_conv2d_esp32s3_t *p,
                                             int8_t *to, waiting_t *waiting)
{
    const int32_t run = p->run;
    const int32_t bytes = window_bytes(row->segment_count * row->segment_bytes);
    esp_dl_windows_t windows = {
        .segments = row->segments,
        .segment_count = row->segment_count,
        .segment_bytes = row->segment_bytes,
        .step = row->step,
        .to_step = bytes,
    };
    for (int32_t done = 0; done < row->pixels; done += windows.pixels) {
        if (waiting->count == 0) {
            waiting->output = row->output + done * row->channels;
        }
        const int32_t left = row->pixels - done, room = run - waiting->count;
        windows.pixels = left < room ? left : room;
        windows.to = to + waiting->count * bytes;
        esp_dl_gather_windows_esp32s3(&windows);
        windows.offset += windows.pixels * windows.step;
        waiting->count += windows.pixels;
        if (waiting->count == run) {
            compute_gathered(row, p, to, waiting);
        }
    }
}

/* Rows that all windows of a column of pixels reach over, one behind the other; COLUMNS. */
static int32_t strip_rows(const esp_dl_conv2d_esp32s3_t *p)
{
    return (p->output.h - 1) * p->window.stride_h + p->window.kernel_h;
}

static int32_t strip_bytes(const esp_dl_conv2d_esp32s3_t *p)
{
    return esp_dl_aligned(strip_rows(p) * p->window.kernel_w * p->input.c) + 16;
}

/* Some bytes of a row of the input, and what lies outside of it before and behind them. */
static void fill_row(const int8_t *from, int32_t begin, int32_t stop, int32_t bytes, int8_t outside, int8_t *to)
{
    for (int32_t i = 0; i < bytes; i++) {
        to[i] = i >= begin && i < stop ? from[i] : outside;
    }
}

/* The bytes of the input's columns that the windows of column x of the output reach over, in memory at `strip` that
 * holds what lies outside of the image where there are no rows. */
static void fill_strip(const int8_t *image, const esp_dl_conv2d_esp32s3_t *p, int32_t x, int8_t *strip)
{
    const esp_dl_window_t *w = &p->window;
    const int32_t bytes = w->kernel_w * p->input.c, image_row = p->input.w * p->input.c;
    const int32_t left = (x * w->stride_w - w->pad_left) * p->input.c, room = image_row - left;
    const int32_t begin = left < 0 ? -left : 0, stop = room < bytes ? room : bytes;
    const int32_t first = w->pad_top < 0 ? -w->pad_top : 0, end = strip_rows(p) - w->pad_top;
    const int32_t last = (end < p->input.h ? end : p->input.h) - 1;
    const int8_t *from = image + left;
    int8_t *to = strip + w->pad_top * bytes;
    esp_dl_windows_t windows = {
        .segments = &from,
        .segment_count = 1,
        .segment_bytes = bytes,
        .step = image_row,
        .to_step = bytes,
    };
    if (last < first) {
        return;
    }
    const int32_t is_edge = begin > 0 || stop < bytes, top = first + is_edge;
    windows.offset = top * image_row;
    windows.to = to + top * bytes;
    windows.pixels = last + 1 - is_edge - top;
    if (windows.pixels > 0) {
        esp_dl_gather_windows_esp32s3(&windows);
    }
    if (is_edge) {
        /* Rows between others: what was read of those beside them is written over. */
        for (int32_t i = 0; i < bytes; i++) {
            if (i < begin || i >= stop) {
                int8_t *outside = windows.to + i;
                for (int32_t row = 0; row < windows.pixels; row++, outside += bytes) {
                    *outside = p->pad_value;
                }
            }
        }
        fill_row(from + first * image_row, begin, stop, bytes, p->pad_value, to + first * bytes);
        fill_row(from + last * image_row, begin, stop, bytes, p->pad_value, to + last * bytes);
    }
}

/*
 * A column of pixels after the other: windows of few bytes in a row overlap those above and below. row: the first of
 * the image; strip: memory for the columns
 */
__attribute__((noinline)) static void columns(const int8_t *image, const esp_dl_conv2d_esp32s3_t *p,
                                              esp_dl_conv2d_row_t row, int8_t *strip)
{
    const int8_t *segment = strip;
    row.step = p->window.stride_h * row.segment_bytes;
    row.segment_bytes = window_bytes(row.segment_count * row.segment_bytes);
    row.segments = &segment;
    row.segment_count = 1;
    row.output_step = row.pixels * row.channels;
    row.pixels = p->output.h;
    for (int32_t x = 0; x < p->output.w; x++) {
        fill_strip(image, p, x, strip);
        row.ways->one(&row);
        row.output += row.channels;
    }
}

/* Where things lie in scratch memory, in bytes from its start; first the places of segments. */
typedef struct {
    int32_t sums, pixels, borders, end;
} places_t;

static int32_t segments_of(const esp_dl_conv2d_esp32s3_t *p)
{
    return p->window.kernel_h * (p->by_taps ? p->window.kernel_w : 1);
}

/* Whether channels are computed together with some that are not there, and so in scratch memory. */
static bool has_lines(const esp_dl_conv2d_esp32s3_t *p)
{
    const bool is_held = p->path == ESP_DL_CONV2D_ONE || p->path == ESP_DL_CONV2D_HELD || p->path == ESP_DL_CONV2D_NINE;
    return is_held && p->output.c % 16 != 0;
}

static places_t places_of(const esp_dl_conv2d_esp32s3_t *p)
{
    const bool wide = p->path == ESP_DL_CONV2D_WIDE, is_gathered = p->path == ESP_DL_CONV2D_GATHERED;
    const int32_t window = p->window.kernel_h * p->window.kernel_w * p->input.c;
    places_t places;
    places.sums = esp_dl_aligned(segments_of(p) * 8);
    places.pixels = places.sums + (wide ? esp_dl_aligned(p->output.c * 8) : p->check_bits ? 64 : 0);
    if (p->path == ESP_DL_CONV2D_COLUMNS) {
        places.borders = places.end = places.pixels + strip_bytes(p);
        return places;
    }
    const int32_t pixel = is_gathered ? window_bytes(window) : has_lines(p) ? esp_dl_aligned(p->output.c) : p->input.c;
    places.borders = places.pixels + esp_dl_aligned(p->run * pixel) + is_gathered * 16;
    places.end = places.borders + esp_dl_border_bytes(&p->border, &p->window);
    return places;
}

int32_t esp_dl_conv2d_s8_esp32s3_scratch(const esp_dl_conv2d_esp32s3_t *p)
{
    return places_of(p).end;
}

/* The whole output, a block of channels after the other, so that the weights of each are fetched once. */
static void in_blocks(const int8_t *input, const esp_dl_conv2d_esp32s3_t *p, esp_dl_conv2d_row_t row,
                      esp_dl_borders_t *borders, int32_t images, int32_t rows, const int8_t **segments)
{
    const int32_t pixels = row.pixels, channels = row.channels, per_row = p->by_taps ? p->window.kernel_w : 1;
    int8_t *const output = row.output;
    checked_t state = {0};
    row.pixels = 1;
    for (int32_t c = 0; c < channels; c += p->block) {
        const int8_t *image = input;
        row.channels = channels - c < p->block ? channels - c : p->block;
        row.output = output + c;
        for (int32_t n = 0; n < images; n++) {
            esp_dl_next_image(borders, &p->window);
            for (int32_t y = 0; y < rows; y++) {
                esp_dl_window_rows(image, &p->input, &p->window, borders, per_row, segments);
                for (int32_t pixel = 0; pixel < pixels; pixel++) {
                    if (row.check_bits != 0) {
                        either(&row, &state);
                    } else {
                        row.ways->wide(&row);
                    }
                    row.output += channels;
                    for (int32_t s = 0; s < row.segment_count; s++) {
                        segments[s] += row.step;
                    }
                }
            }
            image += p->input.h * p->input.w * p->input.c;
        }
        row.weights += p->block_bytes;
        row.addend_shift += row.addend_shift != NULL ? row.channels : 0;
    }
}

/* All but what is shifted left at the end. more: of a row, what is added to the sums and how. */
void esp_dl_convolve_esp32s3(const int8_t *input, const esp_dl_conv2d_esp32s3_t *p, const esp_dl_conv2d_row_t *more,
                             void *scratch, int8_t *output)
{
    const esp_dl_window_t *w = &p->window;
    const int32_t per_row = p->by_taps ? w->kernel_w : 1;
    const places_t places = places_of(p);
    int8_t *const memory = scratch, *const pixels = memory + places.pixels;
    const int8_t **segments = scratch;
    _Alignas(16) uint32_t clamp[8];
    esp_dl_clamp_vectors(p->min, p->max, clamp);
    esp_dl_borders_t borders = esp_dl_borders(&p->input, &p->border, w, p->pad_value, memory + places.borders);
    esp_dl_conv2d_row_t row = {
        .segments = segments,
        .segment_count = segments_of(p),
        .segment_bytes = (per_row == 1 ? w->kernel_w : 1) * p->input.c,
        .step = w->stride_w * p->input.c,
        .weights = p->weights,
        .output = output,
        .pixels = p->output.w,
        .channels = p->output.c,
        .min = p->min,
        .max = p->max,
        .vectors = p->vectors,
        .sums = (int64_t *)(void *)(memory + places.sums),
        .check_bits = p->check_bits,
        .check_every = p->check_every,
        .open = p->open,
        .clamp = (const int8_t *)clamp,
        .output_step = p->output.c,
        .addend = more->addend,
        .factors = more->factors,
        .addend_shift = more->addend_shift,
        .ways = more->ways,
        .in_sequence = p->path == ESP_DL_CONV2D_MEASURED || p->measured,
    };
    int32_t images = p->output.n, rows = p->output.h;
    if (p->one_row) {
        row.pixels *= images * rows;
        images = rows = 1;
    }
    if (p->block > 0) {
        in_blocks(input, p, row, &borders, images, rows, segments);
        return;
    }
    if (p->path == ESP_DL_CONV2D_COLUMNS) {
        esp_dl_fill_esp32s3(pixels, p->pad_value, strip_bytes(p) / 16);
        for (int32_t n = 0; n < images; n++) {
            columns(input, p, row, pixels);
            input += p->input.h * p->input.w * p->input.c;
            row.output += rows * row.pixels * row.channels;
        }
        return;
    }
    checked_t state = {0};
    waiting_t waiting = {0};
    int32_t energies[3]; /* MEASURED: of the rows of a window */
    void (*const held)(const esp_dl_conv2d_row_t *) = p->path == ESP_DL_CONV2D_ONE    ? row.ways->one
                                                      : p->path == ESP_DL_CONV2D_NINE ? row.ways->nine
                                                                                      : row.ways->held;
    const bool is_in_lines = has_lines(p);
    for (int32_t n = 0; n < images; n++) {
        esp_dl_next_image(&borders, w);
        for (int32_t y = 0; y < rows; y++) {
            esp_dl_window_rows(input, &p->input, w, &borders, per_row, segments);
            switch (p->path) {
            case ESP_DL_CONV2D_LANES:
                if (row.check_bits != 0) {
                    checked(&row, segments, p->at_a_time, &state);
                } else {
                    row.ways->lanes(&row);
                }
                break;
            case ESP_DL_CONV2D_ONE:
            case ESP_DL_CONV2D_HELD:
            case ESP_DL_CONV2D_NINE:
                if (is_in_lines) {
                    in_lines(row, segments, p->run, pixels, memory + places.end, held);
                } else if (p->run > 0) {
                    runs(row, segments, p->run, pixels, held);
                } else {
                    held(&row);
                }
                break;
            case ESP_DL_CONV2D_GATHERED:
                gather(&row, p, pixels, &waiting);
                break;
            case ESP_DL_CONV2D_THREE:
                esp_dl_conv2d_row_three_esp32s3(&row);
                break;
            case ESP_DL_CONV2D_MEASURED:
                measured(row, p, y == 0, segments, energies);
                break;
            case ESP_DL_CONV2D_COLUMNS:
                break;
            case ESP_DL_CONV2D_WIDE:
                row.ways->wide(&row);
                break;
            }
            row.output += row.pixels * row.channels;
        }
        input += p->input.h * p->input.w * p->input.c;
    }
    if (waiting.count > 0) {
        compute_gathered(&row, p, pixels, &waiting);
    }
}

void esp_dl_conv2d_s8_esp32s3(const int8_t *input, const esp_dl_conv2d_esp32s3_t *p, void *scratch, int8_t *output)
{
    static const esp_dl_conv2d_ways_t ways = {
        esp_dl_conv2d_row_lanes_esp32s3, esp_dl_conv2d_row_one_esp32s3,   esp_dl_conv2d_row_held_esp32s3,
        esp_dl_conv2d_row_nine_esp32s3,  esp_dl_conv2d_row_parts_esp32s3, esp_dl_conv2d_row_wide_esp32s3,
    };
    const esp_dl_conv2d_row_t nothing = {.ways = &ways};
    esp_dl_convolve_esp32s3(input, p, &nothing, scratch, output);
    esp_dl_shift_left_esp32s3(output, p->output.n * p->output.h * p->output.w, p->output.c, p->left, p->left_channels,
                              p->min, p->max);
}
