#include "common/divide.h"
#include "common/wide.h"
#include "esp_dl.h"
#include "pooling/counted.h"

/* floor(sum * 2^-shift / count + 1/2) where that is an int16, else a value beyond the same end; count is at least 1.
 * Without 64-bit division, which these cores do in software: floor(x / 2^n) of an x is that of floor(x), and bits
 * behind the point come one after the other. */
static int32_t scaled_average(int32_t sum, int32_t count, int32_t shift)
{
    int32_t average = esp_dl_floor(sum, count);
    if (shift > 0) {
        /* From 17 on all of an int16 is shifted out. */
        shift = shift < 20 ? shift : 20;
        return (average + (1 << (shift - 1))) >> shift;
    }
    int32_t rest = sum - average * count;
    for (; shift < 0 && average >= INT16_MIN && average <= INT16_MAX; shift++) {
        rest *= 2;
        average *= 2;
        if (rest >= count) {
            rest -= count;
            average++;
        }
    }
    return average + (rest >= count - rest);
}

void esp_dl_average_pool2d_s16(const void *input, const esp_dl_pool2d_t *p, void *output)
{
    const esp_dl_window_t *window = &p->window;
    const esp_dl_counted_t counted = esp_dl_counted(p);
    ptrdiff_t done = 0;
    for (int32_t n = 0; n < p->output.n; n++) {
        for (int32_t oh = 0; oh < p->output.h; oh++) {
            for (int32_t ow = 0; ow < p->output.w; ow++) {
                for (int32_t c = 0; c < p->output.c; c++) {
                    int32_t sum = 0, count = 0;
                    for (int32_t kh = 0; kh < window->kernel_h; kh++) {
                        int32_t h = oh * window->stride_h - window->pad_top + kh * window->dilation_h;
                        for (int32_t kw = 0; kw < window->kernel_w; kw++) {
                            int32_t w = ow * window->stride_w - window->pad_left + kw * window->dilation_w;
                            count += h >= counted.top && h < counted.bottom && w >= counted.left && w < counted.right;
                            if (h >= 0 && h < p->input.h && w >= 0 && w < p->input.w) {
                                const ptrdiff_t place = ((ptrdiff_t)h * p->input.w + w) * p->input.c + c;
                                sum += esp_dl_load(input, place, p->input_s16);
                            }
                        }
                    }
                    const int32_t average = scaled_average(sum, count > 0 ? count : 1, p->shift);
                    const int32_t y = esp_dl_requantize_wide(average, 0, p->min, p->max, p->output_s16);
                    esp_dl_store(output, done++, y, p->output_s16);
                }
            }
        }
        input = esp_dl_at(input, (ptrdiff_t)p->input.h * p->input.w * p->input.c, p->input_s16);
    }
}
