#include "common/walk.h"
#include "esp_dl.h"

#include <string.h>

void esp_dl_copy(const void *input, const esp_dl_copy_t *p, void *output)
{
    const int8_t *from = (const int8_t *)input + p->from_offset;
    const int8_t *to = (int8_t *)output + p->to_offset; /* const for `esp_dl_next` alone */
    int32_t index[ESP_DL_MAX_COPY_RANK] = {0};
    const int32_t block = p->block, last = p->rank - 1;
    const int32_t count = p->shape[last], x_step = p->from[last], y_step = p->to[last];
    do {
        if (block == 1) {
            /* A value at a time: the last axis without a call for each. */
            const int8_t *x = from;
            int8_t *y = (int8_t *)to;
            for (int32_t i = count; i > 0; i--, x += x_step, y += y_step) {
                *y = *x;
            }
        } else {
            memcpy((int8_t *)to, from, (size_t)block);
        }
    } while (esp_dl_next(block == 1 ? last : p->rank, p->shape, index, p->from, &from, p->to, &to));
}
