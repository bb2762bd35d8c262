/* Sums over pixels, a few channels at a time: a pixel's values are adjacent. */
#ifndef ESP_DL_POOLING_ADD_UP_H
#define ESP_DL_POOLING_ADD_UP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ESP_DL_ADDED 4

/* Adds `count` channels of all pixels to their sums. */
static inline void esp_dl_add_up(const int8_t *x, int32_t pixels, int32_t step, int32_t count,
                                 int32_t sums[ESP_DL_ADDED])
{
    int32_t s0 = sums[0], s1 = sums[1], s2 = sums[2], s3 = sums[3];
    if (count == ESP_DL_ADDED) {
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

/* The same of int16 or int8. */
static inline void esp_dl_add_up_wide(const void *x, bool s16, int32_t pixels, int32_t step, int32_t count,
                                      int32_t sums[ESP_DL_ADDED])
{
    if (!s16) {
        esp_dl_add_up(x, pixels, step, count, sums);
        return;
    }
    const int16_t *tap = x;
    for (int32_t i = pixels; i > 0; i--, tap += step) {
        for (int32_t c = 0; c < count; c++) {
            sums[c] += tap[c];
        }
    }
}

#endif
