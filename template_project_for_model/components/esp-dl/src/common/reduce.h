/* Reductions over any axes. */
#ifndef ESP_DL_COMMON_REDUCE_H
#define ESP_DL_COMMON_REDUCE_H

#include "common/divide.h"
#include "common/requantize.h"
#include "common/walk.h"
#include "esp_dl.h"

/* The accumulated result so far, and the next value. */
typedef int32_t esp_dl_fold_t(int32_t sum, int32_t x);

/* From the accumulated result to a value of the output. */
typedef int8_t esp_dl_finish_t(int32_t sum, const esp_dl_reduce_t *p);

/* For all positions of the output: the values to be reduced, starting from `start`. The last of the reduced axes has
 * its own loop. Inlined into every kernel, with its functions. */
static inline __attribute__((always_inline)) void esp_dl_reduce(const int8_t *input, const esp_dl_reduce_t *p,
                                                                int32_t start, esp_dl_fold_t *fold,
                                                                esp_dl_finish_t *finish, int8_t *output)
{
    const int32_t last = p->reduced_rank - 1;
    const int32_t count = last < 0 ? 1 : p->reduced_shape[last], step = last < 0 ? 0 : p->reduced_step[last];
    int32_t kept[ESP_DL_MAX_RANK] = {0}, reduced[ESP_DL_MAX_RANK] = {0};
    do {
        int32_t sum = start;
        const int8_t *row = input;
        do {
            const int8_t *x = row;
            for (int32_t i = count; i > 0; i--, x += step) {
                sum = fold(sum, *x);
            }
        } while (esp_dl_next(last, p->reduced_shape, reduced, p->reduced_step, &row, NULL, NULL));
        *output++ = finish(sum, p);
    } while (esp_dl_next(p->kept_rank, p->kept_shape, kept, p->kept_step, &input, NULL, NULL));
}

static inline int32_t esp_dl_add_square(int32_t sum, int32_t x)
{
    return sum + x * x;
}

/* sat8(floor(sum * 2^-shift / divisor + 1/2)) */
static inline int8_t esp_dl_scaled_sum(int32_t sum, const esp_dl_reduce_t *p)
{
    const int32_t divisor = p->divisor * ((int32_t)1 << (p->shift > 0 ? p->shift : 0));
    const int32_t scaled = sum * ((int32_t)1 << (p->shift < 0 ? -p->shift : 0));
    return esp_dl_requantize(esp_dl_divide(scaled, divisor), 0, p->min, p->max);
}

/* An extreme, whose exponent stays. */
static inline int8_t esp_dl_extreme(int32_t value, const esp_dl_reduce_t *p)
{
    return (int8_t)esp_dl_clamp(value, p->min, p->max);
}

#endif
