/* A quotient of two floats as int8. */
#ifndef ESP_DL_SOFTMAX_QUOTIENT_H
#define ESP_DL_SOFTMAX_QUOTIENT_H

#include "common/float_bits.h"
#include "common/positive_float.h"

/* The float quotient value / sum as int8 at `exponent`; 0 <= value <= sum, sum >= 1. Computed with integers if the
 * float division cannot change the rounding: it changes a quotient by less than 2^-24 of it, and never moves it past a
 * number of 24 bits. */
static inline int8_t esp_dl_quotient(float value, float sum, int32_t exponent)
{
    uint32_t a, b;
    memcpy(&a, &value, sizeof a);
    memcpy(&b, &sum, sizeof b);
    /* 2 * value / sum / 2^exponent = numerator / denominator, 24 bits times 2^places by 24 bits. */
    const int32_t places = (int32_t)(a >> 23) - (int32_t)(b >> 23) + 1 - exponent;
    if (places < -1) {
        return 0;
    }
    if (places >= 0 && places <= 8 && a >> 23 != 0) {
        const uint32_t numerator = ((a & 0x7fffff) | 0x800000) << places;
        const uint32_t denominator = (b & 0x7fffff) | 0x800000;
        const uint32_t twice = numerator / denominator, rest = numerator % denominator;
        if (denominator - rest > 256) { /* numerator * 2^-24 at most */
            const uint32_t y = (twice + 1) >> 1;
            return (int8_t)(y < INT8_MAX ? y : INT8_MAX);
        }
    }
    return esp_dl_quantize_value(esp_dl_divide_positive(value, sum), exponent, 0);
}

#endif
