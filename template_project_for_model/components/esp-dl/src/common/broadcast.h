/* Two tensors whose shapes broadcast, walked in the order of the output. */
#ifndef ESP_DL_COMMON_BROADCAST_H
#define ESP_DL_COMMON_BROADCAST_H

#include "esp_dl.h"

#include <stddef.h>

/* Where both operands of the next output element lie. */
typedef struct {
    int32_t index[6];
    ptrdiff_t a, b;
} esp_dl_walk_t;

/* To the next element; false behind the last. */
static inline bool esp_dl_walk(esp_dl_walk_t *walk, const esp_dl_broadcast_t *p)
{
    for (int32_t axis = p->rank - 1; axis >= 0; axis--) {
        if (++walk->index[axis] < p->shape[axis]) {
            walk->a += p->step_a[axis];
            walk->b += p->step_b[axis];
            return true;
        }
        walk->index[axis] = 0;
        walk->a -= (ptrdiff_t)p->step_a[axis] * (p->shape[axis] - 1);
        walk->b -= (ptrdiff_t)p->step_b[axis] * (p->shape[axis] - 1);
    }
    return false;
}

#endif
