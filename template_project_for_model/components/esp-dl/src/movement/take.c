#include "esp_dl.h"

#include <stddef.h>
#include <string.h>

/* A place inside the axis for any index. ONNX leaves what is outside undefined; memory outside is never read. */
static int32_t place_of(int64_t index, int32_t size)
{
    index = index < 0 ? index + size : index;
    return (int32_t)(index < 0 ? 0 : index >= size ? size - 1 : index);
}

void esp_dl_take(const void *input, const void *indices, const esp_dl_take_t *p, void *output)
{
    const char *from = input;
    char *to = output;
    for (int32_t outer = 0; outer < p->outer; outer++) {
        for (int32_t i = 0; i < p->count; i++) {
            const int64_t index = p->wide ? ((const int64_t *)indices)[i] : ((const int32_t *)indices)[i];
            memcpy(to, from + (ptrdiff_t)place_of(index, p->size) * p->block, (size_t)p->block);
            to += p->block;
        }
        from += (ptrdiff_t)p->size * p->block;
    }
}
