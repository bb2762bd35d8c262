/* Shared by the kernels of two tensors whose shapes broadcast: the iteration over them, and the parameters of a value.
 */
#ifndef ESP_DL_COMMON_BROADCAST_H
#define ESP_DL_COMMON_BROADCAST_H

#include "common/requantize.h"
#include "common/walk.h"
#include "esp_dl.h"

/* Copies of the parameters of all values: since a store of int8 may alias any memory, they would otherwise be
 * loaded again for every value. */
typedef struct {
    int32_t factor_a, factor_b; /* 2^shift_a, 2^shift_b */
    int32_t half, shift, min, max;
    int32_t shift_positive, half_negative, shift_negative; /* prelu */
} esp_dl_constants_t;

static inline esp_dl_constants_t esp_dl_constants(const esp_dl_broadcast_t *p)
{
    return (esp_dl_constants_t){
        /* Factors, because a left shift of a negative value is undefined in C. */
        .factor_a = (int32_t)1 << p->shift_a,
        .factor_b = (int32_t)1 << p->shift_b,
        .half = esp_dl_half(p->shift),
        .shift = p->shift,
        .min = p->min,
        .max = p->max,
    };
}

/* From one value of each operand, what is shifted and clamped to a value of the output. */
typedef int32_t esp_dl_value_t(int32_t a, int32_t b, const esp_dl_constants_t *constants);

/* All values, in the order of the output, with a separate loop for the last axis. Inlined into every kernel, with its
 * `value`. */
static inline __attribute__((always_inline)) void esp_dl_broadcast(const int8_t *a, const int8_t *b,
                                                                   const esp_dl_broadcast_t *p,
                                                                   esp_dl_constants_t constants, esp_dl_value_t *value,
                                                                   int8_t *output)
{
    const int32_t shift = constants.shift, min = constants.min, max = constants.max;
    const int32_t last = p->rank - 1, count = p->shape[last], step_a = p->step_a[last], step_b = p->step_b[last];
    int32_t index[ESP_DL_MAX_RANK] = {0};
    do {
        const int8_t *x = a, *y = b;
        for (const int8_t *end = output + count; output != end; x += step_a, y += step_b) {
            *output++ = esp_dl_requantize(value(*x, *y, &constants), shift, min, max);
        }
    } while (esp_dl_next(last, p->shape, index, p->step_a, &a, p->step_b, &b));
}

#endif
