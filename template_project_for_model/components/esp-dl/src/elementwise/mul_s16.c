#include "common/wide.h"
#include "esp_dl.h"

void esp_dl_mul_s16(const void *a, const void *b, const esp_dl_binary_t *p, void *output)
{
    const int32_t half = esp_dl_half(p->shift);
    for (int32_t i = 0; i < p->count; i++) {
        const int32_t product = esp_dl_load(a, i, p->a_s16) * esp_dl_load(b, i, p->b_s16) + half;
        esp_dl_store(output, i, esp_dl_requantize_wide(product, p->shift, p->min, p->max, p->output_s16),
                     p->output_s16);
    }
}
