#include "common/requantize.h"
#include "esp_dl.h"

#include <stddef.h>

void esp_dl_max_pool2d_s16(const int16_t *input, const esp_dl_pool2d_t *p, int16_t *output)
{
    const esp_dl_window_t *window = &p->window;
    for (int32_t n = 0; n < p->output.n; n++) {
        for (int32_t oh = 0; oh < p->output.h; oh++) {
            for (int32_t ow = 0; ow < p->output.w; ow++) {
                for (int32_t c = 0; c < p->output.c; c++) {
                    int32_t largest = INT16_MIN;
                    for (int32_t kh = 0; kh < window->kernel_h; kh++) {
                        int32_t h = oh * window->stride_h - window->pad_top + kh * window->dilation_h;
                        for (int32_t kw = 0; kw < window->kernel_w; kw++) {
                            int32_t w = ow * window->stride_w - window->pad_left + kw * window->dilation_w;
                            if (h < 0 || h >= p->input.h || w < 0 || w >= p->input.w) {
                                continue;
                            }
                            int16_t x = input[((ptrdiff_t)h * p->input.w + w) * p->input.c + c];
                            largest = x > largest ? x : largest;
                        }
                    }
                    *output++ = (int16_t)esp_dl_clamp(largest, p->min, p->max);
                }
            }
        }
        input += (ptrdiff_t)p->input.h * p->input.w * p->input.c;
    }
}
