#include "common/requantize.h"
#include "esp_dl.h"

void esp_dl_requantize_s8(const int8_t *input, int32_t count, const esp_dl_requantize_t *p, int8_t *output)
{
    const int32_t half = esp_dl_half(p->shift);
    /* Copies: a store of int8 may alias any memory, so they would be loaded again for every value. */
    const int32_t shift = p->shift, min = p->min, max = p->max;
    for (const int8_t *end = output + count; output != end;) {
        *output++ = esp_dl_requantize(*input++ + half, shift, min, max);
    }
}
