/* Iteration over the positions of tensors with several axes. */
#ifndef ESP_DL_COMMON_WALK_H
#define ESP_DL_COMMON_WALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Moves to the next position of `rank` axes of `shape`, the last of which changes fastest; false after the last
 * position. index: of every axis, initially 0; a, b: the offsets of the position in two tensors, with steps of step_a
 * and step_b bytes; NULL if not needed. Inlined, so a NULL argument costs nothing.
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
