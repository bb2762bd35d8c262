#include "common/wide.h"
#include "esp_dl.h"

void esp_dl_requantize_s16(const void *input, int32_t count, const esp_dl_requantize_t *p, void *output)
{
    const int32_t half = esp_dl_half(p->shift);
    /* Copies: a store may alias any memory, so they would be loaded again for every value. */
    const int32_t shift = p->shift, min = p->min, max = p->max;
    const bool input_s16 = p->input_s16, output_s16 = p->output_s16;
    for (int32_t i = 0; i < count; i++) {
        const int32_t x = esp_dl_load(input, i, input_s16) + half;
        esp_dl_store(output, i, esp_dl_requantize_wide(x, shift, min, max, output_s16), output_s16);
    }
}
