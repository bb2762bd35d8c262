/* What depthwise_conv2d_row_esp32s3.S computes on the ESP32-S3, from the same data, in C. */
#include "convolution/depthwise_conv2d_row_esp32s3.h"
#include "common/lanes_esp32s3.h"

#ifndef ESP_DL_ESP32S3

static void any_window(const esp_dl_depthwise_row_t *row)
{
    const int8_t *data = row->weights;
    for (int32_t c = 0; c < row->channels; c += ESP_DL_LANES) {
        const int32_t channels = row->channels - c < ESP_DL_LANES ? row->channels - c : ESP_DL_LANES;
        const int8_t *end = data;
        for (int32_t pixel = 0; pixel < row->pixels; pixel++) {
            int32_t acc[ESP_DL_LANES], most[ESP_DL_LANES] = {0}, least[ESP_DL_LANES] = {0};
            const uint8_t *shifts;
            const int8_t *weights = esp_dl_load_head(data, acc, &shifts);
            for (int32_t lane = 0; lane < channels; lane++) {
                esp_dl_extend(acc[lane], &most[lane], &least[lane]);
            }
            for (int32_t i = 0; i < row->row_count; i++) {
                const int8_t *x = row->rows[i] + pixel * row->step + c;
                for (int32_t j = 0; j < row->taps; j++, x += row->tap_step, weights += ESP_DL_LANES) {
                    for (int32_t lane = 0; lane < channels; lane++) {
                        const int32_t product = x[lane] * weights[lane];
                        acc[lane] += product;
                        esp_dl_extend(product, &most[lane], &least[lane]);
                    }
                }
            }
            for (int32_t lane = 0; lane < channels; lane++) {
                esp_dl_hold_lane(most[lane], least[lane], "esp_dl_depthwise_conv2d_s8_esp32s3");
            }
            end = esp_dl_shift_lanes(acc, shifts, weights, row->min_masks, row->clamp[0], row->clamp[16],
                                     row->output + pixel * row->channels + c, channels);
        }
        data = end;
    }
}

void esp_dl_depthwise_conv2d_row_esp32s3(const esp_dl_depthwise_row_t *row)
{
    any_window(row);
}

void esp_dl_depthwise_conv2d_row_3x3_esp32s3(const esp_dl_depthwise_row_t *row)
{
    any_window(row);
}

void esp_dl_depthwise_conv2d_row_pairs_esp32s3(const esp_dl_depthwise_row_t *row)
{
    any_window(row);
}

#else
typedef int esp_dl_depthwise_conv2d_row_is_assembly;
#endif
