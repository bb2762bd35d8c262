#include "common/walk.h"
#include "esp_dl.h"

#include <string.h>

/* Copies `count` elements that are `step` bytes apart to contiguous memory. */
static int8_t *gather(int8_t *to, const int8_t *from, int32_t count, int32_t step, int32_t element_size)
{
    if (element_size == 1) {
        for (const int8_t *end = to + count; to != end; from += step) {
            *to++ = *from;
        }
        return to;
    }
    for (; count > 0; count--, from += step) {
        memcpy(to, from, (size_t)element_size);
        to += element_size;
    }
    return to;
}

void esp_dl_transpose(const void *input, const esp_dl_transpose_t *p, void *output)
{
    /* Bytes from one element to the next along each input axis. */
    int32_t stride[ESP_DL_MAX_RANK], size = p->element_size;
    for (int32_t axis = p->rank - 1; axis >= 0; axis--) {
        stride[axis] = size;
        size *= p->shape[axis];
    }
    int32_t shape[ESP_DL_MAX_RANK], step[ESP_DL_MAX_RANK], index[ESP_DL_MAX_RANK] = {0}; /* of the output */
    for (int32_t i = 0; i < p->rank; i++) {
        shape[i] = p->shape[p->axes[i]];
        step[i] = stride[p->axes[i]];
    }
    const int32_t last = p->rank - 1;
    const int8_t *from = input;
    int8_t *to = output;
    do {
        to = gather(to, from, shape[last], step[last], p->element_size);
    } while (esp_dl_next(last, shape, index, step, &from, NULL, NULL));
}
