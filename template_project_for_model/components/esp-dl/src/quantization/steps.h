/* Many floats to int8, with one exponent and zero point. */
#ifndef ESP_DL_QUANTIZATION_STEPS_H
#define ESP_DL_QUANTIZATION_STEPS_H

#include "common/float_bits.h"

/* What `esp_dl_quantize_with` needs to know of an exponent and a zero point. Its usual values, which take the fewest
 * instructions, are of at least half a step, and their results do not saturate. */
typedef struct {
    int32_t exponent, zero_point;
    uint32_t half_step;          /* the bits of half a step as a float */
    uint32_t positive, negative; /* a positive value, or the magnitude of a negative one, is usual below these bits, of
                                  * which those of half a step are subtracted */
    uint32_t rounding;           /* half a step and the zero point, a step being 2^24 */
} esp_dl_steps_t;

/* The bits of so many half steps less those of one; 0 for 1 or less. Not inlined: called twice, not in a loop. */
__attribute__((noinline)) static uint32_t esp_dl_above_half(int32_t half_steps)
{
    int32_t power = 0;
    while (half_steps >> power > 1) {
        power++;
    }
    return half_steps > 1 ? ((uint32_t)(power - 1) << 23) + ((uint32_t)half_steps << (23 - power)) : 0;
}

static inline esp_dl_steps_t esp_dl_steps(int32_t exponent, int32_t zero_point)
{
    esp_dl_steps_t steps = {.exponent = exponent, .zero_point = zero_point};
    /* Half a step and 2^8 steps are normal numbers; with a zero point of 128, 0 saturates too. */
    if (exponent >= -125 && exponent <= 120 && zero_point <= INT8_MAX) {
        steps.half_step = (uint32_t)(exponent + 126) << 23;
        steps.positive = esp_dl_above_half(2 * (INT8_MAX - zero_point) + 1);
        steps.negative = esp_dl_above_half(2 * (zero_point - INT8_MIN) + 1);
        steps.rounding = 0x800000 + ((uint32_t)zero_point << 24);
    }
    return steps;
}

/* As `esp_dl_quantize_value`, for many values. */
static inline int32_t esp_dl_quantize_with(float x, const esp_dl_steps_t *steps)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    const uint32_t above = (bits & 0x7fffffff) - steps->half_step;
    /* Half up; of the sum modulo 2^8 steps all is right but what is left out. */
    if ((int32_t)bits >= 0) {
        if (above < steps->positive) {
            uint32_t sum = steps->rounding + (((above & 0x7fffff) | 0x800000) << (above >> 23));
            return (int32_t)sum >> 24;
        }
    } else if (above < steps->negative) {
        uint32_t sum = steps->rounding - (((above & 0x7fffff) | 0x800000) << (above >> 23));
        ESP_DL_KEEP(sum); /* apart from the other way, without a jump to what both have */
        return (int32_t)sum >> 24;
    }
    ESP_DL_KEEP(bits);
    return esp_dl_from_zero_point(esp_dl_quantize_any(bits, steps->exponent, 511), steps->zero_point);
}

#endif
