#include "common/float_bits.h"
#include "esp_dl.h"

void esp_dl_quantize_s8(const float *input, int32_t count, int32_t exponent, int32_t zero_point, int8_t *output)
{
    for (int32_t i = 0; i < count; i++) {
        output[i] = (int8_t)esp_dl_quantize_value(input[i], exponent, zero_point);
    }
}
