#include "common/requantize.h"
#include "esp_dl.h"

void esp_dl_mul_s8(const int8_t *a, const int8_t *b, const esp_dl_binary_t *p, int8_t *output)
{
    const int32_t half = esp_dl_half(p->shift);
    /* Copies: a store of int8 may alias any memory, so they would be loaded again for every value. */
    const int32_t shift = p->shift, min = p->min, max = p->max;
    for (const int8_t *end = output + p->count; output != end;) {
        const int32_t value = *a++ * *b++ + half;
        *output++ = esp_dl_requantize(value, shift, min, max);
    }
}
