/*
 * Convolution with few outputs for the vector unit of the ESP32-S3. Rows of output pixels are computed by
 * conv2d_row_few_esp32s3.S, elsewhere in C, from the same data.
 */
#include "common/borders_esp32s3.h"
#include "common/requantize.h"
#include "common/shift_left_esp32s3.h"
#include "convolution/conv2d_row_few_esp32s3.h"
#include "esp_dl_esp32s3.h"

#ifndef ESP_DL_ESP32S3

void esp_dl_conv2d_row_few_esp32s3(const esp_dl_row_few_t *row)
{
    enum { HEAD = 16 };
    int8_t *output = row->output;
    const int32_t length = 16 * row->vectors;
    for (int32_t pixel = 0; pixel < row->pixels; pixel++) {
        const int8_t *weights = row->weights;
        for (int32_t o = 0; o < row->outputs; o++) {
            int32_t sum;
            memcpy(&sum, weights, sizeof(sum));
            const int32_t shift = weights[8];
            weights += HEAD;
            for (int32_t i = 0; i < row->segments; i++, weights += length) {
                const int8_t *x = row->rows[i] + pixel * row->step;
                for (int32_t k = 0; k < length; k++) {
                    sum += x[k] * weights[k];
                }
            }
            *output++ = esp_dl_requantize(sum, shift, row->min, row->max);
        }
    }
}

#endif

/* Segments of a window's row: its taps, where they do not follow each other. */
static int32_t per_row(const esp_dl_conv2d_few_esp32s3_t *p)
{
    return p->window.dilation_w == 1 ? 1 : p->window.kernel_w;
}

static int32_t list_bytes(const esp_dl_conv2d_few_esp32s3_t *p)
{
    return esp_dl_aligned(8 * p->window.kernel_h * per_row(p));
}

int32_t esp_dl_conv2d_s8_few_esp32s3_scratch(const esp_dl_conv2d_few_esp32s3_t *p)
{
    return list_bytes(p) + esp_dl_border_bytes(&p->border, &p->window);
}

void esp_dl_conv2d_s8_few_esp32s3(const int8_t *input, const esp_dl_conv2d_few_esp32s3_t *p, void *scratch,
                                  int8_t *output)
{
    const esp_dl_window_t *w = &p->window;
    const int8_t **rows = scratch;
    esp_dl_borders_t borders =
        esp_dl_borders(&p->input, &p->border, w, p->pad_value, (int8_t *)scratch + list_bytes(p));
    esp_dl_row_few_t row = {
        .rows = rows,
        .segments = w->kernel_h * per_row(p),
        .vectors = w->kernel_w / per_row(p) * p->input.c / 16,
        .step = w->stride_w * p->input.c,
        .weights = p->weights,
        .output = output,
        .outputs = p->output.c,
        .pixels = p->output.w,
        .min = p->min,
        .max = p->max,
    };
    for (int32_t n = 0; n < p->output.n; n++) {
        esp_dl_next_image(&borders, w);
        for (int32_t y = 0; y < p->output.h; y++) {
            esp_dl_window_rows(input, &p->input, w, &borders, per_row(p), rows);
            esp_dl_conv2d_row_few_esp32s3(&row);
            row.output += p->output.w * p->output.c;
        }
        input += p->input.h * p->input.w * p->input.c;
    }
    esp_dl_shift_left_esp32s3(output, p->output.n * p->output.h * p->output.w, p->output.c, p->left, p->left_channels,
                              p->min, p->max);
}
