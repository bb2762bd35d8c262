/* Average of whole planes, four channels at a time: a pixel's four values are adjacent. */
#include "common/divide.h"
#include "common/requantize.h"
#include "esp_dl_fast.h"

#include <stddef.h>

#define CHANNELS 4

/* The sums of `count` channels of one image. */
static inline void add_up(const int8_t *x, int32_t pixels, int32_t step, int32_t count, int32_t sums[CHANNELS])
{
    int32_t s0 = 0, s1 = 0, s2 = 0, s3 = 0;
    if (count == CHANNELS) {
        for (const int8_t *end = x + (ptrdiff_t)pixels * step; x != end; x += step) {
            s0 += x[0], s1 += x[1], s2 += x[2], s3 += x[3];
        }
    } else {
        for (const int8_t *end = x + (ptrdiff_t)pixels * step; x != end; x += step) {
            s0 += x[0], s1 += count > 1 ? x[1] : 0, s2 += count > 2 ? x[2] : 0;
        }
    }
    sums[0] = s0, sums[1] = s1, sums[2] = s2, sums[3] = s3;
}

void esp_dl_average_pool2d_s8_global(const int8_t *input, const esp_dl_pool2d_t *p, int8_t *output)
{
    const int32_t channels = p->input.c, pixels = p->input.h * p->input.w;
    /* The factor of the sum and of the number of pixels: 2^-shift, whichever is whole. */
    const int32_t factor = p->shift < 0 ? (int32_t)1 << -p->shift : 1;
    const int32_t divisor = p->shift > 0 ? pixels * ((int32_t)1 << p->shift) : pixels;
    for (int32_t n = 0; n < p->output.n; n++) {
        for (int32_t c = 0; c < channels; c += CHANNELS) {
            const int32_t count = channels - c < CHANNELS ? channels - c : CHANNELS;
            int32_t sums[CHANNELS];
            add_up(input + c, pixels, channels, count, sums);
            for (int32_t i = 0; i < count; i++) {
                *output++ = esp_dl_requantize(esp_dl_divide(sums[i] * factor, divisor), 0, p->min, p->max);
            }
        }
        input += (ptrdiff_t)pixels * channels;
    }
}
