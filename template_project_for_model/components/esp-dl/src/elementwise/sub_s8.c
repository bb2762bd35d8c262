#include "common/requantize.h"
#include "esp_dl.h"

void esp_dl_sub_s8(const int8_t *a, const int8_t *b, const esp_dl_binary_t *p, int8_t *output)
{
    /* Multiplied, because a left shift of a negative value is undefined in C. */
    const int32_t factor_a = (int32_t)1 << p->shift_a;
    const int32_t factor_b = (int32_t)1 << p->shift_b;
    const int32_t half = esp_dl_half(p->shift);
    for (int32_t i = 0; i < p->count; i++) {
        output[i] = esp_dl_requantize(a[i] * factor_a - b[i] * factor_b + half, p->shift, p->min, p->max);
    }
}
