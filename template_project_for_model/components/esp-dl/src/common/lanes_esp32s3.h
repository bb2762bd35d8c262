/* Lanes of 20 bits (esp_dl_esp32s3.h) in C: the data of sixteen channels, and what keeps their sums in the lanes. */
#ifndef ESP_DL_COMMON_LANES_ESP32S3_H
#define ESP_DL_COMMON_LANES_ESP32S3_H

#include "common/requantize.h"
#include "esp_dl/limits.h"

#include <string.h>

/*
 * On the chip a lane saturates at every step, so a sum that leaves it gives wrong bytes; the C sums in 32 bits and
 * would hide that. So it adds up what is positive and what is negative by itself, `most` and `least`: between them lies
 * every partial sum in whatever order the chip adds. What leaves the lanes ends the program: the exporter proved
 * something that is not so.
 */
static inline void esp_dl_extend(int32_t value, int32_t *most, int32_t *least)
{
    *most += value > 0 ? value : 0;
    *least += value < 0 ? value : 0;
}

#ifdef ESP_DL_ESP32S3
static inline void esp_dl_hold_lane(int32_t most, int32_t least, const char *kernel)
{
    (void)most, (void)least, (void)kernel;
}
#else
/* Says on stderr that a sum of `kernel` leaves its lane, and aborts. */
_Noreturn void esp_dl_fail_lane(int32_t most, int32_t least, const char *kernel);

static inline void esp_dl_hold_lane(int32_t most, int32_t least, const char *kernel)
{
    if (most > ESP_DL_LANE_MAX || least < -ESP_DL_LANE_MAX) {
        esp_dl_fail_lane(most, least, kernel);
    }
}
#endif

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

static inline void esp_dl_store_20_bits(int32_t value, uint8_t *low, uint8_t *high, int lane)
{
    for (int bit = 0; bit < 20; bit++) {
        const int at = lane * 20 + bit;
        uint8_t *byte = at < 128 ? &low[at / 8] : &high[(at - 128) / 8];
        *byte = (uint8_t)((*byte & ~(1u << at % 8)) | ((uint32_t)value >> bit & 1u) << at % 8);
    }
}

/* The bias of sixteen channels, and where their shifts lie; returns where their weights begin. */
static inline const int8_t *esp_dl_load_head(const int8_t *data, int32_t *acc, const uint8_t **shifts)
{
    const uint8_t *head = (const uint8_t *)data;
    for (int i = 0; i < ESP_DL_LANES; i++) {
        const int upper = i / 8;
        acc[i] = esp_dl_load_20_bits(head + 16 * upper, head + 32 + 4 * upper, i % 8);
    }
    *shifts = head + 40;
    return data + 48;
}

/* From sums to `channels` bytes, every channel by its own shift; returns the end of the masks. shifts: in the head;
 * bounds: the masks hold `min` for the channels that have this shift, else 127: the least of all shifts' values counts,
 * each not below its mask */
static inline const int8_t *esp_dl_shift_lanes(const int32_t *acc, const uint8_t *shifts, const int8_t *masks,
                                               int32_t bounds, int32_t min, int32_t max, int8_t *output,
                                               int32_t channels)
{
    const int32_t shift_count = shifts[ESP_DL_LANE_SHIFTS];
    int8_t result[ESP_DL_LANES];
    int32_t shift = 0;
    memset(result, (uint8_t)max, sizeof(result));
    for (int32_t m = 0; m < shift_count; m++) {
        shift += shifts[m];
        for (int i = 0; i < ESP_DL_LANES; i++) {
            if (bounds) {
                const int8_t value = esp_dl_requantize(acc[i], shift, shift_count == 1 ? min : masks[i], INT8_MAX);
                result[i] = value < result[i] ? value : result[i];
            } else if (shift_count == 1 || masks[i] != 0) {
                result[i] = esp_dl_requantize(acc[i], shift, min, max);
            }
        }
        masks += shift_count > 1 ? ESP_DL_LANES : 0;
    }
    memcpy(output, result, (size_t)channels);
    return masks;
}

#endif
