/*
 * What conv2d_row_esp32s3.S computes on the ESP32-S3, from the same data, in C. There, too, it computes the few rows
 * whose sums the lanes of 20 bits may not hold.
 */
#include "convolution/conv2d_row_esp32s3.h"
#include "common/lanes_esp32s3.h"

#include <stdbool.h>

/* What is said of sums that leave their lanes. */
#define KERNEL "esp_dl_conv2d_s8_esp32s3"

/* How sums are held to the lanes: not at all, by the exporter's proof, or between segments (checked). */
typedef enum { UNHELD, PROVED, CHECKED } holding_t;

static void hold(const int32_t *most, const int32_t *least)
{
    for (int i = 0; i < ESP_DL_LANES; i++) {
        esp_dl_hold_lane(most[i], least[i], KERNEL);
    }
}

/* Whether a sum is so large that the next segment could take it out of its lane; as the assembly sees it, in the upper
 * bits of the sums. */
static bool too_large(const int32_t *acc, int32_t check_bits)
{
    bool found = false;
    for (int i = 0; i < ESP_DL_LANES; i++) {
        found |= acc[i] >> check_bits >= INT8_MAX || acc[i] >> check_bits <= INT8_MIN;
    }
    return found;
}

/* The products of a segment, sixteen channels at a time; returns the end of its weights. held: also in most, least */
static const int8_t *add_segment(const int8_t *x, int32_t bytes, const int8_t *weights, int32_t *acc, int32_t *most,
                                 int32_t *least, bool held)
{
    const int32_t full = bytes / 16 * 16, tail = (bytes + 1) / 2 * 2 - full;
    for (int32_t k = 0; k < full + tail; k++, weights += ESP_DL_LANES) {
        const int32_t at = k < full ? k : full + tail - 1 - (k - full);
        if (at < bytes) {
            for (int i = 0; i < ESP_DL_LANES; i++) {
                const int32_t product = x[at] * weights[i];
                acc[i] += product;
                if (held) {
                    esp_dl_extend(product, &most[i], &least[i]);
                }
            }
        }
    }
    return weights;
}

/* One pixel of sixteen channels; returns the end of their data. flagged: set where a checked sum became too large */
static inline const int8_t *lanes(const esp_dl_conv2d_row_t *row, int32_t offset, const int8_t *data, int8_t *output,
                                  int32_t channels, holding_t holding, bool *flagged)
{
    int32_t acc[ESP_DL_LANES], most[ESP_DL_LANES] = {0}, least[ESP_DL_LANES] = {0};
    const uint8_t *shifts;
    const int8_t *weights = esp_dl_load_head(data, acc, &shifts);
    bool held = holding != UNHELD;
    for (int i = 0; held && i < ESP_DL_LANES; i++) {
        esp_dl_extend(acc[i], &most[i], &least[i]);
    }
    for (int32_t s = 0; s < row->segment_count; s++) {
        weights = add_segment(row->segments[s] + offset, row->segment_bytes, weights, acc, most, least, held);
        if (holding != CHECKED || s + 1 == row->segment_count || !held) {
            continue;
        }
        hold(most, least);
        if (too_large(acc, row->check_bits)) {
            /* From here on lanes may saturate: the row is computed again. */
            *flagged = true;
            held = false;
        }
        for (int i = 0; i < ESP_DL_LANES; i++) {
            most[i] = least[i] = acc[i];
        }
    }
    if (held) {
        hold(most, least);
    }
    return esp_dl_shift_lanes(acc, shifts, weights, row->min_masks, row->min, row->max, output, channels);
}

/* All pixels of a row; whether a checked sum became too large. */
static inline bool pixels(const esp_dl_conv2d_row_t *row, holding_t holding)
{
    bool flagged = false;
    int8_t *output = row->output;
    for (int32_t pixel = 0; pixel < row->pixels; pixel++) {
        const int8_t *data = row->weights;
        for (int32_t c = 0; c < row->channels; c += ESP_DL_LANES) {
            const int32_t channels = row->channels - c < ESP_DL_LANES ? row->channels - c : ESP_DL_LANES;
            data = lanes(row, pixel * row->step, data, output, channels, holding, &flagged);
            output += channels;
        }
    }
    return flagged;
}

void esp_dl_conv2d_row_exact_esp32s3(const esp_dl_conv2d_row_t *row)
{
    pixels(row, UNHELD);
}

#ifndef ESP_DL_ESP32S3

int32_t esp_dl_conv2d_row_lanes_esp32s3(const esp_dl_conv2d_row_t *row)
{
    return row->check_bits ? pixels(row, CHECKED) : pixels(row, PROVED);
}

void esp_dl_conv2d_row_one_esp32s3(const esp_dl_conv2d_row_t *row)
{
    pixels(row, PROVED);
}

void esp_dl_conv2d_row_held_esp32s3(const esp_dl_conv2d_row_t *row)
{
    pixels(row, PROVED);
}

void esp_dl_conv2d_row_wide_esp32s3(const esp_dl_conv2d_row_t *row)
{
    const int32_t bytes = row->vectors * 16;
    const int32_t chunks = (row->segment_bytes + bytes - 1) / bytes;
    const int32_t chunk_bytes = bytes * row->channels;
    const int8_t *weights = row->weights + (8 * row->channels + 15) / 16 * 16;
    const int8_t *shifts = weights + row->segment_count * chunks * chunk_bytes;
    for (int32_t pixel = 0; pixel < row->pixels; pixel++) {
        for (int32_t c = 0; c < row->channels; c++) {
            int32_t acc;
            memcpy(&acc, row->weights + 8 * c, sizeof(acc));
            for (int32_t s = 0; s < row->segment_count; s++) {
                const int8_t *x = row->segments[s] + pixel * row->step;
                for (int32_t k = 0; k < row->segment_bytes; k++) {
                    const int32_t chunk = s * chunks + k / bytes;
                    acc += x[k] * weights[chunk * chunk_bytes + c * bytes + k % bytes];
                }
            }
            row->output[pixel * row->channels + c] = esp_dl_requantize(acc, shifts[c], row->min, row->max);
        }
    }
}

#endif
