/* The data of sixteen channels in lanes of 20 bits (esp_dl_esp32s3.h), read in C. */
#ifndef ESP_DL_COMMON_LANES_ESP32S3_H
#define ESP_DL_COMMON_LANES_ESP32S3_H

#include "common/requantize.h"

#include <string.h>

#define ESP_DL_LANE_COUNT 16

static inline int32_t esp_dl_load_20_bits(const uint8_t *low, const uint8_t *high, int lane)
{
    uint32_t value = 0;
    for (int bit = 0; bit < 20; bit++) {
        const int at = lane * 20 + bit;
        const uint8_t byte = at < 128 ? low[at / 8] : high[(at - 128) / 8];
        value |= (uint32_t)(byte >> at % 8 & 1) << bit;
    }
    return (int32_t)(value ^ 0x80000u) - 0x80000;
}

/* The bias of sixteen channels, and where their shifts lie; returns where their weights begin. */
static inline const int8_t *esp_dl_load_head(const int8_t *data, int32_t *acc, const uint8_t **shifts)
{
    const uint8_t *head = (const uint8_t *)data;
    for (int i = 0; i < ESP_DL_LANE_COUNT; i++) {
        const int upper = i / 8;
        acc[i] = esp_dl_load_20_bits(head + 16 * upper, head + 32 + 4 * upper, i % 8);
    }
    *shifts = head + 40;
    return data + 48;
}

/* From sums to `channels` bytes, every channel by its own shift; returns the end of the masks. shifts: in the head;
 * least: the masks are 0 for the channels that have this shift, else 127 */
static inline const int8_t *esp_dl_shift_lanes(const int32_t *acc, const uint8_t *shifts, const int8_t *masks,
                                               int32_t least, int32_t min, int32_t max, int8_t *output,
                                               int32_t channels)
{
    const int32_t shift_count = shifts[7];
    int8_t result[ESP_DL_LANE_COUNT];
    int32_t shift = 0;
    for (int32_t m = 0; m < shift_count; m++) {
        shift += shifts[m];
        for (int i = 0; i < ESP_DL_LANE_COUNT; i++) {
            if (shift_count == 1 || (masks[i] == 0) == (least != 0)) {
                result[i] = esp_dl_requantize(acc[i], shift, min, max);
            }
        }
        masks += shift_count > 1 ? ESP_DL_LANE_COUNT : 0;
    }
    memcpy(output, result, (size_t)channels);
    return masks;
}

#endif
