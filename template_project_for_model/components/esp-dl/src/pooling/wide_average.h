/* Means of sums of int16, rounded once. */
#ifndef ESP_DL_POOLING_WIDE_AVERAGE_H
#define ESP_DL_POOLING_WIDE_AVERAGE_H

#include "common/divide.h"
#include "common/wide.h"
#include "esp_dl.h"

/* floor(sum * 2^-shift / count + 1/2) where that is an int16, else a value beyond the same end; count is at least 1.
 * Without 64-bit division, which these cores do in software: floor(x / 2^n) of an x is that of floor(x), and where a
 * sum has no room for the bits behind the point, these come one after the other. */
static inline int32_t esp_dl_scaled_average(int32_t sum, int32_t count, int32_t shift)
{
    if (shift <= 0 && shift > -31 && sum >= -(INT32_MAX >> -shift) && sum <= INT32_MAX >> -shift) {
        return esp_dl_divide(sum * ((int32_t)1 << -shift), count);
    }
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

/* The mean as the output holds it. */
static inline int32_t esp_dl_wide_average(int32_t sum, int32_t count, const esp_dl_pool2d_t *p)
{
    const int32_t average = esp_dl_scaled_average(sum, count, p->shift);
    return esp_dl_requantize_wide(average, 0, p->min, p->max, p->output_s16);
}

#endif
