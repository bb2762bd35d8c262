/*
 * Pooling for the vector unit of the ESP32-S3: the way through the image. Rows of output pixels are computed by
 * pool2d_row_esp32s3.S, or pool2d_row_esp32s3.c elsewhere.
 */
#include "common/borders_esp32s3.h"
#include "esp_dl_esp32s3.h"
#include "pooling/counted.h"
#include "pooling/pool2d_row_esp32s3.h"

#include <string.h>

static esp_dl_pool2d_row_t row_of(const esp_dl_pool2d_t *p, const uint32_t *clamp, void *scratch, int8_t *output)
{
    const esp_dl_window_t *w = &p->window;
    return (esp_dl_pool2d_row_t){
        .rows = scratch,
        .row_count = w->kernel_h,
        .taps = w->kernel_w,
        .tap_step = w->dilation_w * p->input.c,
        .step = w->stride_w * p->input.c,
        .output = output,
        .pixels = p->output.w,
        .channels = p->output.c,
        .clamp = (const int8_t *)clamp,
        .back = (w->stride_w - (w->kernel_w - 1) * w->dilation_w) * p->input.c,
        .next_input = 16 - p->output.w * w->stride_w * p->input.c,
        .next_output = 16 - p->output.w * p->output.c,
    };
}

/* Bytes of averages for their sums. */
#define SUM_BYTES 64

/* Bytes of the places of a window's rows; what averages need lies behind them, and borders behind that. */
static int32_t rows_bytes(const esp_dl_pool2d_esp32s3_t *p)
{
    return esp_dl_aligned(p->pool.window.kernel_h * 8);
}

int32_t esp_dl_max_pool2d_s8_esp32s3_scratch(const esp_dl_pool2d_esp32s3_t *p)
{
    return rows_bytes(p) + esp_dl_border_bytes(&p->border, &p->pool.window);
}

int32_t esp_dl_average_pool2d_s8_esp32s3_scratch(const esp_dl_pool2d_esp32s3_t *p)
{
    return esp_dl_max_pool2d_s8_esp32s3_scratch(p) + SUM_BYTES;
}

/* How the maxima of a row of pixels are computed. any, two, three: windows of any size, of 2x2, of 3x3 */
typedef struct {
    void (*any)(const esp_dl_pool2d_row_t *);
    void (*two)(const esp_dl_pool2d_row_t *);
    void (*three)(const esp_dl_pool2d_row_t *);
} maxima_t;

/* p: the layer with a channel for every byte; outside: the vector that lies outside of the image, NULL: of INT8_MIN */
static void max_pool(const int8_t *input, const esp_dl_pool2d_esp32s3_t *all, const esp_dl_pool2d_t *p,
                     const maxima_t *maxima, const uint32_t clamp[8], const void *outside, void *scratch,
                     int8_t *output)
{
    const esp_dl_window_t *w = &p->window;
    const int8_t **rows = scratch;
    int8_t *const borders_at = (int8_t *)scratch + rows_bytes(all);
    esp_dl_borders_t borders = esp_dl_borders(&p->input, &all->border, w, INT8_MIN, borders_at);
    if (outside != NULL) {
        const int32_t bytes = esp_dl_border_bytes(&all->border, w);
        for (int32_t i = 0; i < bytes; i += 16) {
            memcpy(borders_at + i, outside, 16);
        }
    }
    esp_dl_pool2d_row_t row = row_of(p, clamp, scratch, output);
    void (*compute)(const esp_dl_pool2d_row_t *) = maxima->any;
    if (all->square != 0) {
        compute = all->square == 2 ? maxima->two : maxima->three;
    }
    for (int32_t n = 0; n < p->output.n; n++) {
        esp_dl_next_image(&borders, w);
        for (int32_t y = 0; y < p->output.h; y++) {
            esp_dl_window_rows(input, &p->input, w, &borders, 1, rows);
            compute(&row);
            row.output += p->output.w * p->output.c;
        }
        input += p->input.h * p->input.w * p->input.c;
    }
}

