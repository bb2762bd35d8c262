/* Scaling floats by powers of two with integer instructions only: most of the chips have no floating point unit, and a
 * power of two only changes the exponent. */
#ifndef ESP_DL_COMMON_FLOAT_BITS_H
#define ESP_DL_COMMON_FLOAT_BITS_H

#include "common/registers.h"

#include <stdint.h>
#include <string.h>

/* floor(x / 2^exponent + 1/2) within [-limit - 1, limit] for every x; NaN gives 0. limit: 2^n - 1, from 2^9 - 1 to
 * 2^15 - 1 */
static inline int32_t esp_dl_quantize_any(uint32_t bits, int32_t exponent, int32_t limit)
{
    const int32_t biased = (int32_t)(bits >> 23 & 0xff);
    uint32_t mantissa = bits & 0x7fffff;
    const uint32_t negative = bits >> 31;
    if (biased == 0xff) {
        return mantissa != 0 ? 0 /* NaN */ : negative != 0 ? -limit - 1 : limit;
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
        /* 16 bits to the left saturate every mantissa. */
        mantissa = right < -16 || mantissa > 0xffff ? 0xffff : mantissa << -right;
        right = 0;
    }
    /* Round half up: for a negative number, half its magnitude's last bit down. */
    const uint32_t half = right > 0 ? ((uint32_t)1 << (right - 1)) - negative : 0;
    const uint32_t magnitude = (mantissa + half) >> right;
    if (negative != 0) {
        return magnitude > (uint32_t)limit ? -limit - 1 : -(int32_t)magnitude;
    }
    return magnitude > (uint32_t)limit ? limit : (int32_t)magnitude;
}

/* The same of a float. */
static inline int32_t esp_dl_quantize_within(float x, int32_t exponent, int32_t limit)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    /* The usual case: a magnitude from 1/2 to 256 steps, and an exponent with which that is from 2^-126 to 2^128. */
    const uint32_t places = (uint32_t)(exponent + 149) - (bits >> 23 & 0xff); /* to the right, but for the last */
    if (places - 15 <= 23 - 15 && exponent >= -125 && exponent <= 120) {
        const int32_t value = (int32_t)((bits & 0x7fffff) | 0x800000);
        /* Half up: once more to the right, with 1 added. */
        return ((((int32_t)bits < 0 ? -value : value) >> places) + 1) >> 1;
    }
    ESP_DL_KEEP(bits); /* what follows is computed only here, not for all */
    return esp_dl_quantize_any(bits, exponent, limit);
}

/* sat8(y + zero_point), in 32 bits: as int8 it would be sign-extended once more. y: within [-512, 511], which gives the
 * same as a value beyond; zero_point: -128..128 */
static inline int32_t esp_dl_from_zero_point(int32_t y, int32_t zero_point)
{
    y += zero_point;
    if ((uint32_t)(y - INT8_MIN) > UINT8_MAX) {
        y = y < 0 ? INT8_MIN : INT8_MAX;
    }
    ESP_DL_KEEP(y);
    return y;
}

/* sat8(floor(x / 2^exponent + 1/2) + zero_point); NaN is taken for 0. */
static inline int32_t esp_dl_quantize_value(float x, int32_t exponent, int32_t zero_point)
{
    return esp_dl_from_zero_point(esp_dl_quantize_within(x, exponent, 511), zero_point);
}

/* x * 2^exponent, exact; infinite beyond the range of float. */
static inline float esp_dl_dequantize_value(int32_t x, int32_t exponent)
{
    const uint32_t sign = x < 0 ? 0x80000000u : 0;
    const uint32_t magnitude = (uint32_t)(x < 0 ? -x : x);
    uint32_t bits = 0;
    if (magnitude != 0) {
        /* The highest bit of the magnitude, which has at most 16. */
        int32_t top = magnitude >> 8 != 0 ? 8 : 0;
        top += magnitude >> top > 15 ? 4 : 0;
        top += magnitude >> top > 3 ? 2 : 0;
        top += (int32_t)(magnitude >> top > 1);
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
