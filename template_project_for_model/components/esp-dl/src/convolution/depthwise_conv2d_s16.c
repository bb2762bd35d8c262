#include "common/wide.h"
#include "esp_dl_s16.h"

void esp_dl_depthwise_conv2d_s16(const void *input, const esp_dl_depthwise_conv2d_s16_t *p, void *output)
{
    const esp_dl_window_t *window = &p->window;
    const int32_t multiplier = p->output.c / p->input.c;
    ptrdiff_t done = 0;
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
                            const ptrdiff_t place = ((ptrdiff_t)h * p->input.w + w) * p->input.c + o / multiplier;
                            sum += esp_dl_load(input, place, p->input_s16) *
                                   p->weights[((ptrdiff_t)kh * window->kernel_w + kw) * p->output.c + o];
                        }
                    }
                    sum = esp_dl_requantize_wide(sum, p->shift[o], p->min, p->max, p->output_s16);
                    esp_dl_store(output, done++, sum, p->output_s16);
                }
            }
        }
        input = esp_dl_at(input, (ptrdiff_t)p->input.h * p->input.w * p->input.c, p->input_s16);
    }
}
