/*
 * Depthwise convolution for the vector unit of the ESP32-S3: the way through the image. Rows of output pixels are
 * computed by depthwise_conv2d_row_esp32s3.S, or depthwise_conv2d_row_esp32s3.c elsewhere.
 */
#include "common/borders_esp32s3.h"
#include "common/shift_left_esp32s3.h"
#include "convolution/depthwise_conv2d_row_esp32s3.h"
#include "esp_dl_esp32s3.h"

/* Bytes of the places of a window's rows; borders lie behind them. */
static int32_t rows_bytes(const esp_dl_depthwise_conv2d_esp32s3_t *p)
{
    return esp_dl_aligned(p->window.kernel_h * 8);
}

int32_t esp_dl_depthwise_conv2d_s8_esp32s3_scratch(const esp_dl_depthwise_conv2d_esp32s3_t *p)
{
    return rows_bytes(p) + esp_dl_border_bytes(&p->border, &p->window);
}

void esp_dl_depthwise_conv2d_s8_esp32s3(const int8_t *input, const esp_dl_depthwise_conv2d_esp32s3_t *p, void *scratch,
                                        int8_t *output)
{
    const esp_dl_window_t *w = &p->window;
    const int8_t **rows = scratch;
    _Alignas(16) uint32_t clamp[8];
    esp_dl_clamp_vectors(p->min, p->max, clamp);
    esp_dl_borders_t borders =
        esp_dl_borders(&p->input, &p->border, w, p->pad_value, (int8_t *)scratch + rows_bytes(p));
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
        .min_masks = p->min_masks,
        .back = (w->stride_w - 2 * w->dilation_w) * p->input.c,
        .next_input = 16 - p->output.w * w->stride_w * p->input.c,
        .next_output = 16 - p->output.w * p->output.c,
    };
    void (*compute)(const esp_dl_depthwise_row_t *) =
        p->three ? esp_dl_depthwise_conv2d_row_3x3_esp32s3 : esp_dl_depthwise_conv2d_row_esp32s3;
    if (p->pairs) {
        compute = esp_dl_depthwise_conv2d_row_pairs_esp32s3;
        row.pixels /= 2;
        row.step = row.channels = 16;
    }
    const int32_t rows_of_image = p->output.h, output_row = p->output.w * p->output.c;
    for (int32_t n = 0; n < p->output.n; n++) {
        esp_dl_next_image(&borders, w);
        for (int32_t y = 0; y < rows_of_image; y++) {
            esp_dl_window_rows(input, &p->input, w, &borders, 1, rows);
            compute(&row);
            row.output += output_row;
        }
        input += p->input.h * p->input.w * p->input.c;
    }
    esp_dl_shift_left_esp32s3(output, p->output.n * rows_of_image * p->output.w, p->output.c, p->left, p->left_channels,
                              p->min, p->max);
}
