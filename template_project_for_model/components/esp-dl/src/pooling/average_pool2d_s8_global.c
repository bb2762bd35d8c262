/* Average of whole planes, four channels at a time: a pixel's four values are adjacent. */
#include "common/divide.h"
#include "common/requantize.h"
#include "esp_dl_fast.h"
#include "pooling/add_up.h"

#include <stddef.h>

void esp_dl_average_pool2d_s8_global(const int8_t *input, const esp_dl_pool2d_t *p, int8_t *output)
{
    const int32_t channels = p->input.c, pixels = p->input.h * p->input.w;
    /* The factor of the sum and of the number of pixels: 2^-shift, whichever is whole. */
    const int32_t factor = p->shift < 0 ? (int32_t)1 << -p->shift : 1;
    const int32_t divisor = p->shift > 0 ? pixels * ((int32_t)1 << p->shift) : pixels;
    for (int32_t n = 0; n < p->output.n; n++) {
        for (int32_t c = 0; c < channels; c += ESP_DL_ADDED) {
            const int32_t count = channels - c < ESP_DL_ADDED ? channels - c : ESP_DL_ADDED;
            int32_t sums[ESP_DL_ADDED] = {0};
            esp_dl_add_up(input + c, pixels, channels, count, sums);
            for (int32_t i = 0; i < count; i++) {
                *output++ = esp_dl_requantize(esp_dl_divide(sums[i] * factor, divisor), 0, p->min, p->max);
            }
        }
        input += (ptrdiff_t)pixels * channels;
    }
}
