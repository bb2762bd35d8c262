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
            end = esp_dl_shift_lanes(acc, shifts, weights, 0, row->clamp[0], row->clamp[16],
                                     row->output + pixel * row->channels + c, channels);
        }
        data = end;
    }
}

void esp_dl_depthwise_conv2d_row_esp32s3(const esp_dl_depthwise_row_t *row)
{
    any_window(row);
}

/* Sums of 3x3 taps, from their order in the weights (esp_dl_esp32s3.h). x: of the three rows, at the first tap */
static void three(const esp_dl_depthwise_row_t *row, const int8_t *const x[3], const int8_t *weights, int32_t *acc,
                  int32_t *most, int32_t *least)
{
    static const uint8_t shared_middle[9] = {7, 4, 0, 2, 1, 3, 6, 5, 8}, shared_first[9] = {6, 3, 0, 1, 2, 4, 7, 5, 8};
    const uint8_t *order = row->shared > 0 ? shared_middle : shared_first;
    for (int32_t i = 0; i < 9; i++, weights += ESP_DL_LANES) {
        const int8_t *tap = x[order[i] / 3] + order[i] % 3 * row->tap_step;
        for (int32_t lane = 0; lane < ESP_DL_LANES; lane++) {
            const int32_t product = tap[lane] * weights[lane];
            acc[lane] += product;
            esp_dl_extend(product, &most[lane], &least[lane]);
        }
    }
}

void esp_dl_depthwise_conv2d_rows_3x3_esp32s3(const esp_dl_depthwise_row_t *row)
{
    const int8_t *data = row->weights;
    for (int32_t c = 0; c < row->channels; c += ESP_DL_LANES) {
        const int8_t *masks = data + 48 + 9 * ESP_DL_LANES, *end = masks;
        int8_t *y = row->output + c;
        for (int32_t pixel = 0; pixel < row->pixel_rows * row->pixels; pixel++, y += row->output_step) {
            const int8_t *const *rows = row->rows + pixel / row->pixels * row->list_step / (int32_t)sizeof(*rows);
            const int32_t at = pixel % row->pixels * row->step + c;
            const int8_t *const x[3] = {rows[0] + at, rows[1] + at, rows[2] + at};
            int32_t acc[ESP_DL_LANES], most[ESP_DL_LANES] = {0}, least[ESP_DL_LANES] = {0};
            const uint8_t *shifts;
            const int8_t *weights = esp_dl_load_head(data, acc, &shifts);
            for (int32_t lane = 0; lane < ESP_DL_LANES; lane++) {
                esp_dl_extend(acc[lane], &most[lane], &least[lane]);
            }
            three(row, x, weights, acc, most, least);
            for (int32_t lane = 0; lane < ESP_DL_LANES; lane++) {
                esp_dl_hold_lane(most[lane], least[lane], "esp_dl_depthwise_conv2d_s8_esp32s3");
            }
            end = esp_dl_shift_lanes(acc, shifts, masks, 1, row->clamp[0], row->clamp[16], y, ESP_DL_LANES);
        }
        data = end;
    }
}

void esp_dl_depthwise_conv2d_row_pairs_esp32s3(const esp_dl_depthwise_row_t *row)
{
    any_window(row);
}

#else
typedef int esp_dl_depthwise_conv2d_row_is_assembly;
#endif
