#include "common/wide.h"
#include "esp_dl_s16.h"

void esp_dl_requantize_s16(const void *input, const esp_dl_requantize_s16_t *p, void *output)
{
    const int32_t half = esp_dl_half(p->shift);
    for (int32_t i = 0; i < p->count; i++) {
        const int32_t x = esp_dl_load(input, i, p->input_s16) + half;
        esp_dl_store(output, i, esp_dl_requantize_wide(x, p->shift, p->min, p->max, p->output_s16), p->output_s16);
    }
}
