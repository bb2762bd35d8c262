/* Reductions over any axes. */
#ifndef ESP_DL_COMMON_REDUCE_H
#define ESP_DL_COMMON_REDUCE_H

#include "common/requantize.h"
#include "esp_dl.h"

#include <stddef.h>

/* The next place along axes of `shape`, `offset` in elements; false behind the last. */
static inline bool esp_dl_step(int32_t rank, const int32_t *shape, const int32_t *step, int32_t *index,
                               ptrdiff_t *offset)
{
    for (int32_t axis = rank - 1; axis >= 0; axis--) {
        if (++index[axis] < shape[axis]) {
            *offset += step[axis];
            return true;
        }
        index[axis] = 0;
        *offset -= (ptrdiff_t)step[axis] * (shape[axis] - 1);
    }
    return false;
}

/* The next row of the values to be reduced at one place of the output: a row is the last of the reduced axes. */
static inline bool esp_dl_next_reduced(const esp_dl_reduce_t *p, int32_t *index, ptrdiff_t *offset)
{
    return esp_dl_step(p->reduced_rank - 1, p->reduced_shape, p->reduced_step, index, offset);
}

/* Values in such a row. */
static inline int32_t esp_dl_row_count(const esp_dl_reduce_t *p)
{
    return p->reduced_rank > 0 ? p->reduced_shape[p->reduced_rank - 1] : 1;
}

/* From one value of a row to the next. */
static inline int32_t esp_dl_row_step(const esp_dl_reduce_t *p)
{
    return p->reduced_rank > 0 ? p->reduced_step[p->reduced_rank - 1] : 0;
}

/* The next place of the output. */
static inline bool esp_dl_next_kept(const esp_dl_reduce_t *p, int32_t *index, ptrdiff_t *offset)
{
    return esp_dl_step(p->kept_rank, p->kept_shape, p->kept_step, index, offset);
}

/* Sum of the squares of the values to be reduced at `place`. */
static inline int32_t esp_dl_square_sum(const int8_t *input, const esp_dl_reduce_t *p, ptrdiff_t place)
{
    const int32_t count = esp_dl_row_count(p), step = esp_dl_row_step(p);
    int32_t index[6] = {0}, sum = 0;
    do {
        const int8_t *x = input + place;
        for (int32_t i = count; i > 0; i--, x += step) {
            sum += *x * *x;
        }
    } while (esp_dl_next_reduced(p, index, &place));
    return sum;
}

/* sat8(floor(sum * 2^-shift / divisor + 1/2)) */
static inline int8_t esp_dl_scaled_sum(int32_t sum, const esp_dl_reduce_t *p)
{
    const int32_t divisor = p->divisor * ((int32_t)1 << (p->shift > 0 ? p->shift : 0));
    const int32_t n = 2 * sum * ((int32_t)1 << (p->shift < 0 ? -p->shift : 0)) + divisor;
    return esp_dl_requantize(n / (2 * divisor) - (n % (2 * divisor) < 0), 0, p->min, p->max);
}

#endif
