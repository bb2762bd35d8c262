#include "common/requantize.h"
#include "common/window.h"
#include "esp_dl.h"

#include <stddef.h>

void esp_dl_depthwise_conv2d_s8(const int8_t *input, const esp_dl_depthwise_conv2d_t *p, int8_t *output)
{
    const esp_dl_window_t *window = &p->window;
    const int32_t channels = p->input.c, outputs = p->output.c, multiplier = outputs / channels;
    const int32_t min = p->min, max = p->max;
    const ptrdiff_t column = (ptrdiff_t)window->dilation_w * channels;
    const ptrdiff_t line = (ptrdiff_t)window->dilation_h * p->input.w * channels;
    for (int32_t n = 0; n < p->output.n; n++) {
        for (int32_t oh = 0; oh < p->output.h; oh++) {
            const int32_t h = oh * window->stride_h - window->pad_top;
            const esp_dl_taps_t rows = esp_dl_taps(h, window->dilation_h, window->kernel_h, 0, p->input.h);
            for (int32_t ow = 0; ow < p->output.w; ow++) {
                const int32_t w = ow * window->stride_w - window->pad_left;
                const esp_dl_taps_t columns = esp_dl_taps(w, window->dilation_w, window->kernel_w, 0, p->input.w);
                const int32_t in_columns = columns.end - columns.first;
                const ptrdiff_t start = ((ptrdiff_t)h * p->input.w + w) * channels;
                const int8_t *x_first = input + start + rows.first * line + columns.first * column;
                const int8_t *w_first = p->weights + (rows.first * window->kernel_w + columns.first) * outputs;
                const bool leaves = p->pad_value != 0 && esp_dl_leaves(window, rows, columns);
                int32_t filters = multiplier; /* of this input channel, still to come */
                for (int32_t o = 0; o < outputs; o++) {
                    int32_t sum = p->bias[o];
                    if (leaves) {
                        sum += p->pad_value * esp_dl_outside(window, rows, columns, p->weights + o, outputs, 1);
                    }
                    const int8_t *x_row = x_first, *w_row = w_first++;
                    for (int32_t i = rows.first; i < rows.end; i++) {
                        const int8_t *x = x_row, *weight = w_row;
                        for (int32_t j = in_columns; j > 0; j--, x += column, weight += outputs) {
                            sum += *x * *weight;
                        }
                        x_row += line;
                        w_row += window->kernel_w * outputs;
                    }
                    *output++ = esp_dl_requantize(sum, p->shift[o], min, max);
                    if (--filters == 0) {
                        filters = multiplier;
                        x_first++;
                    }
                }
            }
        }
        input += (ptrdiff_t)p->input.h * p->input.w * channels;
    }
}
