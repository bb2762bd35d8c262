#include "common/float_bits.h"
#include "esp_dl.h"

/* value * 2^exponent where that is a normal number, for exponents from -126 to 120; highest: exponent + 7 + 126 */
static inline float normal_number(int32_t value, int32_t highest)
{
    uint32_t bits = 0;
    if (value != 0) {
        /* To the left until the highest bit is where a float's hidden one is. */
        uint32_t mantissa = (uint32_t)(value < 0 ? -value : value) << 16;
        if (mantissa < 1u << 20) {
            mantissa <<= 4, highest -= 4;
        }
        if (mantissa < 1u << 22) {
            mantissa <<= 2, highest -= 2;
        }
        if (mantissa < 1u << 23) {
            mantissa <<= 1, highest -= 1;
        }
        /* The hidden bit counts the exponent up. */
        bits = ((uint32_t)highest << 23) + mantissa + ((uint32_t)value & 0x80000000);
    }
    float y;
    memcpy(&y, &bits, sizeof y);
    return y;
}

void esp_dl_dequantize_s8(const int8_t *input, int32_t count, int32_t exponent, float *output)
{
    if (exponent >= -126 && exponent <= 120) {
        for (int32_t i = 0; i < count; i++) {
            output[i] = normal_number(input[i], exponent + 7 + 126);
        }
        return;
    }
    for (int32_t i = 0; i < count; i++) {
        output[i] = esp_dl_dequantize_value(input[i], exponent);
    }
}
