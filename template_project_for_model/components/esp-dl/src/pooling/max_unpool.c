#include "esp_dl.h"

#include <stddef.h>
#include <string.h>

void esp_dl_max_unpool(const void *input, const int64_t *places, const esp_dl_max_unpool_t *p, void *output)
{
    const size_t bytes = (size_t)p->element_size;
    const char *value = input;
    memset(output, 0, (size_t)p->size * bytes);
    for (int32_t i = 0; i < p->count; i++, value += bytes) {
        int64_t place = places[i] < 0 ? places[i] + p->size : places[i];
        /* ONNX leaves what is outside undefined; memory outside is never written. */
        place = place < 0 ? 0 : place >= p->size ? p->size - 1 : place;
        memcpy((char *)output + (ptrdiff_t)place * p->element_size, value, bytes);
    }
}
