#include <string.h>

#include "common/places.h"

void esp_dl_copy(const void *input, const esp_dl_copy_t *p, void *output)
{
    const char *from = (const char *)input + p->from_offset;
    char *to = (char *)output + p->to_offset;
    int32_t index[8] = {0};
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
    } while (esp_dl_next_place(p, block == 1 ? last - 1 : last, index, &from, &to));
}
