/* Two tensors whose shapes broadcast, walked in the order of the output. */
#ifndef ESP_DL_COMMON_BROADCAST_H
#define ESP_DL_COMMON_BROADCAST_H

#include "esp_dl.h"

#include <stddef.h>

/* A row is the last axis; where both operands of the next row begin. */
typedef struct {
    int32_t index[6];
    ptrdiff_t a, b;
    int32_t count, step_a, step_b; /* of a row: elements, and from one to the next */
} esp_dl_rows_t;

static inline esp_dl_rows_t esp_dl_rows(const esp_dl_broadcast_t *p)
{
    const int32_t last = p->rank - 1;
    return (esp_dl_rows_t){.count = p->shape[last], .step_a = p->step_a[last], .step_b = p->step_b[last]};
}

/* To the next row; false behind the last. */
static inline bool esp_dl_next_row(esp_dl_rows_t *rows, const esp_dl_broadcast_t *p)
{
    for (int32_t axis = p->rank - 2; axis >= 0; axis--) {
        if (++rows->index[axis] < p->shape[axis]) {
            rows->a += p->step_a[axis];
            rows->b += p->step_b[axis];
            return true;
        }
        rows->index[axis] = 0;
        rows->a -= (ptrdiff_t)p->step_a[axis] * (p->shape[axis] - 1);
        rows->b -= (ptrdiff_t)p->step_b[axis] * (p->shape[axis] - 1);
    }
    return false;
}

#endif
