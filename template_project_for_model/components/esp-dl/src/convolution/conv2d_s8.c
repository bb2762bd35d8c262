#include "common/requantize.h"
#include "esp_dl.h"

#include <stddef.h>

/* The sum of one output value: `origin_h`, `origin_w` is where the window starts in the image, padding included. */
static int32_t window_sum(const int8_t *image, const int8_t *weights, const esp_dl_conv2d_t *p, int32_t origin_h,
                          int32_t origin_w, int32_t channels)
{
    const esp_dl_window_t *window = &p->window;
    int32_t sum = 0;
    for (int32_t kh = 0; kh < window->kernel_h; kh++) {
        int32_t h = origin_h + kh * window->dilation_h;
        for (int32_t kw = 0; kw < window->kernel_w; kw++) {
            int32_t w = origin_w + kw * window->dilation_w;
            if (h < 0 || h >= p->input.h || w < 0 || w >= p->input.w) {
                continue;
            }
            const int8_t *x = image + ((ptrdiff_t)h * p->input.w + w) * p->input.c;
            const int8_t *y = weights + ((ptrdiff_t)kh * window->kernel_w + kw) * channels;
            for (int32_t c = 0; c < channels; c++) {
                sum += x[c] * y[c];
            }
        }
    }
    return sum;
}

void esp_dl_conv2d_s8(const int8_t *input, const esp_dl_conv2d_t *p, int8_t *output)
{
    const esp_dl_window_t *window = &p->window;
    const int32_t channels = p->input.c / p->groups;       /* that a filter reads */
    const int32_t group_outputs = p->output.c / p->groups; /* filters of a group */
    const int32_t filter_size = window->kernel_h * window->kernel_w * channels;
    for (int32_t n = 0; n < p->output.n; n++) {
        for (int32_t h = 0; h < p->output.h; h++) {
            for (int32_t w = 0; w < p->output.w; w++) {
                for (int32_t o = 0; o < p->output.c; o++) {
                    int32_t sum = window_sum(
                        input + (o / group_outputs) * channels, p->weights + (ptrdiff_t)o * filter_size, p,
                        h * window->stride_h - window->pad_top, w * window->stride_w - window->pad_left, channels);
                    *output++ = esp_dl_requantize(sum + p->bias[o], p->shift[o], p->min, p->max);
                }
            }
        }
        input += (ptrdiff_t)p->input.h * p->input.w * p->input.c;
    }
}
