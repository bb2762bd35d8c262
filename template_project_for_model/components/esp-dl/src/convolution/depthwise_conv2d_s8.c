#include "common/requantize.h"
#include "esp_dl.h"

#include <stddef.h>

void esp_dl_depthwise_conv2d_s8(const int8_t *input, const esp_dl_depthwise_conv2d_t *p, int8_t *output)
{
    const esp_dl_window_t *window = &p->window;
    const int32_t multiplier = p->output.c / p->input.c;
    for (int32_t n = 0; n < p->output.n; n++) {
        for (int32_t oh = 0; oh < p->output.h; oh++) {
            for (int32_t ow = 0; ow < p->output.w; ow++) {
                for (int32_t o = 0; o < p->output.c; o++) {
                    int32_t sum = p->bias[o];
                    for (int32_t kh = 0; kh < window->kernel_h; kh++) {
                        int32_t h = oh * window->stride_h - window->pad_top + kh * window->dilation_h;
                        for (int32_t kw = 0; kw < window->kernel_w; kw++) {
                            int32_t w = ow * window->stride_w - window->pad_left + kw * window->dilation_w;
                            if (h < 0 || h >= p->input.h || w < 0 || w >= p->input.w) {
                                continue;
                            }
                            sum += input[((ptrdiff_t)h * p->input.w + w) * p->input.c + o / multiplier] *
                                   p->weights[((ptrdiff_t)kh * window->kernel_w + kw) * p->output.c + o];
                        }
                    }
                    *output++ = esp_dl_requantize(sum, p->shift[o], p->min, p->max);
                }
            }
        }
        input += (ptrdiff_t)p->input.h * p->input.w * p->input.c;
    }
}
