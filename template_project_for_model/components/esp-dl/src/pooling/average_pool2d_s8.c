#include "common/requantize.h"
#include "esp_dl.h"
#include "pooling/divide.h"

#include <stddef.h>

void esp_dl_average_pool2d_s8(const int8_t *input, const esp_dl_pool2d_t *p, int8_t *output)
{
    const esp_dl_window_t *window = &p->window;
    /* Where counting ends, seen from the end of the image: the last window's end less what hangs over the padding. */
    const int32_t reach_h = (p->output.h - 1) * window->stride_h + (window->kernel_h - 1) * window->dilation_h + 1;
    const int32_t reach_w = (p->output.w - 1) * window->stride_w + (window->kernel_w - 1) * window->dilation_w + 1;
    const int32_t bottom = p->count_include_pad ? reach_h - window->pad_top - p->input.h - p->overhang_h : 0;
    const int32_t right = p->count_include_pad ? reach_w - window->pad_left - p->input.w - p->overhang_w : 0;
    const int32_t top = p->count_include_pad ? window->pad_top : 0;
    const int32_t left = p->count_include_pad ? window->pad_left : 0;
    /* The factor of the sum and of n: 2^-shift, whichever is whole. */
    const int32_t factor = p->shift < 0 ? (int32_t)1 << -p->shift : 1;
    const int32_t divisor = p->shift > 0 ? (int32_t)1 << p->shift : 1;
    for (int32_t n = 0; n < p->output.n; n++) {
        for (int32_t oh = 0; oh < p->output.h; oh++) {
            for (int32_t ow = 0; ow < p->output.w; ow++) {
                for (int32_t c = 0; c < p->output.c; c++) {
                    int32_t sum = 0, count = 0;
                    for (int32_t kh = 0; kh < window->kernel_h; kh++) {
                        int32_t h = oh * window->stride_h - window->pad_top + kh * window->dilation_h;
                        for (int32_t kw = 0; kw < window->kernel_w; kw++) {
                            int32_t w = ow * window->stride_w - window->pad_left + kw * window->dilation_w;
                            count += h >= -top && h < p->input.h + bottom && w >= -left && w < p->input.w + right;
                            if (h >= 0 && h < p->input.h && w >= 0 && w < p->input.w) {
                                sum += input[((ptrdiff_t)h * p->input.w + w) * p->input.c + c];
                            }
                        }
                    }
                    const int32_t average = esp_dl_divide(sum * factor, (count > 0 ? count : 1) * divisor);
                    *output++ = esp_dl_requantize(average, 0, p->min, p->max);
                }
            }
        }
        input += (ptrdiff_t)p->input.h * p->input.w * p->input.c;
    }
}
