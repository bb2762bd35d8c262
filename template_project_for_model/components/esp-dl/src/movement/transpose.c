#include "esp_dl.h"

#include <stddef.h>
#include <string.h>

/* `count` elements that lie `step` bytes apart, to one behind the other. */
static char *gather(char *to, const char *from, int32_t count, ptrdiff_t step, int32_t element_size)
{
    if (element_size == 1) {
        for (const char *end = to + count; to != end; from += step) {
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
    ptrdiff_t stride[ESP_DL_MAX_RANK];
    ptrdiff_t size = p->element_size;
    for (int32_t axis = p->rank - 1; axis >= 0; axis--) {
        stride[axis] = size;
        size *= p->shape[axis];
    }
    const int32_t last = p->axes[p->rank - 1];
    int32_t index[ESP_DL_MAX_RANK] = {0}; /* of the output */
    const char *from = input;
    char *to = output;
    for (const char *end = to + size; to != end;) {
        to = gather(to, from, p->shape[last], stride[last], p->element_size);
        for (int32_t i = p->rank - 2; i >= 0; i--) {
            const int32_t axis = p->axes[i];
            from += stride[axis];
            if (++index[i] < p->shape[axis]) {
                break;
            }
            from -= stride[axis] * p->shape[axis];
            index[i] = 0;
        }
    }
}
