#include "common/requantize.h"
#include "common/window.h"
#include "esp_dl.h"

/* The sum of output channel `o` for a window that begins at row `h`, column `w` of an image. rows, columns: its taps in
 * the image. */
static int32_t sum_of(const int8_t *image, const esp_dl_conv2d_t *p, int32_t o, int32_t h, int32_t w,
                      esp_dl_taps_t rows, esp_dl_taps_t columns)
{
    const esp_dl_window_t *window = &p->window;
    const int32_t inputs = p->input.c / p->groups, outputs = p->output.c / p->groups; /* of a group */
    const int8_t *weights = p->weights + o * window->kernel_h * window->kernel_w * inputs;
    int32_t sum = p->bias[o];
    if (p->pad_value != 0) {
        sum += p->pad_value * esp_dl_outside(window, rows, columns, weights, inputs, inputs);
    }
    for (int32_t i = rows.first; i < rows.end; i++) {
        for (int32_t j = columns.first; j < columns.end; j++) {
            const int32_t y = h + i * window->dilation_h, x = w + j * window->dilation_w;
            const int8_t *values = image + (y * p->input.w + x) * p->input.c + o / outputs * inputs;
            sum = esp_dl_dot(values, weights + (i * window->kernel_w + j) * inputs, inputs, sum);
        }
    }
    return sum;
}

void esp_dl_conv2d_add_s8(const int8_t *input, const int8_t *addend, const esp_dl_conv2d_add_t *parameters,
                          int8_t *output)
{
    const esp_dl_conv2d_t *p = &parameters->conv2d;
    const esp_dl_window_t *window = &p->window;
    for (int32_t n = 0; n < p->output.n; n++) {
        for (int32_t oh = 0; oh < p->output.h; oh++) {
            const int32_t h = oh * window->stride_h - window->pad_top;
            const esp_dl_taps_t rows = esp_dl_taps(h, window->dilation_h, window->kernel_h, 0, p->input.h);
            for (int32_t ow = 0; ow < p->output.w; ow++) {
                const int32_t w = ow * window->stride_w - window->pad_left;
                const esp_dl_taps_t columns = esp_dl_taps(w, window->dilation_w, window->kernel_w, 0, p->input.w);
                for (int32_t o = 0; o < p->output.c; o++) {
                    const uint32_t more = (uint32_t)(int32_t)*addend++ << parameters->addend_shift[o];
                    const int32_t sum = sum_of(input, p, o, h, w, rows, columns) + (int32_t)more;
                    *output++ = esp_dl_requantize(sum, p->shift[o], p->min, p->max);
                }
            }
        }
        input += p->input.h * p->input.w * p->input.c;
    }
}
