/* What pool2d_row_esp32s3.S computes on the ESP32-S3, from the same data, in C. */
#include "pooling/pool2d_row_esp32s3.h"
#include "common/lanes_esp32s3.h"

#include <string.h>

#ifndef ESP_DL_ESP32S3

static void maxima(const esp_dl_pool2d_row_t *row)
{
    for (int32_t pixel = 0; pixel < row->pixels; pixel++) {
        for (int32_t c = 0; c < row->channels; c++) {
            int8_t most = row->clamp[0];
            for (int32_t i = 0; i < row->row_count; i++) {
                const int8_t *x = row->rows[i] + row->offset + pixel * row->step + c;
                for (int32_t j = 0; j < row->taps; j++, x += row->tap_step) {
                    most = *x > most ? *x : most;
                }
            }
            row->output[pixel * row->channels + c] = most < row->clamp[16] ? most : row->clamp[16];
        }
    }
}

void esp_dl_max_pool2d_row_esp32s3(const esp_dl_pool2d_row_t *row)
{
    maxima(row);
}

void esp_dl_max_pool2d_row_2x2_esp32s3(const esp_dl_pool2d_row_t *row)
{
    maxima(row);
}

void esp_dl_max_pool2d_row_3x3_esp32s3(const esp_dl_pool2d_row_t *row)
{
    maxima(row);
}

static void maxima_s16(const esp_dl_pool2d_row_t *row)
{
    const int16_t *clamp = (const int16_t *)(const void *)row->clamp;
    for (int32_t pixel = 0; pixel < row->pixels; pixel++) {
        for (int32_t c = 0; c < row->channels; c += 2) {
            int16_t most = clamp[0];
            for (int32_t i = 0; i < row->row_count; i++) {
                const int8_t *x = row->rows[i] + row->offset + pixel * row->step + c;
                for (int32_t j = 0; j < row->taps; j++, x += row->tap_step) {
                    int16_t value;
                    memcpy(&value, x, sizeof(value));
                    most = value > most ? value : most;
                }
            }
            most = most < clamp[8] ? most : clamp[8];
            memcpy(row->output + pixel * row->channels + c, &most, sizeof(most));
        }
    }
}

void esp_dl_max_pool2d_s16_row_esp32s3(const esp_dl_pool2d_row_t *row)
{
    maxima_s16(row);
}

void esp_dl_max_pool2d_s16_row_2x2_esp32s3(const esp_dl_pool2d_row_t *row)
{
    maxima_s16(row);
}

void esp_dl_max_pool2d_s16_row_3x3_esp32s3(const esp_dl_pool2d_row_t *row)
{
    maxima_s16(row);
}

void esp_dl_average_pool2d_row_esp32s3(const esp_dl_pool2d_row_t *row)
{
    const uint8_t *start = (const uint8_t *)row->start;
    for (int32_t pixel = 0; pixel < row->pixels; pixel++) {
        for (int32_t c = 0; c < row->channels; c++) {
            const int upper = c % 16 >= 8;
            int32_t sum = esp_dl_load_20_bits(start + 16 * upper, start + 32 + 4 * upper, c % 8), most = 0, least = 0;
            esp_dl_extend(sum, &most, &least);
            for (int32_t i = 0; i < row->row_count; i++) {
                const int8_t *x = row->rows[i] + row->offset + pixel * row->step + c;
                for (int32_t j = 0; j < row->taps; j++, x += row->tap_step) {
                    sum += *x * row->factor;
                    esp_dl_extend(*x * row->factor, &most, &least);
                }
            }
            esp_dl_hold_lane(most, least, "esp_dl_average_pool2d_s8_esp32s3");
            if (row->reciprocal != 0) {
                sum = (int32_t)((uint64_t)(uint32_t)sum * row->reciprocal >> 32) - row->offset_result;
            } else {
                sum >>= row->shift;
            }
            row->output[pixel * row->channels + c] = (int8_t)esp_dl_clamp(sum, row->clamp[0], row->clamp[16]);
        }
    }
}

void esp_dl_average_pool2d_sums_esp32s3(const esp_dl_pool2d_row_t *row)
{
    uint8_t *sums = (uint8_t *)row->start;
    for (int32_t c = 0; c < row->channels; c++) {
        /* Of sixteen channels the lower halves lie first, and 32 bytes behind them the upper ones. */
        uint8_t *low = sums + c / 16 * 48 + (c % 16 >= 8 ? 16 : 0),
                *high = sums + c / 16 * 48 + 32 + (c % 16 >= 8 ? 4 : 0);
        int32_t sum = esp_dl_load_20_bits(low, high, c % 8), most = 0, least = 0;
        esp_dl_extend(sum, &most, &least);
        const int8_t *x = row->rows[0] + c;
        for (int32_t j = 0; j < row->taps; j++, x += row->tap_step) {
            sum += *x * row->factor;
            esp_dl_extend(*x * row->factor, &most, &least);
        }
        esp_dl_hold_lane(most, least, "esp_dl_average_pool2d_s8_rows_esp32s3");
        esp_dl_store_20_bits(sum, low, high, c % 8);
    }
}

void esp_dl_average_s16_esp32s3(const uint32_t sums[12], const esp_dl_average_s16_t *p, int16_t *output)
{
    const uint8_t *data = (const uint8_t *)sums;
    for (int32_t c = 0; c < 16; c++) {
        const int upper = c >= 8;
        const int32_t sum = esp_dl_load_20_bits(data + 16 * upper, data + 32 + 4 * upper, c % 8);
        const uint32_t quotient = ((uint32_t)(sum * p->factor) + p->offset) / p->divisor;
        output[c] = (int16_t)esp_dl_clamp((int32_t)quotient - p->offset_result, p->min, p->max);
    }
}

void esp_dl_average_pool2d_sums_s16_esp32s3(const int16_t *x, int32_t pixels, int32_t step, int32_t sums[12])
{
    for (int32_t c = 0; c < 8; c++) {
        sums[c] = 0;
        for (int32_t i = 0; i < pixels; i++) {
            sums[c] += x[i * (step / 2) + c];
        }
    }
}

#else
typedef int esp_dl_pool2d_row_is_assembly;
#endif
