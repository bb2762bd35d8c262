#include "esp_dl.h"

#include <string.h>

/* floor(x / 2^exponent + 1/2), saturated, with integers alone: most of the chips have no floating point unit, and a
 * division by a power of two only moves the binary point of the mantissa. */
static int8_t quantize(float x, int32_t exponent)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    const int32_t biased = (int32_t)(bits >> 23 & 0xff);
    const uint32_t fraction = bits & 0x7fffff;
    const int negative = (int)(bits >> 31);
    if (biased == 0xff && fraction != 0) {
        return 0; /* NaN */
    }
    /* |x| = mantissa * 2^power; subnormal numbers have no hidden bit. */
    const uint32_t mantissa = biased == 0 ? fraction : fraction | 0x800000;
    const int32_t power = (biased == 0 ? 1 : biased) - 150;
    /* |x| / 2^exponent = mantissa >> right */
    const int32_t right = exponent - power;
    if (mantissa == 0 || right > 25) {
        return 0; /* less than 1/2 away from 0: mantissa < 2^24 */
    }
    if (right < 16) {
        /* Beyond the range of int8 where the mantissa has its hidden bit: 2^23 >> 15 = 256. Subnormals get here only
         * with exponents below any that export accepts. */
        return negative ? INT8_MIN : INT8_MAX;
    }
    const uint32_t half = (uint32_t)1 << (right - 1);
    /* floor(-m / 2^r + 1/2) = -ceil(m / 2^r - 1/2) = -((m + half - 1) >> r) */
    const int32_t magnitude = (int32_t)((mantissa + half - (negative ? 1 : 0)) >> right);
    if (negative) {
        return (int8_t)(magnitude > 128 ? INT8_MIN : -magnitude);
    }
    return (int8_t)(magnitude > 127 ? INT8_MAX : magnitude);
}

void esp_dl_quantize_s8(const float *input, int32_t count, int32_t exponent, int8_t *output)
{
    for (int32_t i = 0; i < count; i++) {
        output[i] = quantize(input[i], exponent);
    }
}
