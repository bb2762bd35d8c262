#include "common/float_bits.h"
#include "esp_dl.h"

void esp_dl_quantize_s16(const float *input, int32_t count, int32_t exponent, int16_t *output)
{
    for (int32_t i = 0; i < count; i++) {
        output[i] = (int16_t)esp_dl_quantize_within(input[i], exponent, INT16_MAX);
    }
}
