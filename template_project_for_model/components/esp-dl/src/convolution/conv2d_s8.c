#include "common/window.h"
#include "convolution/pixel.h"

/* All output channels of a pixel whose window leaves the image, where `pad_value` is not 0. start: of the window, from
 * the image's first value. */
static void border_pixel(const int8_t *image, ptrdiff_t start, const esp_dl_conv2d_t *p, const esp_dl_reach_t *reach,
                         esp_dl_taps_t rows, esp_dl_taps_t columns, int8_t *output)
{
    const esp_dl_window_t *window = &p->window;
    const int32_t inputs = p->input.c / p->groups, outputs = p->output.c / p->groups; /* of a group */
    const int8_t *w = p->weights;
    for (int32_t o = 0; o < p->output.c; o++) {
        int32_t sum = p->bias[o] + p->pad_value * esp_dl_outside(window, rows, columns, w, inputs, inputs);
        for (int32_t i = rows.first; i < rows.end; i++) {
            for (int32_t j = columns.first; j < columns.end; j++) {
                const int8_t *x = image + (start + i * reach->x_row + j * reach->x_column + o / outputs * inputs);
                sum = esp_dl_dot(x, w + (i * window->kernel_w + j) * inputs, inputs, sum);
            }
        }
        output[o] = esp_dl_requantize(sum, p->shift[o], p->min, p->max);
        w += window->kernel_h * window->kernel_w * inputs;
    }
}

void esp_dl_conv2d_s8(const int8_t *input, const esp_dl_conv2d_t *p, int8_t *output)
{
    const esp_dl_window_t *window = &p->window;
    const int32_t channels = p->input.c / p->groups; /* that a filter reads */
    esp_dl_reach_t reach = {
        .x_row = (ptrdiff_t)window->dilation_h * p->input.w * p->input.c,
        .x_column = (ptrdiff_t)window->dilation_w * p->input.c,
        .w_row = (ptrdiff_t)window->kernel_w * channels,
        .w_column = channels,
    };
    for (int32_t n = 0; n < p->output.n; n++) {
        for (int32_t oh = 0; oh < p->output.h; oh++) {
            const int32_t h = oh * window->stride_h - window->pad_top;
            const esp_dl_taps_t rows = esp_dl_taps(h, window->dilation_h, window->kernel_h, 0, p->input.h);
            reach.rows = rows.end - rows.first;
            for (int32_t ow = 0; ow < p->output.w; ow++) {
                const int32_t w = ow * window->stride_w - window->pad_left;
                const esp_dl_taps_t columns = esp_dl_taps(w, window->dilation_w, window->kernel_w, 0, p->input.w);
                const ptrdiff_t start = ((ptrdiff_t)h * p->input.w + w) * p->input.c;
                if (p->pad_value != 0 && esp_dl_leaves(window, rows, columns)) {
                    border_pixel(input, start, p, &reach, rows, columns, output);
                    output += p->output.c;
                    continue;
                }
                reach.columns = columns.end - columns.first;
                reach.count = channels;
                if (reach.x_column == channels) { /* one group: a row of the window lies side by side */
                    reach.count *= reach.columns;
                    reach.columns = 1;
                }
                const int8_t *x = input + start + rows.first * reach.x_row + columns.first * reach.x_column;
                const int8_t *weights = p->weights + rows.first * reach.w_row + columns.first * reach.w_column;
                esp_dl_pixel(p, &reach, x, weights, output);
                output += p->output.c;
            }
        }
        input += (ptrdiff_t)p->input.h * p->input.w * p->input.c;
    }
}
