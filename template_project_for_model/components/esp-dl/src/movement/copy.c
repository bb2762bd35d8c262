#include "esp_dl.h"

#include <stddef.h>
#include <string.h>

void esp_dl_copy(const void *input, const esp_dl_copy_t *p, void *output)
{
    const char *from = (const char *)input + p->from_offset;
    char *to = (char *)output + p->to_offset;
    int32_t index[8] = {0};
    int32_t axis;
    const int32_t block = p->block, last = p->rank - 1;
    const int32_t count = p->shape[last], x_step = p->from[last], y_step = p->to[last];
    do {
        if (block == 1) {
            /* A value at a time: the last axis without a call for each. */
            const char *x = from;
            char *y = to;
            for (int32_t i = count; i > 0; i--, x += x_step, y += y_step) {
                *y = *x;
            }
        } else {
            memcpy(to, from, (size_t)block);
        }
        for (axis = block == 1 ? p->rank - 2 : p->rank - 1; axis >= 0; axis--) {
            if (++index[axis] < p->shape[axis]) {
                from += p->from[axis];
                to += p->to[axis];
                break;
            }
            /* Back to the start of this axis; the next outer one moves on. */
            index[axis] = 0;
            from -= (ptrdiff_t)p->from[axis] * (p->shape[axis] - 1);
            to -= (ptrdiff_t)p->to[axis] * (p->shape[axis] - 1);
        }
    } while (axis >= 0);
}
