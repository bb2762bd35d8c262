#include "esp_dl.h"

#include <stddef.h>
#include <string.h>

void esp_dl_scatter_s8(const int8_t *input, const int8_t *updates, const esp_dl_scatter_t *p, int8_t *output)
{
    if (output != input) {
        memcpy(output, input, (size_t)p->size);
    }
    for (int32_t i = 0; i < p->count; i++) {
        memcpy(output + (ptrdiff_t)p->rows[i] * p->inner, updates + (ptrdiff_t)i * p->inner, (size_t)p->inner);
    }
}
