#include "esp_dl.h"

#include <stddef.h>
#include <string.h>

void esp_dl_transpose(const void *input, const esp_dl_transpose_t *p, void *output)
{
    /* Bytes from one element to the next along each input axis. */
    ptrdiff_t stride[ESP_DL_MAX_RANK];
    ptrdiff_t size = p->element_size;
    for (int32_t axis = p->rank - 1; axis >= 0; axis--) {
        stride[axis] = size;
        size *= p->shape[axis];
    }
    int32_t index[ESP_DL_MAX_RANK] = {0}; /* of the output */
    ptrdiff_t from = 0;
    for (ptrdiff_t to = 0; to < size; to += p->element_size) {
        memcpy((char *)output + to, (const char *)input + from, (size_t)p->element_size);
        for (int32_t i = p->rank - 1; i >= 0; i--) {
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
