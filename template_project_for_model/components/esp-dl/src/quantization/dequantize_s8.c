#include "esp_dl.h"

#include <string.h>

void esp_dl_dequantize_s8(const int8_t *input, int32_t count, int32_t exponent, float *output)
{
    /* 2^exponent as a float; the product is exact. */
    const uint32_t bits = (uint32_t)(exponent + 127) << 23;
    float scale;
    memcpy(&scale, &bits, sizeof scale);
    for (int32_t i = 0; i < count; i++) {
        output[i] = (float)input[i] * scale;
    }
}
