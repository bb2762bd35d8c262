/* What depthwise_conv2d_row_esp32s3.S computes on the ESP32-S3, from the same data, in C. */
#include "convolution/depthwise_conv2d_row_esp32s3.h"
#include "common/lanes_esp32s3.h"

#ifndef ESP_DL_ESP32S3

void esp_dl_depthwise_conv2d_row_esp32s3(const esp_dl_depthwise_row_t *row)
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

/* Sums of sixteen channels, and what holds them in their lanes. */
typedef struct {
    int32_t acc[ESP_DL_LANES], most[ESP_DL_LANES], least[ESP_DL_LANES];
} sums_t;

/* The products of a tap. */
static void add_tap(const int8_t *tap, const int8_t *weights, sums_t *sums)
{
    for (int32_t lane = 0; lane < ESP_DL_LANES; lane++) {
        const int32_t product = tap[lane] * weights[lane];
        sums->acc[lane] += product;
        esp_dl_extend(product, &sums->most[lane], &sums->least[lane]);
    }
}

/* 3x3 taps, in the order of their weights (esp_dl_esp32s3.h). rows: of the window; at: of its first tap in each */
static void three(const esp_dl_depthwise_row_t *row, const int8_t *const *rows, int32_t at, const int8_t *weights,
                  sums_t *sums)
{
    static const uint8_t order[9][2] = {{2, 0}, {1, 0}, {0, 0}, {0, 1}, {0, 2}, {1, 1}, {2, 1}, {1, 2}, {2, 2}};
    const int32_t second = row->shared + row->first_step;
    const int32_t place[3] = {row->shared, second, second + row->second_step};
    for (int32_t i = 0; i < 9; i++, weights += ESP_DL_LANES) {
        add_tap(rows[order[i][0]] + at + place[order[i][1]], weights, sums);
    }
}

/* 5x5 taps. */
static void five(const esp_dl_depthwise_row_t *row, const int8_t *const *rows, int32_t at, const int8_t *weights,
                 sums_t *sums)
{
    for (int32_t i = 0; i < 25; i++, weights += ESP_DL_LANES) {
        add_tap(rows[i / 5] + at + i % 5 * row->tap_step, weights, sums);
    }
}

typedef void add_window_t(const esp_dl_depthwise_row_t *row, const int8_t *const *rows, int32_t at,
                          const int8_t *weights, sums_t *sums);

/* Rows of pixels whose windows have `taps`, masks are bounds. */
static void rows_of(const esp_dl_depthwise_row_t *row, int32_t taps, add_window_t *add_window)
{
    const int8_t *data = row->weights;
    for (int32_t c = 0; c < row->channels; c += ESP_DL_LANES) {
        const int8_t *masks = data + 48 + taps * ESP_DL_LANES, *end = masks;
        int8_t *y = row->output + c;
        for (int32_t pixel = 0; pixel < row->pixel_rows * row->pixels; pixel++, y += row->output_step) {
            const int8_t *const *rows = row->rows + pixel / row->pixels * row->list_step / (int32_t)sizeof(*rows);
            sums_t sums = {.most = {0}, .least = {0}};
            const uint8_t *shifts;
            const int8_t *weights = esp_dl_load_head(data, sums.acc, &shifts);
            for (int32_t lane = 0; lane < ESP_DL_LANES; lane++) {
                esp_dl_extend(sums.acc[lane], &sums.most[lane], &sums.least[lane]);
            }
            add_window(row, rows, pixel % row->pixels * row->step + c, weights, &sums);
            for (int32_t lane = 0; lane < ESP_DL_LANES; lane++) {
                esp_dl_hold_lane(sums.most[lane], sums.least[lane], "esp_dl_depthwise_conv2d_s8_esp32s3");
            }
            end = esp_dl_shift_lanes(sums.acc, shifts, masks, 1, row->clamp[0], row->clamp[16], y, ESP_DL_LANES);
        }
        data = end;
    }
}

void esp_dl_depthwise_conv2d_rows_3x3_esp32s3(const esp_dl_depthwise_row_t *row)
{
    rows_of(row, 9, three);
}

void esp_dl_depthwise_conv2d_rows_5x5_esp32s3(const esp_dl_depthwise_row_t *row)
{
    rows_of(row, 25, five);
}

#else
typedef int esp_dl_depthwise_conv2d_row_is_assembly;
#endif
