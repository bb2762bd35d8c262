#include "esp_dl.h"

#include <stddef.h>

/* All channels of one output pixel, whose window starts at (h0, w0). */
static void pixel(const int8_t *input, const esp_dl_pool2d_t *p, int32_t h0, int32_t w0, int8_t *y)
{
    const int32_t channels = p->output.c, max = p->max;
    for (int32_t c = 0; c < channels; c++) {
        y[c] = p->min;
    }
    for (int32_t kh = 0; kh < p->window.kernel_h; kh++) {
        const int32_t h = h0 + kh * p->window.dilation_h;
        for (int32_t kw = 0; kw < p->window.kernel_w; kw++) {
            const int32_t w = w0 + kw * p->window.dilation_w;
            if (h < 0 || h >= p->input.h || w < 0 || w >= p->input.w) {
                continue;
            }
            const int8_t *x = input + ((ptrdiff_t)h * p->input.w + w) * channels;
            for (int32_t c = 0; c < channels; c++) {
                if (x[c] > y[c]) {
                    y[c] = x[c];
                }
            }
        }
    }
    for (int32_t c = 0; max < INT8_MAX && c < channels; c++) {
        if (y[c] > max) {
            y[c] = (int8_t)max;
        }
    }
}

void esp_dl_max_pool2d_s8(const int8_t *input, const esp_dl_pool2d_t *p, int8_t *output)
{
    const esp_dl_window_t *window = &p->window;
    for (int32_t n = 0; n < p->output.n; n++) {
        for (int32_t oh = 0; oh < p->output.h; oh++) {
            for (int32_t ow = 0; ow < p->output.w; ow++) {
                pixel(input, p, oh * window->stride_h - window->pad_top, ow * window->stride_w - window->pad_left,
                      output);
                output += p->output.c;
            }
        }
        input += (ptrdiff_t)p->input.h * p->input.w * p->input.c;
    }
}
