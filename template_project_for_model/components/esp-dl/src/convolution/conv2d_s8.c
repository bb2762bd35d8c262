#include "common/requantize.h"
#include "common/window.h"
#include "esp_dl.h"

#include <stddef.h>

void esp_dl_conv2d_s8(const int8_t *input, const esp_dl_conv2d_t *p, int8_t *output)
{
    const esp_dl_window_t *window = &p->window;
    const int32_t channels = p->input.c / p->groups;       /* that a filter reads */
    const int32_t group_outputs = p->output.c / p->groups; /* filters of a group */
    const int32_t filter_size = window->kernel_h * window->kernel_w * channels;
    const int32_t min = p->min, max = p->max;
    const ptrdiff_t column = (ptrdiff_t)window->dilation_w * p->input.c;
    const ptrdiff_t line = (ptrdiff_t)window->dilation_h * p->input.w * p->input.c;
    for (int32_t n = 0; n < p->output.n; n++) {
        for (int32_t oh = 0; oh < p->output.h; oh++) {
            const int32_t h = oh * window->stride_h - window->pad_top;
            const esp_dl_taps_t rows = esp_dl_taps(h, window->dilation_h, window->kernel_h, 0, p->input.h);
            for (int32_t ow = 0; ow < p->output.w; ow++) {
                const int32_t w = ow * window->stride_w - window->pad_left;
                const esp_dl_taps_t columns = esp_dl_taps(w, window->dilation_w, window->kernel_w, 0, p->input.w);
                int32_t in_columns = columns.end - columns.first, count = channels;
                if (column == channels) { /* one group: a row of the window lies side by side */
                    count *= in_columns;
                    in_columns = in_columns > 0;
                }
                const ptrdiff_t start = ((ptrdiff_t)h * p->input.w + w) * p->input.c;
                const int8_t *x_first = input + start + rows.first * line + columns.first * column;
                const int8_t *w_first = p->weights + (rows.first * window->kernel_w + columns.first) * channels;
                int32_t filters = group_outputs; /* of this group, still to come */
                for (int32_t o = 0; o < p->output.c; o++) {
                    int32_t sum = p->bias[o];
                    const int8_t *x_row = x_first, *w_row = w_first;
                    for (int32_t i = rows.first; i < rows.end; i++) {
                        const int8_t *x = x_row, *weights = w_row;
                        for (int32_t j = in_columns; j > 0; j--, x += column, weights += channels) {
                            sum = esp_dl_dot(x, weights, count, sum);
                        }
                        x_row += line;
                        w_row += window->kernel_w * channels;
                    }
                    *output++ = esp_dl_requantize(sum, p->shift[o], min, max);
                    w_first += filter_size;
                    if (--filters == 0) {
                        filters = group_outputs;
                        x_first += channels;
                    }
                }
            }
        }
        input += (ptrdiff_t)p->input.h * p->input.w * p->input.c;
    }
}
