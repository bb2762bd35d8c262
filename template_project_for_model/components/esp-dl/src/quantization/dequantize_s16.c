#include "common/float_bits.h"
#include "esp_dl.h"

void esp_dl_dequantize_s16(const int16_t *input, int32_t count, int32_t exponent, float *output)
{
    for (int32_t i = 0; i < count; i++) {
        output[i] = esp_dl_dequantize_value(input[i], exponent);
    }
}
