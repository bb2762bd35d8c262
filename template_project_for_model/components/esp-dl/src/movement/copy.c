#include "esp_dl.h"

#include <stddef.h>
#include <string.h>

void esp_dl_copy(const void *input, const esp_dl_copy_t *p, void *output)
{
    const char *from = (const char *)input + p->from_offset;
    char *to = (char *)output + p->to_offset;
    int32_t index[8] = {0};
    int32_t axis;
    do {
        memcpy(to, from, (size_t)p->block);
        for (axis = p->rank - 1; axis >= 0; axis--) {
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
