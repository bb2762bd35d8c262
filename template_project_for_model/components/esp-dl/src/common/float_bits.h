/* Scaling floats by powers of two with integer instructions alone: most of the chips have no floating point unit, and
 * a power of two only moves the exponent. */
#ifndef ESP_DL_COMMON_FLOAT_BITS_H
#define ESP_DL_COMMON_FLOAT_BITS_H

#include <stdint.h>
#include <string.h>

/* sat8(floor(x / 2^exponent + 1/2)); NaN gives 0 */
static inline int8_t esp_dl_quantize_value(float x, int32_t exponent)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    const uint32_t negative = bits >> 31;
    const int32_t biased = (int32_t)(bits >> 23 & 0xff);
    uint32_t mantissa = bits & 0x7fffff;
    if (biased == 0xff) {
        return mantissa != 0 ? 0 /* NaN */ : negative != 0 ? INT8_MIN : INT8_MAX;
    }
    /* |x| = mantissa * 2^power; subnormal numbers have no hidden bit. */
    mantissa |= biased != 0 ? 0x800000 : 0;
    const int32_t power = (biased != 0 ? biased : 1) - 150;
    /* |x| / 2^exponent = mantissa / 2^right */
    int32_t right = exponent - power;
    if (mantissa == 0 || right > 24) {
        return 0; /* mantissa < 2^24: nearer to 0 than 1/2 */
    }
    if (right <= 0) {
        /* 8 bits to the left saturate every mantissa. */
        mantissa = right < -8 || mantissa > 0xff ? 0xff : mantissa << -right;
        right = 0;
    }
    /* Round half up: for a negative number, half its magnitude's last bit down. */
    const uint32_t half = right > 0 ? ((uint32_t)1 << (right - 1)) - negative : 0;
    const uint32_t magnitude = (mantissa + half) >> right;
    if (negative != 0) {
        return (int8_t)(magnitude > 128 ? INT8_MIN : -(int32_t)magnitude);
    }
    return (int8_t)(magnitude > 127 ? INT8_MAX : (int32_t)magnitude);
}

/* x * 2^exponent, exact; infinite where it leaves the range of float. */
static inline float esp_dl_dequantize_value(int8_t x, int32_t exponent)
{
    const uint32_t sign = x < 0 ? 0x80000000u : 0;
    const uint32_t magnitude = (uint32_t)(x < 0 ? -(int32_t)x : x);
    uint32_t bits = 0;
    if (magnitude != 0) {
        int32_t top = 0; /* the highest bit of the magnitude */
        while (magnitude >> top > 1) {
            top++;
        }
        const int32_t biased = exponent + top + 127;
        if (biased >= 0xff) {
            bits = sign | 0x7f800000u;
        } else if (biased > 0) {
            bits = sign | (uint32_t)biased << 23 | (magnitude << (23 - top) & 0x7fffff);
        } else {
            bits = sign | magnitude << (exponent + 149); /* subnormal: units of 2^-149 */
        }
    }
    float y;
    memcpy(&y, &bits, sizeof y);
    return y;
}

#endif
