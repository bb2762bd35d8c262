#include "common/requantize.h"
#include "esp_dl.h"

void esp_dl_sub_s8(const int8_t *a, const int8_t *b, const esp_dl_binary_t *p, int8_t *output)
{
    /* Multiplied, because a left shift of a negative value is undefined in C. */
    const int32_t factor_a = (int32_t)1 << p->shift_a;
    const int32_t factor_b = (int32_t)1 << p->shift_b;
    const int32_t half = esp_dl_half(p->shift);
    /* Copies: a store of int8 may alias any memory, so they would be loaded again for every value. */
    const int32_t shift = p->shift, min = p->min, max = p->max;
    for (const int8_t *end = output + p->count; output != end;) {
        const int32_t value = *a++ * factor_a - *b++ * factor_b + half;
        *output++ = esp_dl_requantize(value, shift, min, max);
    }
}
