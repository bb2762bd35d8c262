/*
 * Convolutions of 16-bit values for the vector unit of the ESP32-S3: the way through the image. Rows of output pixels
 * are computed by conv2d_row_s16_esp32s3.S, or conv2d_row_s16_esp32s3.c elsewhere. An input of int8 is widened row by
 * row.
 */
#include "common/borders_esp32s3.h"
#include "convolution/conv2d_row_s16_esp32s3.h"
#include "esp_dl_esp32s3.h"

enum { EIGHT = 8 };

typedef void compute_row_t(const esp_dl_row_s16_t *row);

/* --- scratch memory: places of rows and segments, borders, widened rows, a row of the output ---------------------- */

/* Segments of a window's row: its taps, where they do not follow each other. */
static int32_t per_row(const esp_dl_conv2d_s16_esp32s3_t *p, bool depthwise)
{
    return depthwise || p->window.dilation_w == 1 ? 1 : p->window.kernel_w;
}

static int32_t list_bytes(const esp_dl_conv2d_s16_esp32s3_t *p, bool depthwise)
{
    return esp_dl_aligned(8 * p->window.kernel_h * (1 + per_row(p, depthwise)));
}

/* Sixteens of the values of a row under all windows, where they are widened. */
static int32_t wide_vectors(const esp_dl_conv2d_s16_esp32s3_t *p)
{
    const esp_dl_window_t *w = &p->window;
    const int32_t columns = (p->output.w - 1) * w->stride_w + (w->kernel_w - 1) * w->dilation_w + 1;
    return p->input_s16 ? 0 : (columns * p->input.c + 15) / 16;
}

static int32_t output_size(const esp_dl_conv2d_s16_esp32s3_t *p)
{
    return p->output_s16 ? 2 : 1;
}

static int32_t blocks_of(const esp_dl_conv2d_s16_esp32s3_t *p)
{
    return (p->output.c + EIGHT - 1) / EIGHT;
}

/* Bytes from a pixel to the next where a row is computed in scratch memory; 0: it is computed in the output. */
static int32_t line_step(const esp_dl_conv2d_s16_esp32s3_t *p)
{
    return p->output.c % EIGHT == 0 ? 0 : esp_dl_aligned(blocks_of(p) * EIGHT * output_size(p));
}

static int32_t scratch_bytes(const esp_dl_conv2d_s16_esp32s3_t *p, bool depthwise)
{
    return list_bytes(p, depthwise) + esp_dl_border_bytes(&p->border, &p->window) +
           32 * wide_vectors(p) * p->window.kernel_h + line_step(p) * p->output.w;
}

/* --- rows --------------------------------------------------------------------------------------------------------- */

static void widen(const int8_t *from, int32_t vectors, int8_t *to)
{
#ifdef ESP_DL_ESP32S3
    esp_dl_widen_esp32s3(from, vectors, (int16_t *)to);
#else
    for (int32_t i = 0; i < 16 * vectors; i++) {
        const int16_t value = from[i];
        memcpy(to + 2 * i, &value, sizeof(value));
    }
#endif
}

/* The pixels of a row, `step` bytes apart in scratch memory, one behind the other. */
static void pack_pixels(const int8_t *line, int32_t step, int32_t bytes, int32_t pixels, int8_t *output)
{
#ifdef ESP_DL_ESP32S3
    void esp_dl_pack_pixels_esp32s3(int8_t * to, const int8_t *from, int32_t bytes, int32_t step, int32_t blocks);
    if (bytes % 4 == 0) {
        esp_dl_pack_pixels_esp32s3(output, line, bytes, step, pixels);
        return;
    }
#endif
    for (; pixels > 0; pixels--, line += step, output += bytes) {
        for (int32_t i = 0; i < bytes; i++) {
            output[i] = line[i];
        }
    }
}

