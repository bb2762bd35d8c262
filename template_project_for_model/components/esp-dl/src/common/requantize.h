/* From 32-bit sums to int8, shared by all kernels. */
#ifndef ESP_DL_COMMON_REQUANTIZE_H
#define ESP_DL_COMMON_REQUANTIZE_H

#include <stdint.h>

static inline int32_t esp_dl_clamp(int32_t value, int32_t min, int32_t max)
{
    if (value < min) {
        value = min;
    }
    if (value > max) {
        value = max;
    }
    return value;
}

/* acc >> shift, or acc << -shift for shift < 0, which saturates at int8: a value beyond int8 is clamped in any case,
 * and nothing overflows. acc already contains the half that rounding adds. */
static inline int32_t esp_dl_shift(int32_t acc, int32_t shift)
{
    return shift >= 0 ? acc >> shift : esp_dl_clamp(acc, INT8_MIN, INT8_MAX) * (1 << -shift);
}

/* sat8 of it within [min, max], which lie in int8. */
static inline int8_t esp_dl_requantize(int32_t acc, int32_t shift, int32_t min, int32_t max)
{
    acc = esp_dl_clamp(esp_dl_shift(acc, shift), min, max);
    /* Kept 32 bits wide up to here: as int8 it would be sign-extended first. */
    __asm__("" : "+r"(acc));
    return (int8_t)acc;
}

/* The half that rounding adds before a right shift. */
static inline int32_t esp_dl_half(int32_t shift)
{
    return shift > 0 ? (int32_t)1 << (shift - 1) : 0;
}

#endif
