/* Channels that the vector unit of the ESP32-S3 leaves to be shifted left. */
#ifndef ESP_DL_COMMON_SHIFT_LEFT_ESP32S3_H
#define ESP_DL_COMMON_SHIFT_LEFT_ESP32S3_H

#include "common/requantize.h"

/*
 * Of `pixels` of so many channels, channel c < left_channels is shifted left by left[c], 0..8, and clamped to min..max
 * again. 0 lies in min..max: then it makes no difference that the value had been clamped before.
 */
static inline void esp_dl_shift_left_esp32s3(int8_t *y, int32_t pixels, int32_t channels, const int8_t *left,
                                             int32_t left_channels, int32_t min, int32_t max)
{
    for (int32_t c = 0; c < left_channels; c++) {
        const int32_t factor = 1 << left[c];
        int8_t *value = y + c;
        for (int32_t i = factor > 1 ? pixels : 0; i > 0; i--, value += channels) {
            *value = (int8_t)esp_dl_clamp(*value * factor, min, max);
        }
    }
}

#endif
