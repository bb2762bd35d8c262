/* What conv2d_row_s16_esp32s3.S computes on the ESP32-S3, from the same data, in C. */
#include "convolution/conv2d_row_s16_esp32s3.h"
#include "common/requantize.h"

#include <stdbool.h>
#include <string.h>

#ifndef ESP_DL_ESP32S3

enum { EIGHT = 8, HEAD = 48 };

/* A value of 16 bits at any address. */
static int32_t value_at(const int8_t *at)
{
    int16_t value;
    memcpy(&value, at, sizeof(value));
    return value;
}

/* The sums of eight channels, from 40 bits: those of the first four in bytes 0..15 and 32..35, of the others in 16..31
 * and 36..39. */
static void load_sums(const int8_t *head, int64_t sums[EIGHT])
{
    for (int32_t half = 0; half < 2; half++) {
        uint8_t bytes[20];
        memcpy(bytes, head + 16 * half, 16);
        memcpy(bytes + 16, head + 32 + 4 * half, 4);
        for (int32_t i = 0; i < 4; i++) {
            uint64_t value = 0;
            for (int32_t byte = 4; byte >= 0; byte--) {
                value = value << 8 | bytes[5 * i + byte];
            }
            sums[4 * half + i] = (int64_t)(value ^ (uint64_t)1 << 39) - ((int64_t)1 << 39);
        }
    }
}

/* The products of a segment; returns the end of its weights. */
typedef const int8_t *add_segment_t(const esp_dl_row_s16_t *row, const int8_t *x, const int8_t *weights,
                                    int64_t sums[EIGHT]);

static const int8_t *add_values(const esp_dl_row_s16_t *row, const int8_t *x, const int8_t *weights,
                                int64_t sums[EIGHT])
{
    for (int32_t i = 0; i < EIGHT * row->count; i++, x += 2) {
        for (int32_t lane = 0; lane < EIGHT; lane++, weights += 2) {
            /* Beside weights of 0 that fill a vector up lies anything, or nothing. */
            sums[lane] += value_at(weights) == 0 ? 0 : (int64_t)value_at(x) * value_at(weights);
        }
    }
    return weights;
}

static const int8_t *add_taps(const esp_dl_row_s16_t *row, const int8_t *x, const int8_t *weights, int64_t sums[EIGHT])
{
    for (int32_t tap = 0; tap < row->count; tap++, x += row->tap_step) {
        for (int32_t lane = 0; lane < EIGHT; lane++, weights += 2) {
            sums[lane] += value_at(weights) == 0 ? 0 : (int64_t)value_at(x + 2 * lane) * value_at(weights);
        }
    }
    return weights;
}

static void store(const esp_dl_row_s16_t *row, const int64_t sums[EIGHT], int32_t shift, int8_t *output)
{
    for (int32_t lane = 0; lane < EIGHT; lane++) {
        const int64_t sum = sums[lane] >> shift;
        const int64_t most = sum > row->max ? row->max : sum;
        const int16_t value = (int16_t)(most < row->min ? row->min : most);
        if (row->narrow) {
            output[lane] = (int8_t)value;
        } else {
            memcpy(output + 2 * lane, &value, sizeof(value));
        }
    }
}

/* Eight values of the addend times their factors; returns the end of these. */
static const int8_t *add_addend(const esp_dl_row_s16_t *row, int32_t pixel, int32_t block, bool upper,
                                const int8_t *factors, int64_t sums[EIGHT])
{
    const int32_t size = row->addend_s16 ? 2 : 1;
    const int8_t *x = row->addend + pixel * row->addend_step + block * EIGHT * size;
    for (int32_t lane = 0; lane < EIGHT; lane++, factors += 2) {
        const int32_t value = row->addend_s16 ? value_at(x + 2 * lane) : x[lane] * (upper ? 256 : 1);
        sums[lane] += (int64_t)value * value_at(factors);
    }
    return factors;
}

/* channel_step: bytes from the input of eight channels to that of the next */
static void compute(const esp_dl_row_s16_t *row, int32_t channel_step, add_segment_t *add_segment)
{
    const int8_t *data = row->weights;
    for (int32_t block = 0; block < row->blocks; block++) {
        const int8_t *end = data;
        int8_t *output = row->output + block * (row->narrow ? EIGHT : 2 * EIGHT);
        for (int32_t pixel = 0; pixel < row->pixels; pixel++, output += row->output_step) {
            int64_t sums[EIGHT];
            load_sums(data, sums);
            end = data + HEAD;
            if (row->addend != NULL) {
                end = add_addend(row, pixel, block, data[ROW_S16_HEAD_UPPER] != 0, end, sums);
            }
            for (int32_t i = 0; i < row->segments; i++) {
                end = add_segment(row, row->rows[i] + pixel * row->step + block * channel_step, end, sums);
            }
            store(row, sums, data[ROW_S16_HEAD_SHIFT], output);
        }
        data = end;
    }
}

void esp_dl_conv2d_row_s16_esp32s3(const esp_dl_row_s16_t *row)
{
    compute(row, 0, add_values);
}

void esp_dl_conv2d_row_add_s16_esp32s3(const esp_dl_row_s16_t *row)
{
    compute(row, 0, add_values);
}

void esp_dl_depthwise_conv2d_row_s16_esp32s3(const esp_dl_row_s16_t *row)
{
    compute(row, 2 * EIGHT, add_taps);
}

void esp_dl_depthwise_conv2d_row_3x3_s16_esp32s3(const esp_dl_row_s16_t *row)
{
    compute(row, 2 * EIGHT, add_taps);
}

#else
typedef int esp_dl_conv2d_row_s16_is_assembly;
#endif
