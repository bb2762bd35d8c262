#include "common/requantize.h"
#include "esp_dl.h"

void esp_dl_requantize_s8(const int8_t *input, int32_t count, const esp_dl_requantize_t *p, int8_t *output)
{
    const int32_t half = esp_dl_half(p->shift);
    for (int32_t i = 0; i < count; i++) {
        output[i] = esp_dl_requantize(input[i] + half, p->shift, p->min, p->max);
    }
}
