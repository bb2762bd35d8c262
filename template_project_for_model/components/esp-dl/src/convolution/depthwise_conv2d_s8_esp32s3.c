/*
 * Depthwise convolution for the vector unit of the ESP32-S3: the way through the image. Rows of output pixels are
 * computed by depthwise_conv2d_row_esp32s3.S, or depthwise_conv2d_row_esp32s3.c elsewhere.
 */
#include "common/borders_esp32s3.h"
#include "common/shift_left_esp32s3.h"
#include "convolution/depthwise_conv2d_row_esp32s3.h"
#include "esp_dl_esp32s3.h"

/* Rows of the input under the windows of `count` rows of pixels; more than one have no dilation. */
static int32_t rows_under(const esp_dl_window_t *w, int32_t count)
{
    return w->kernel_h + (count - 1) * w->stride_h;
}

/* A window over those of all rows of pixels that are computed at a time. */
static esp_dl_window_t band_of(const esp_dl_depthwise_conv2d_esp32s3_t *p)
{
    esp_dl_window_t band = p->window;
    band.kernel_h = rows_under(&p->window, p->at_once);
    return band;
}

/* Bytes of the places of rows; borders lie behind them. */
static int32_t rows_bytes(const esp_dl_window_t *band)
{
    return esp_dl_aligned(band->kernel_h * 8);
}

/*
 * How windows of 3x3 follow each other. Where the next one is neither one nor two taps further, a row is computed in
 * passes, of every second pixel, or every third and so on, so that it is: returns how many.
 */
static int32_t three_passes(const esp_dl_window_t *w, esp_dl_depthwise_row_t *row)
{
    const int32_t stride = w->stride_w, dilation = w->dilation_w, tap = row->tap_step;
    const bool is_middle = stride == 1 || dilation % 2 == 0; /* the shared tap is the middle one */
    const int32_t passes = is_middle ? dilation / stride : dilation;
    row->shared = is_middle ? tap : 0;
    row->first_step = is_middle ? -tap : tap;
    row->second_step = is_middle ? 2 * tap : tap;
    row->step *= passes;
    row->output_step = passes * row->channels;
    return passes;
}

/*
 * Two pixels are one: a window's second tap lies 8 bytes behind a multiple of 16 where the first and the third lie at
 * one. So it is read from another copy of the row, `twin` bytes further; or they are, where the padding makes it so.
 */
static void pair_pixels(const esp_dl_depthwise_conv2d_esp32s3_t *p, int32_t twin, esp_dl_depthwise_row_t *row)
{
    const bool is_first_in_twin = p->window.pad_left % 2 != 0;
    row->shared = is_first_in_twin ? twin : 0;
    row->first_step = row->tap_step + (is_first_in_twin ? -twin : twin);
    row->second_step = 2 * row->tap_step - row->first_step;
    row->pixels = (row->pixels + 1) / 2;
    row->step = row->output_step = row->channels = 2 * row->tap_step;
}

/* From an address that is a multiple of 8 to another, `bytes` are a multiple of 8. */
static void copy_eights(int8_t *to, const int8_t *from, int32_t bytes)
{
    if ((uintptr_t)to % 16 != 0) {
        memcpy(__builtin_assume_aligned(to, 8), __builtin_assume_aligned(from, 8), 8);
        to += 8, from += 8, bytes -= 8;
    }
    esp_dl_copy_row(to, from, bytes);
}

/* The second copies of the rows from `first` on that have been copied. */
static void copy_twins(const esp_dl_borders_t *b, int32_t first, int32_t twin)
{
    int32_t at = b->copied_at;
    for (int32_t row = b->copied; row > first; row--) {
        at = (at == 0 ? b->ring : at) - b->row_bytes;
        int8_t *copy = b->rows + at + b->left;
        /* Up to a multiple of 16: behind the row lies what is outside, in both. */
        copy_eights(copy + twin, copy, 8 + esp_dl_aligned(b->copied_bytes - 8));
    }
}

/* Bytes of a row of the output that is computed in scratch memory: of pairs, where one is left over. */
static int32_t line_bytes(const esp_dl_depthwise_conv2d_esp32s3_t *p)
{
    return p->pairs && p->output.w % 2 != 0 ? (p->output.w + 1) * p->output.c : 0;
}

/* A row of pixels of 3x3 in passes, which begin `step` bytes apart. */
static void in_passes(const esp_dl_depthwise_row_t *whole, int32_t passes, int32_t step, const int8_t **rows)
{
    esp_dl_depthwise_row_t row = *whole;
    for (int32_t pass = 0; pass < passes && pass < whole->pixels; pass++) {
        row.pixels = (whole->pixels - pass + passes - 1) / passes;
        esp_dl_depthwise_conv2d_rows_3x3_esp32s3(&row);
        row.output += row.channels;
        for (int32_t i = 0; i < 3; i++) {
            rows[i] += step;
        }
    }
}

