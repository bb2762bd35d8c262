#include "common/wide.h"
#include "esp_dl.h"

void esp_dl_add_s16(const void *a, const void *b, const esp_dl_binary_t *p, void *output)
{
    const int32_t factor_a = (int32_t)1 << p->shift_a;
    const int32_t factor_b = (int32_t)1 << p->shift_b;
    const int32_t half = esp_dl_half(p->shift);
    for (int32_t i = 0; i < p->count; i++) {
        const int32_t sum = esp_dl_load(a, i, p->a_s16) * factor_a + esp_dl_load(b, i, p->b_s16) * factor_b + half;
        esp_dl_store(output, i, esp_dl_requantize_wide(sum, p->shift, p->min, p->max, p->output_s16), p->output_s16);
    }
}
