/* The way through the places of tensors of several axes. */
#ifndef ESP_DL_COMMON_WALK_H
#define ESP_DL_COMMON_WALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * To the next place of `rank` axes of `shape`, the last of which moves fastest; false behind the last place.
 * index: of every axis, 0 at first; a, b: where the place lies in two tensors, from one index to the next by step_a and
 * step_b bytes; NULL for a tensor that is not asked for. Inlined: what is NULL costs nothing.
 */
static inline __attribute__((always_inline)) bool esp_dl_next(int32_t rank, const int32_t *shape, int32_t *index,
                                                              const int32_t *step_a, const int8_t **a,
                                                              const int32_t *step_b, const int8_t **b)
{
    for (int32_t axis = rank - 1; axis >= 0; axis--) {
        if (++index[axis] < shape[axis]) {
            if (a != NULL) {
                *a += step_a[axis];
            }
            if (b != NULL) {
                *b += step_b[axis];
            }
            return true;
        }
        /* Back to the start of this axis; the next outer one moves on. */
        index[axis] = 0;
        if (a != NULL) {
            *a -= (ptrdiff_t)step_a[axis] * (shape[axis] - 1);
        }
        if (b != NULL) {
            *b -= (ptrdiff_t)step_b[axis] * (shape[axis] - 1);
        }
    }
    return false;
}

#endif
