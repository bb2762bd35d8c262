/* Depthwise convolution with windows of any size, one filter per channel: one pixel, four channels at a time. */
#include "common/registers.h"
#include "esp_dl_fast.h"

#include <stddef.h>

#define CHANNELS 4

/* The taps of a window that lie in the image, and where the first of them reads. */
typedef struct {
    int32_t rows, columns;
    const int8_t *x, *w;
} taps_t;

/* The first tap that lies in the image, and behind the last: taps are at origin + i * dilation. */
static void inside(int32_t origin, int32_t dilation, int32_t kernel, int32_t size, int32_t *first, int32_t *end)
{
    *first = origin < 0 ? (-origin + dilation - 1) / dilation : 0;
    *end = origin < size ? (size - origin + dilation - 1) / dilation : 0;
    *end = *end < kernel ? *end : kernel;
}

/* `count` channels from `c` on. */
static inline void channels_of(const taps_t *t, const esp_dl_depthwise_conv2d_t *p, int32_t c, int32_t count,
                               int8_t *output)
{
    const int32_t channels = p->input.c, x_step = p->window.dilation_w * channels;
    const ptrdiff_t x_line = (ptrdiff_t)p->window.dilation_h * p->input.w * channels;
    const ptrdiff_t w_line = (ptrdiff_t)p->window.kernel_w * channels;
    const int8_t *x_row = t->x + c, *w_row = t->w + c;
    int32_t s0 = 0, s1 = 0, s2 = 0, s3 = 0;
    for (int32_t row = 0; row < t->rows; row++) {
        const int8_t *x = x_row, *w = w_row;
        for (int32_t column = t->columns; column > 0; column--) {
            s0 += x[0] * w[0];
            if (count == CHANNELS) {
                s1 += x[1] * w[1];
                s2 += x[2] * w[2];
                s3 += x[3] * w[3];
            }
            x += x_step;
            w += channels;
        }
        x_row += x_line;
        w_row += w_line;
    }
    const int32_t sums[CHANNELS] = {s0, s1, s2, s3};
    for (int32_t i = 0; i < count; i++) {
        esp_dl_store(output + c + i, (sums[i] + p->bias[c + i]) >> p->shift[c + i], p->min, p->max);
    }
}

void esp_dl_depthwise_conv2d_s8_1x4(const int8_t *input, const esp_dl_depthwise_conv2d_t *p, int8_t *output)
{
    const esp_dl_window_t *window = &p->window;
    const int32_t channels = p->input.c;
    for (int32_t n = 0; n < p->output.n; n++) {
        for (int32_t h = 0; h < p->output.h; h++) {
            const int32_t origin_h = h * window->stride_h - window->pad_top;
            int32_t kh, kh_end;
            inside(origin_h, window->dilation_h, window->kernel_h, p->input.h, &kh, &kh_end);
            for (int32_t w = 0; w < p->output.w; w++) {
                const int32_t origin_w = w * window->stride_w - window->pad_left;
                int32_t kw, kw_end;
                inside(origin_w, window->dilation_w, window->kernel_w, p->input.w, &kw, &kw_end);
                taps_t taps = {kh_end - kh, kw_end - kw, input, p->weights};
                if (taps.rows > 0 && taps.columns > 0) {
                    const int32_t row = origin_h + kh * window->dilation_h, column = origin_w + kw * window->dilation_w;
                    taps.x += ((ptrdiff_t)row * p->input.w + column) * channels;
                    taps.w += ((ptrdiff_t)kh * window->kernel_w + kw) * channels;
                } else {
                    taps.rows = 0;
                }
                int32_t c = 0;
                for (; c + CHANNELS <= channels; c += CHANNELS) {
                    channels_of(&taps, p, c, CHANNELS, output);
                }
                for (; c < channels; c++) {
                    channels_of(&taps, p, c, 1, output);
                }
                output += channels;
            }
        }
        input += (ptrdiff_t)p->input.h * p->input.w * channels;
    }
}
