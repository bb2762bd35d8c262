/*
 * What conv2d_row_esp32s3.S computes on the ESP32-S3, from the same data, in C. There, too, it computes the few rows
 * whose sums the lanes of 20 bits may not hold.
 */
#include "convolution/conv2d_row_esp32s3.h"
#include "common/lanes_esp32s3.h"

/* One pixel of sixteen channels; returns the end of their data. */
static const int8_t *lanes(const esp_dl_conv2d_row_t *row, int32_t offset, const int8_t *data, int8_t *output,
                           int32_t channels)
{
    int32_t acc[ESP_DL_LANE_COUNT];
    const uint8_t *shifts;
    const int8_t *weights = esp_dl_load_head(data, acc, &shifts);
    const int32_t full = row->segment_bytes / 16 * 16, tail = (row->segment_bytes + 1) / 2 * 2 - full;
    for (int32_t s = 0; s < row->segment_count; s++) {
        const int8_t *x = row->segments[s] + offset;
        for (int32_t k = 0; k < full + tail; k++, weights += ESP_DL_LANE_COUNT) {
            const int32_t at = k < full ? k : full + tail - 1 - (k - full);
            if (at < row->segment_bytes) {
                for (int i = 0; i < ESP_DL_LANE_COUNT; i++) {
                    acc[i] += x[at] * weights[i];
                }
            }
        }
    }
    return esp_dl_shift_lanes(acc, shifts, weights, row->least, row->min, row->max, output, channels);
}

void esp_dl_conv2d_row_exact_esp32s3(const esp_dl_conv2d_row_t *row)
{
    int8_t *output = row->output;
    for (int32_t pixel = 0; pixel < row->pixels; pixel++) {
        const int8_t *data = row->weights;
        for (int32_t c = 0; c < row->channels; c += ESP_DL_LANE_COUNT) {
            const int32_t channels = row->channels - c < ESP_DL_LANE_COUNT ? row->channels - c : ESP_DL_LANE_COUNT;
            data = lanes(row, pixel * row->step, data, output, channels);
            output += channels;
        }
    }
}

#ifndef ESP_DL_ESP32S3

int32_t esp_dl_conv2d_row_lanes_esp32s3(const esp_dl_conv2d_row_t *row)
{
    esp_dl_conv2d_row_exact_esp32s3(row);
    return 0;
}

void esp_dl_conv2d_row_one_esp32s3(const esp_dl_conv2d_row_t *row)
{
    esp_dl_conv2d_row_exact_esp32s3(row);
}

void esp_dl_conv2d_row_held_esp32s3(const esp_dl_conv2d_row_t *row)
{
    esp_dl_conv2d_row_exact_esp32s3(row);
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