void esp_dl_max_pool2d_s8_esp32s3(const int8_t *input, const esp_dl_pool2d_esp32s3_t *p, void *scratch, int8_t *output)
{
    static const maxima_t maxima = {esp_dl_max_pool2d_row_esp32s3, esp_dl_max_pool2d_row_2x2_esp32s3,
                                    esp_dl_max_pool2d_row_3x3_esp32s3};
    _Alignas(16) uint32_t clamp[8];
    esp_dl_clamp_vectors((int8_t)p->pool.min, (int8_t)p->pool.max, clamp);
    max_pool(input, p, &p->pool, &maxima, clamp, NULL, scratch, output);
}

int32_t esp_dl_max_pool2d_s16_esp32s3_scratch(const esp_dl_pool2d_esp32s3_t *p)
{
    return esp_dl_max_pool2d_s8_esp32s3_scratch(p);
}

void esp_dl_max_pool2d_s16_esp32s3(const int16_t *input, const esp_dl_pool2d_esp32s3_t *p, void *scratch,
                                   int16_t *output)
{
    static const maxima_t maxima = {esp_dl_max_pool2d_s16_row_esp32s3, esp_dl_max_pool2d_s16_row_2x2_esp32s3,
                                    esp_dl_max_pool2d_s16_row_3x3_esp32s3};
    _Alignas(16) uint32_t clamp[8];
    for (int i = 0; i < 4; i++) {
        clamp[i] = (uint16_t)p->pool.min * 0x00010001u;
        clamp[4 + i] = (uint16_t)p->pool.max * 0x00010001u;
    }
    esp_dl_pool2d_t bytes = p->pool;
    bytes.input.c *= 2;
    bytes.output.c *= 2;
    /* Maxima begin with the lower bound. */
    max_pool((const int8_t *)input, p, &bytes, &maxima, clamp, clamp, scratch, (int8_t *)output);
}

/* Of sixteen channels between strips. */
#define LANE_BYTES 48

int32_t esp_dl_average_pool2d_s8_rows_esp32s3_scratch(const esp_dl_average_rows_t *p)
{
    return p->pool.input.c / 16 * LANE_BYTES + SUM_BYTES;
}

/* Of the `kernel` taps from `first` on, how many lie in low..high - 1. */
static int32_t taps_within(int32_t first, int32_t kernel, int32_t dilation, int32_t low, int32_t high)
{
    int32_t count = 0;
    for (int32_t i = 0; i < kernel; i++, first += dilation) {
        count += first >= low && first < high;
    }
    return count;
}

/* How many of the `pixels` from x on have windows in which as many columns count: `count` of them. */
static int32_t alike(const esp_dl_window_t *w, int32_t x, int32_t pixels, int32_t left, int32_t right, int32_t *count)
{
    int32_t first = x * w->stride_w - w->pad_left, same = 1;
    *count = taps_within(first, w->kernel_w, w->dilation_w, left, right);
    for (; same < pixels; same++) {
        first += w->stride_w;
        if (taps_within(first, w->kernel_w, w->dilation_w, left, right) != *count) {
            break;
        }
    }
    return same;
}

/* How the sums of windows with n counted taps become results: floor(sum * 2^-shift / n + 1/2). */
static void divide_by(esp_dl_pool2d_row_t *row, int32_t n, int32_t shift, int32_t taps, uint32_t start[10])
{
    int32_t divisor = shift > 0 ? n * ((int32_t)1 << shift) : n;
    row->factor = shift < 0 ? (int32_t)1 << -shift : 1;
    while (row->factor > 1 && divisor % 2 == 0) {
        row->factor /= 2;
        divisor /= 2;
    }
    row->shift = 0;
    row->reciprocal = 0;
    /* A half, as far as whole numbers see it. */
    uint32_t value = (uint32_t)(divisor / 2);
    if ((divisor & (divisor - 1)) == 0) {
        while ((int32_t)1 << row->shift < divisor) {
            row->shift++;
        }
    } else {
        /* Rounded up; exact for sums below 2^20 and divisors below 2^12, which have no remainder that small. */
        row->reciprocal = UINT32_MAX / (uint32_t)divisor + 1;
        row->offset_result = (128 * taps * row->factor + divisor - 1) / divisor;
        value += (uint32_t)(row->offset_result * divisor);
    }
    /* Eight lanes of 20 bits, and the same again. */
    const uint32_t words[5] = {value | value << 20, value >> 12 | value << 8 | value << 28, value >> 4 | value << 16,
                               value >> 16 | value << 4 | value << 24, value >> 8 | value << 12};
    for (int i = 0; i < 4; i++) {
        start[i] = start[4 + i] = words[i];
    }
    start[8] = start[9] = words[4];
}

