#include "common/requantize.h"
#include "esp_dl.h"

#include <stddef.h>

void esp_dl_resize_linear_s8(const int8_t *input, const esp_dl_resize_linear_t *p, int8_t *output)
{
    const ptrdiff_t channels = p->input.c, width = p->input.w * channels;
    const int32_t half = esp_dl_half(p->shift), one = 1 << ESP_DL_RESIZE_BITS;
    for (int32_t n = 0; n < p->output.n; n++) {
        for (int32_t h = 0; h < p->output.h; h++) {
            const int8_t *above = input + p->row.low[h] * width;
            const int8_t *below = input + p->row.high[h] * width;
            const int32_t down = p->row.weight[h], up = one - down;
            for (int32_t w = 0; w < p->output.w; w++) {
                const ptrdiff_t left = p->column.low[w] * channels, right = p->column.high[w] * channels;
                const int32_t after = p->column.weight[w], before = one - after;
                for (ptrdiff_t c = 0; c < channels; c++) {
                    const int32_t first = above[left + c] * up + below[left + c] * down;
                    const int32_t second = above[right + c] * up + below[right + c] * down;
                    *output++ = esp_dl_requantize(first * before + second * after + half, p->shift, p->min, p->max);
                }
            }
        }
        input += p->input.h * width;
    }
}
