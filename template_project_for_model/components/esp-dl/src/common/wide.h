/* Tensors that are int8 or int16: reading, writing, and from 32-bit sums to either. */
#ifndef ESP_DL_COMMON_WIDE_H
#define ESP_DL_COMMON_WIDE_H

#include "common/requantize.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The address of element `index`. */
static inline const void *esp_dl_at(const void *data, ptrdiff_t index, bool s16)
{
    return s16 ? (const void *)((const int16_t *)data + index) : (const void *)((const int8_t *)data + index);
}

static inline int32_t esp_dl_load(const void *data, ptrdiff_t index, bool s16)
{
    return s16 ? ((const int16_t *)data)[index] : ((const int8_t *)data)[index];
}

static inline void esp_dl_store(void *data, ptrdiff_t index, int32_t value, bool s16)
{
    if (s16) {
        ((int16_t *)data)[index] = (int16_t)value;
    } else {
        ((int8_t *)data)[index] = (int8_t)value;
    }
}

/* esp_dl_requantize for either width of the result; shift is at least -16. */
static inline int32_t esp_dl_requantize_wide(int32_t acc, int32_t shift, int32_t min, int32_t max, bool s16)
{
    const int32_t low = s16 ? INT16_MIN : INT8_MIN;
    const int32_t high = s16 ? INT16_MAX : INT8_MAX;
    if (shift >= 0) {
        acc >>= shift;
    } else {
        acc = esp_dl_clamp(acc, low, high) * (1 << -shift);
    }
    acc = esp_dl_clamp(acc, low, high);
    return esp_dl_clamp(acc, min, max);
}

#endif
