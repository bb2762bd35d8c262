#include "common/wide.h"
#include "esp_dl.h"

/* Output channels that are summed side by side. */
enum { BLOCK = 16 };

/* Adds one tap to `count` sums. `s16` and `each` (one filter per channel) are constants where this is called. */
static inline void add_tap(int32_t *sums, int32_t count, const void *x, const int8_t *weights, int32_t first,
                           int32_t multiplier, bool s16, bool each)
{
    for (int32_t i = 0; i < count; i++) {
        sums[i] += esp_dl_load(x, each ? first + i : (first + i) / multiplier, s16) * weights[first + i];
    }
}

static inline void one_block(const void *input, const esp_dl_depthwise_conv2d_t *p, int32_t oh, int32_t ow,
                             int32_t first, int32_t count, int32_t *sums, bool s16, bool each)
{
    const esp_dl_window_t *window = &p->window;
    const int32_t multiplier = p->output.c / p->input.c;
    for (int32_t i = 0; i < count; i++) {
        sums[i] = p->bias[first + i];
    }
    for (int32_t kh = 0; kh < window->kernel_h; kh++) {
        int32_t h = oh * window->stride_h - window->pad_top + kh * window->dilation_h;
        for (int32_t kw = 0; kw < window->kernel_w; kw++) {
            int32_t w = ow * window->stride_w - window->pad_left + kw * window->dilation_w;
            const int8_t *weights = p->weights + ((ptrdiff_t)kh * window->kernel_w + kw) * p->output.c;
            if (h < 0 || h >= p->input.h || w < 0 || w >= p->input.w) {
                for (int32_t i = 0; p->pad_value != 0 && i < count; i++) {
                    sums[i] += p->pad_value * weights[first + i];
                }
                continue;
            }
            const void *x = esp_dl_at(input, ((ptrdiff_t)h * p->input.w + w) * p->input.c, s16);
            add_tap(sums, count, x, weights, first, multiplier, s16, each);
        }
    }
}

void esp_dl_depthwise_conv2d_s16(const void *input, const esp_dl_depthwise_conv2d_t *p, void *output)
{
    const bool each = p->output.c == p->input.c;
    int32_t sums[BLOCK];
    ptrdiff_t done = 0;
    for (int32_t n = 0; n < p->output.n; n++) {
        for (int32_t oh = 0; oh < p->output.h; oh++) {
            for (int32_t ow = 0; ow < p->output.w; ow++) {
                for (int32_t first = 0; first < p->output.c; first += BLOCK) {
                    const int32_t left = p->output.c - first;
                    const int32_t count = left < BLOCK ? left : BLOCK;
                    if (each && p->input_s16) {
                        one_block(input, p, oh, ow, first, count, sums, true, true);
                    } else if (each) {
                        one_block(input, p, oh, ow, first, count, sums, false, true);
                    } else {
                        one_block(input, p, oh, ow, first, count, sums, p->input_s16, false);
                    }
                    for (int32_t i = 0; i < count; i++) {
                        const int32_t y =
                            esp_dl_requantize_wide(sums[i], p->shift[first + i], p->min, p->max, p->output_s16);
                        esp_dl_store(output, done++, y, p->output_s16);
                    }
                }
            }
        }
        input = esp_dl_at(input, (ptrdiff_t)p->input.h * p->input.w * p->input.c, p->input_s16);
    }
}
