#include "common/divide.h"
#include "common/requantize.h"
#include "common/window.h"
#include "esp_dl.h"
#include "pooling/counted.h"

#include <stddef.h>

void esp_dl_average_pool2d_s8(const int8_t *input, const esp_dl_pool2d_t *p, int8_t *output)
{
    const esp_dl_window_t *window = &p->window;
    const esp_dl_counted_t counted = esp_dl_counted(p);
    /* The factor of the sum and of n: 2^-shift, whichever is whole. */
    const int32_t factor = p->shift < 0 ? (int32_t)1 << -p->shift : 1;
    const int32_t divisor = p->shift > 0 ? (int32_t)1 << p->shift : 1;
    const int32_t channels = p->output.c, min = p->min, max = p->max;
    const ptrdiff_t column = (ptrdiff_t)window->dilation_w * channels;
    const ptrdiff_t line = (ptrdiff_t)window->dilation_h * p->input.w * channels;
    for (int32_t n = 0; n < p->output.n; n++) {
        for (int32_t oh = 0; oh < p->output.h; oh++) {
            const int32_t h = oh * window->stride_h - window->pad_top;
            const esp_dl_taps_t rows = esp_dl_taps(h, window->dilation_h, window->kernel_h, 0, p->input.h);
            const esp_dl_taps_t counted_rows =
                esp_dl_taps(h, window->dilation_h, window->kernel_h, counted.top, counted.bottom);
            for (int32_t ow = 0; ow < p->output.w; ow++) {
                const int32_t w = ow * window->stride_w - window->pad_left;
                const esp_dl_taps_t columns = esp_dl_taps(w, window->dilation_w, window->kernel_w, 0, p->input.w);
                const esp_dl_taps_t counted_columns =
                    esp_dl_taps(w, window->dilation_w, window->kernel_w, counted.left, counted.right);
                int32_t count = (counted_rows.end - counted_rows.first) * (counted_columns.end - counted_columns.first);
                count = (count > 0 ? count : 1) * divisor;
                const int32_t in_rows = rows.end - rows.first, in_columns = columns.end - columns.first;
                const ptrdiff_t start = ((ptrdiff_t)h * p->input.w + w) * channels;
                const int8_t *first = input + start + rows.first * line + columns.first * column;
                for (const int8_t *end = output + channels; output != end; first++) {
                    int32_t sum = 0;
                    const int8_t *x_row = first;
                    for (int32_t i = in_rows; i > 0; i--, x_row += line) {
                        const int8_t *x = x_row;
                        for (int32_t j = in_columns; j > 0; j--, x += column) {
                            sum += *x;
                        }
                    }
                    *output++ = esp_dl_requantize(esp_dl_divide(sum * factor, count), 0, min, max);
                }
            }
        }
        input += (ptrdiff_t)p->input.h * p->input.w * channels;
    }
}