/* addend: NULL without */
static void convolve(const int8_t *input, const int8_t *addend, bool addend_s16, const esp_dl_conv2d_s16_esp32s3_t *p,
                     bool depthwise, compute_row_t *compute, int8_t *scratch, int8_t *output)
{
    const esp_dl_window_t *w = &p->window;
    const int32_t size = p->input_s16 ? 2 : 1, vectors = wide_vectors(p), taps = per_row(p, depthwise);
    const int8_t **rows = (const int8_t **)(void *)scratch, **segments = rows + w->kernel_h;
    const esp_dl_shape_t image = {p->input.n, p->input.h, p->input.w, p->input.c * size};
    int8_t *const borders_at = scratch + list_bytes(p, depthwise);
    int8_t *const wide = borders_at + esp_dl_border_bytes(&p->border, w);
    int8_t *const line = wide + 32 * vectors * w->kernel_h;
    esp_dl_borders_t borders = esp_dl_borders(&image, &p->border, w, p->pad_value, borders_at);
    const int32_t tap_step = 2 * w->dilation_w * p->input.c, filter = taps > 1 ? 1 : w->kernel_w;
    const int32_t pixel_bytes = p->output.c * output_size(p), row_bytes = p->output.w * pixel_bytes;
    esp_dl_row_s16_t row = {
        .rows = segments,
        .segments = w->kernel_h * taps,
        .count = depthwise ? w->kernel_w : (filter * p->input.c + EIGHT - 1) / EIGHT,
        .tap_step = tap_step,
        .step = 2 * w->stride_w * p->input.c,
        .weights = p->weights,
        .output_step = line_step(p) > 0 ? line_step(p) : pixel_bytes,
        .pixels = p->output.w,
        .blocks = blocks_of(p),
        .aligned = p->input.c % EIGHT == 0,
        .narrow = !p->output_s16,
        .min = p->min,
        .max = p->max,
        .addend = addend,
        .addend_step = p->output.c * (addend_s16 ? 2 : 1),
        .addend_s16 = addend_s16,
    };
    for (int32_t n = 0; n < p->output.n; n++) {
        esp_dl_next_image(&borders, w);
        for (int32_t y = 0; y < p->output.h; y++, output += row_bytes) {
            esp_dl_window_rows(input, &image, w, &borders, 1, rows);
            for (int32_t i = 0; i < w->kernel_h; i++) {
                const int8_t *start = rows[i];
                if (vectors > 0) {
                    start = wide + 32 * vectors * i;
                    widen(rows[i], vectors, wide + 32 * vectors * i);
                }
                for (int32_t tap = 0; tap < taps; tap++) {
                    segments[i * taps + tap] = start + tap * tap_step;
                }
            }
            row.output = line_step(p) > 0 ? line : output;
            compute(&row);
            if (line_step(p) > 0) {
                pack_pixels(line, line_step(p), pixel_bytes, p->output.w, output);
            }
            row.addend += addend == NULL ? 0 : p->output.w * row.addend_step;
        }
        input += image.h * image.w * image.c;
    }
}

/* --- kernels ------------------------------------------------------------------------------------------------------ */

int32_t esp_dl_conv2d_s16_esp32s3_scratch(const esp_dl_conv2d_s16_esp32s3_t *p)
{
    return scratch_bytes(p, false);
}

void esp_dl_conv2d_s16_esp32s3(const void *input, const esp_dl_conv2d_s16_esp32s3_t *p, void *scratch, void *output)
{
    convolve(input, NULL, false, p, false, esp_dl_conv2d_row_s16_esp32s3, scratch, output);
}

int32_t esp_dl_conv2d_add_s16_esp32s3_scratch(const esp_dl_conv2d_add_s16_esp32s3_t *p)
{
    return scratch_bytes(&p->conv2d, false);
}

void esp_dl_conv2d_add_s16_esp32s3(const void *input, const void *addend, const esp_dl_conv2d_add_s16_esp32s3_t *p,
                                   void *scratch, void *output)
{
    convolve(input, addend, p->addend_s16, &p->conv2d, false, esp_dl_conv2d_row_add_s16_esp32s3, scratch, output);
}

int32_t esp_dl_depthwise_conv2d_s16_esp32s3_scratch(const esp_dl_conv2d_s16_esp32s3_t *p)
{
    return scratch_bytes(p, true);
}

void esp_dl_depthwise_conv2d_s16_esp32s3(const void *input, const esp_dl_conv2d_s16_esp32s3_t *p, void *scratch,
                                         void *output)
{
    compute_row_t *const compute =
        p->three ? esp_dl_depthwise_conv2d_row_3x3_s16_esp32s3 : esp_dl_depthwise_conv2d_row_s16_esp32s3;
    convolve(input, NULL, false, p, true, compute, scratch, output);
}