void esp_dl_average_pool2d_s8_esp32s3(const int8_t *input, const esp_dl_pool2d_esp32s3_t *all, void *scratch,
                                      int8_t *output)
{
    const esp_dl_pool2d_t *p = &all->pool;
    const esp_dl_window_t *w = &p->window;
    const int8_t **rows = scratch;
    int8_t *free = (int8_t *)scratch + rows_bytes(all);
    _Alignas(16) uint32_t clamp[8], start[12];
    esp_dl_clamp_vectors(p->min, p->max, clamp);
    esp_dl_borders_t borders = esp_dl_borders(&p->input, &all->border, w, 0, free + SUM_BYTES);
    esp_dl_pool2d_row_t row = row_of(p, clamp, scratch, output);
    row.start = start;
    row.scratch = free;
    const int32_t taps = w->kernel_h * w->kernel_w;
    const bool inside = !all->border.outside && !all->border.copied;
    if (inside && w->kernel_w == p->input.w && w->dilation_h == 1) {
        /* The rows of a window lie one behind the other. */
        row.row_count = 1;
        row.taps = taps;
        row.tap_step = p->input.c; /* with one column its dilation means nothing */
    }
    const esp_dl_counted_t counted = esp_dl_counted(p);
    int32_t last_count = -1;
    for (int32_t n = 0; n < p->output.n; n++) {
        esp_dl_next_image(&borders, w);
        for (int32_t y = 0; y < p->output.h; y++) {
            const int32_t first = y * w->stride_h - w->pad_top;
            const int32_t count_h =
                inside ? w->kernel_h : taps_within(first, w->kernel_h, w->dilation_h, counted.top, counted.bottom);
            esp_dl_window_rows(input, &p->input, w, &borders, 1, rows);
            row.offset = 0;
            for (int32_t x = 0; x < p->output.w; x += row.pixels) {
                int32_t count_w = w->kernel_w;
                row.pixels = p->output.w - x;
                if (!inside) {
                    row.pixels = alike(w, x, row.pixels, counted.left, counted.right, &count_w);
                }
                const int32_t count = count_h * count_w;
                if (count != last_count) {
                    divide_by(&row, count > 0 ? count : 1, p->shift, taps, start);
                    last_count = count;
                }
                esp_dl_average_pool2d_row_esp32s3(&row);
                row.offset += row.pixels * row.step;
                row.output += row.pixels * row.channels;
            }
        }
        input += p->input.h * p->input.w * p->input.c;
    }
}

void esp_dl_average_pool2d_s8_rows_esp32s3(const int8_t *input, const esp_dl_average_rows_t *all, void *scratch,
                                           int8_t *output)
{
    const esp_dl_pool2d_t *p = &all->pool;
    const int32_t channels = p->input.c, words = LANE_BYTES / 4;
    int8_t *free = scratch;
    uint32_t *sums = (uint32_t *)(void *)(free + SUM_BYTES);
    _Alignas(16) uint32_t clamp[8], start[12] = {0};
    esp_dl_clamp_vectors(p->min, p->max, clamp);
    esp_dl_pool2d_row_t row = {
        .rows = &input,
        .row_count = 1,
        .taps = p->input.h * p->input.w,
        .tap_step = channels,
        .start = sums,
        .pixels = 1,
        .channels = channels,
        .clamp = (const int8_t *)clamp,
        .scratch = free,
    };
    divide_by(&row, all->pixels, p->shift, all->pixels, start);
    if (all->begins) {
        for (int32_t c = 0; c < channels; c += 16) {
            memcpy(sums + c / 16 * words, start, LANE_BYTES);
        }
    }
    if (!all->ends) {
        esp_dl_average_pool2d_sums_esp32s3(&row);
        return;
    }
    row.channels = 16;
    for (; row.offset < channels; row.offset += 16, row.start += words) {
        row.output = output + row.offset;
        esp_dl_average_pool2d_row_esp32s3(&row);
    }
}
