/* The way through the places of an esp_dl_copy_t. */
#ifndef ESP_DL_COMMON_PLACES_H
#define ESP_DL_COMMON_PLACES_H

#include <stdbool.h>
#include <stddef.h>

#include "esp_dl.h"

/*
 * Goes on to the next place of axes 0 to `axis`, the last of which moves fastest; false behind the last place.
 * index: of every axis, 0 at first. from, to: where the place lies, in bytes.
 */
static inline bool esp_dl_next_place(const esp_dl_copy_t *p, int32_t axis, int32_t *index, const char **from, char **to)
{
    for (; axis >= 0; axis--) {
        if (++index[axis] < p->shape[axis]) {
            *from += p->from[axis];
            *to += p->to[axis];
            return true;
        }
        /* Back to the start of this axis; the next outer one moves on. */
        index[axis] = 0;
        *from -= (ptrdiff_t)p->from[axis] * (p->shape[axis] - 1);
        *to -= (ptrdiff_t)p->to[axis] * (p->shape[axis] - 1);
    }
    return false;
}

#endif /* ESP_DL_COMMON_PLACES_H */
