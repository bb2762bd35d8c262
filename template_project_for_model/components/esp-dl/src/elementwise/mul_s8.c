#include "common/requantize.h"
#include "esp_dl.h"

void esp_dl_mul_s8(const int8_t *a, const int8_t *b, const esp_dl_binary_t *p, int8_t *output)
{
    const int32_t half = esp_dl_half(p->shift);
    for (int32_t i = 0; i < p->count; i++) {
        output[i] = esp_dl_requantize(a[i] * b[i] + half, p->shift, p->min, p->max);
    }
}