/* The rows under the windows of the next `count` rows of pixels; band changes. twin: from a row's copy to the other, 0:
 * there is none */
static void next_rows(const int8_t *image, const esp_dl_depthwise_conv2d_esp32s3_t *p, esp_dl_window_t *band,
                      esp_dl_borders_t *borders, int32_t count, int32_t twin, const int8_t **rows)
{
    const int32_t first = borders->copied > borders->top ? borders->copied : borders->top;
    band->kernel_h = rows_under(&p->window, count);
    band->stride_h = count * p->window.stride_h;
    borders->span = esp_dl_window_span(band);
    esp_dl_window_rows(image, &p->input, band, borders, 1, rows);
    if (twin > 0) {
        copy_twins(borders, first, twin);
    }
}

int32_t esp_dl_depthwise_conv2d_s8_esp32s3_scratch(const esp_dl_depthwise_conv2d_esp32s3_t *p)
{
    const esp_dl_window_t band = band_of(p);
    return rows_bytes(&band) + esp_dl_border_bytes(&p->border, &band) + line_bytes(p);
}

void esp_dl_depthwise_conv2d_s8_esp32s3(const int8_t *input, const esp_dl_depthwise_conv2d_esp32s3_t *p, void *scratch,
                                        int8_t *output)
{
    const esp_dl_window_t *w = &p->window;
    esp_dl_window_t band = band_of(p);
    const int8_t **rows = scratch;
    _Alignas(16) uint32_t clamp[8];
    esp_dl_clamp_vectors(p->min, p->max, clamp);
    esp_dl_borders_t borders =
        esp_dl_borders(&p->input, &p->border, &band, p->pad_value, (int8_t *)scratch + rows_bytes(&band));
    esp_dl_depthwise_row_t row = {
        .rows = rows,
        .row_count = w->kernel_h,
        .taps = w->kernel_w,
        .tap_step = w->dilation_w * p->input.c,
        .step = w->stride_w * p->input.c,
        .weights = p->weights,
        .output = output,
        .pixels = p->output.w,
        .channels = p->output.c,
        .clamp = (const int8_t *)clamp,
        .capped = p->max < 127,
        .list_step = w->stride_h * (int32_t)sizeof(*rows),
    };
    void (*compute)(const esp_dl_depthwise_row_t *) = esp_dl_depthwise_conv2d_row_esp32s3;
    int8_t *line = NULL;
    int32_t passes = 1, twin = 0;
    if (p->pairs) {
        twin = p->border.row_bytes / 2;
        const int32_t room = twin - 8 - borders.left;
        borders.copied_bytes = borders.copied_bytes < room ? borders.copied_bytes : room;
        pair_pixels(p, twin, &row);
        compute = esp_dl_depthwise_conv2d_rows_3x3_esp32s3;
        if (line_bytes(p) > 0) {
            line = (int8_t *)scratch + rows_bytes(&band) + esp_dl_border_bytes(&p->border, &band);
        }
    } else if (p->path == ESP_DL_DEPTHWISE_THREE) {
        passes = three_passes(w, &row);
        compute = esp_dl_depthwise_conv2d_rows_3x3_esp32s3;
    } else if (p->path == ESP_DL_DEPTHWISE_FIVE) {
        row.first_step = row.tap_step;
        row.second_step = row.step - 4 * row.tap_step;
        row.output_step = row.channels;
        compute = esp_dl_depthwise_conv2d_rows_5x5_esp32s3;
    }
    const int32_t rows_of_image = p->output.h, output_row = p->output.w * p->output.c;
    for (int32_t n = 0; n < p->output.n; n++) {
        esp_dl_next_image(&borders, w);
        for (int32_t y = 0; y < rows_of_image; y += row.pixel_rows) {
            row.pixel_rows = rows_of_image - y < p->at_once ? rows_of_image - y : p->at_once;
            next_rows(input, p, &band, &borders, row.pixel_rows, twin, rows);
            if (passes > 1) {
                in_passes(&row, passes, w->stride_w * p->input.c, rows);
            } else if (line != NULL) {
                int8_t *const to = row.output;
                row.output = line;
                compute(&row);
                copy_eights(to, line, output_row);
                row.output = to;
            } else {
                compute(&row);
            }
            row.output += row.pixel_rows * output_row;
        }
        input += p->input.h * p->input.w * p->input.c;
    }
    esp_dl_shift_left_esp32s3(output, p->output.n * rows_of_image * p->output.w, p->output.c, p->left, p->left_channels,
                              p->min, p->max);
}
