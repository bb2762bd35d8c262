/* What conv2d_row_esp32s3.S and conv2d_held_esp32s3.S compute on the ESP32-S3, from the same data, in C. */
#include "convolution/conv2d_row_esp32s3.h"
#include "common/lanes_esp32s3.h"

#ifndef ESP_DL_ESP32S3

#include <stdbool.h>

/* What is said of sums that leave their lanes. */
#define KERNEL "esp_dl_conv2d_s8_esp32s3"

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

/* What of the input is multiplied: all of it, or one of two parts: x = 16 * (x >> 4) + (x & 15). */
typedef enum { WHOLE, LOWER, UPPER } part_t;

static int32_t part_of(int32_t x, part_t part)
{
    return part == WHOLE ? x : part == LOWER ? x & 15 : x >> 4;
}

/* Sixteen sums; between `most` and `least` lies every partial sum since they were set, in any order of the products or,
 * in sequence, in theirs. */
typedef struct {
    int32_t acc[ESP_DL_LANES], most[ESP_DL_LANES], least[ESP_DL_LANES];
    bool in_sequence;
} sums_t;

static void add(sums_t *sums, int lane, int32_t product)
{
    int32_t *most = &sums->most[lane], *least = &sums->least[lane];
    const int32_t sum = sums->acc[lane] += product;
    if (sums->in_sequence) {
        *most = sum > *most ? sum : *most;
        *least = sum < *least ? sum : *least;
    } else {
        esp_dl_extend(product, most, least);
    }
}

/* What is added to the sum of an output. */
static int32_t addend_of(const esp_dl_conv2d_row_t *row, const int8_t *output)
{
    return *(const int8_t *)((intptr_t)output + row->addend);
}

/* From here on partial sums are those of what comes. */
static void restart(sums_t *sums)
{
    for (int i = 0; i < ESP_DL_LANES; i++) {
        sums->most[i] = sums->least[i] = sums->acc[i];
    }
}

static void hold(const sums_t *sums)
{
    for (int i = 0; i < ESP_DL_LANES; i++) {
        esp_dl_hold_lane(sums->most[i], sums->least[i], KERNEL);
    }
}

/* The sums before the products: the bias, and what is added to those of `channels` values of the output. */
static const int8_t *begin(const esp_dl_conv2d_row_t *row, const int8_t *data, const int8_t *output, int32_t channels,
                           sums_t *sums, const uint8_t **shifts)
{
    const int8_t *weights = esp_dl_load_head(data, sums->acc, shifts);
    sums->in_sequence = false;
    for (int i = 0; i < ESP_DL_LANES; i++) {
        sums->most[i] = sums->least[i] = 0;
        esp_dl_extend(sums->acc[i], &sums->most[i], &sums->least[i]);
    }
    for (int32_t factor = 0; factor < row->factors; factor++, weights += ESP_DL_LANES) {
        for (int i = 0; i < channels; i++) {
            add(sums, i, ~addend_of(row, output + i) * weights[i]);
        }
    }
    return weights;
}

/* The products of a segment, sixteen channels at a time, after the last multiple of 16 backwards; returns the end of
 * its weights. in_order: none is backwards, nor is their number made even */
static const int8_t *add_segment(const int8_t *x, int32_t bytes, const int8_t *weights, part_t part, bool in_order,
                                 sums_t *sums)
{
    const int32_t full = in_order ? bytes : bytes / 16 * 16, tail = in_order ? 0 : (bytes + 1) / 2 * 2 - full;
    for (int32_t k = 0; k < full + tail; k++, weights += ESP_DL_LANES) {
        const int32_t at = k < full ? k : full + tail - 1 - (k - full);
        if (at < bytes) {
            for (int i = 0; i < ESP_DL_LANES; i++) {
                add(sums, i, part_of(x[at], part) * weights[i]);
            }
        }
    }
    return weights;
}

/* One pixel of sixteen channels; returns the end of their data. flagged: set where a checked sum became too large */
static const int8_t *lanes(const esp_dl_conv2d_row_t *row, int32_t offset, const int8_t *data, int8_t *output,
                           int32_t channels, bool in_order, bool *flagged)
{
    sums_t sums;
    const uint8_t *shifts;
    const int8_t *weights = begin(row, data, output, channels, &sums, &shifts);
    bool held = true;
    sums.in_sequence = row->in_sequence != 0;
    for (int32_t s = 0; s < row->segment_count; s++) {
        weights = add_segment(row->segments[s] + offset, row->segment_bytes, weights, WHOLE, in_order, &sums);
        const bool looks = row->check_bits != 0 && (s + 1) % row->check_every == 0;
        if (looks && s + 1 < row->segment_count && held) {
            hold(&sums);
            restart(&sums);
            /* From here on lanes may saturate: the pixel is computed again. */
            held = !too_large(sums.acc, row->check_bits);
            *flagged |= !held;
        }
    }
    if (held) {
        hold(&sums);
    }
    if (in_order) {
        weights += ESP_DL_LANES * (row->segment_count * row->segment_bytes % 2);
    }
    return esp_dl_shift_lanes(sums.acc, shifts, weights, row->open, row->min, row->max, output, channels);
}

/* All pixels of a row; whether a checked sum became too large. */
static bool pixels(const esp_dl_conv2d_row_t *row, bool in_order)
{
    bool flagged = false;
    for (int32_t pixel = 0; pixel < row->pixels; pixel++) {
        const int8_t *data = row->weights;
        int8_t *output = row->output + pixel * row->output_step;
        for (int32_t c = 0; c < row->channels; c += ESP_DL_LANES) {
            const int32_t channels = row->channels - c < ESP_DL_LANES ? row->channels - c : ESP_DL_LANES;
            data = lanes(row, pixel * row->step, data, output + c, channels, in_order, &flagged);
        }
    }
    return flagged;
}

int32_t esp_dl_conv2d_row_lanes_esp32s3(const esp_dl_conv2d_row_t *row)
{
    return pixels(row, false);
}

/* One pixel of sixteen channels by the two parts of the input; returns the end of their data. */
static const int8_t *two_parts(const esp_dl_conv2d_row_t *row, int32_t offset, const int8_t *data, int8_t *output)
{
    sums_t sums;
    int32_t lower[ESP_DL_LANES];
    const uint8_t *shifts;
    const int8_t *const start = begin(row, data, output, ESP_DL_LANES, &sums, &shifts), *weights = start;
    for (int32_t s = 0; s < row->segment_count; s++) {
        weights = add_segment(row->segments[s] + offset, row->segment_bytes, weights, LOWER, false, &sums);
    }
    hold(&sums);
    for (int i = 0; i < ESP_DL_LANES; i++) {
        lower[i] = sums.acc[i] & 15;
        sums.acc[i] >>= 4;
    }
    restart(&sums);
    weights = start;
    for (int32_t s = 0; s < row->segment_count; s++) {
        weights = add_segment(row->segments[s] + offset, row->segment_bytes, weights, UPPER, false, &sums);
    }
    hold(&sums);
    for (int i = 0; i < ESP_DL_LANES; i++) {
        sums.acc[i] = sums.acc[i] * 16 + lower[i];
    }
    return esp_dl_shift_lanes(sums.acc, shifts, weights, row->open, row->min, row->max, output, ESP_DL_LANES);
}

void esp_dl_conv2d_row_parts_esp32s3(const esp_dl_conv2d_row_t *row)
{
    int8_t *output = row->output;
    for (int32_t pixel = 0; pixel < row->pixels; pixel++) {
        const int8_t *data = row->weights;
        for (int32_t c = 0; c < row->channels; c += ESP_DL_LANES, output += ESP_DL_LANES) {
            data = two_parts(row, pixel * row->step, data, output);
        }
    }
}

void esp_dl_conv2d_row_one_esp32s3(const esp_dl_conv2d_row_t *row)
{
    pixels(row, false);
}

void esp_dl_conv2d_row_held_esp32s3(const esp_dl_conv2d_row_t *row)
{
    pixels(row, false);
}

void esp_dl_conv2d_row_nine_esp32s3(const esp_dl_conv2d_row_t *row)
{
    pixels(row, false);
}

void esp_dl_conv2d_row_three_esp32s3(const esp_dl_conv2d_row_t *row)
{
    pixels(row, true);
}

/* begun: sums begin with `sums`. */
static void wide(const esp_dl_conv2d_row_t *row, bool begun)
{
    const int32_t bytes = row->vectors * 16;
    const int32_t chunks = (row->segment_bytes + bytes - 1) / bytes;
    const int32_t chunk_bytes = bytes * row->channels;
    const int8_t *weights = row->weights + (8 * row->channels + 15) / 16 * 16;
    const int8_t *shifts = weights + row->segment_count * chunks * chunk_bytes;
    for (int32_t pixel = 0; pixel < row->pixels; pixel++) {
        for (int32_t c = 0; c < row->channels; c++) {
            int32_t acc;
            memcpy(&acc, begun ? (const int8_t *)(row->sums + c) : row->weights + 8 * c, sizeof(acc));
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

void esp_dl_conv2d_row_wide_esp32s3(const esp_dl_conv2d_row_t *row)
{
    wide(row, false);
}

void esp_dl_conv2d_row_wide_add_esp32s3(const esp_dl_conv2d_row_t *row)
{
    wide(row, true);
}

int32_t esp_dl_conv2d_row_lanes_add_esp32s3(const esp_dl_conv2d_row_t *row)
{
    return pixels(row, false);
}

void esp_dl_conv2d_row_one_add_esp32s3(const esp_dl_conv2d_row_t *row)
{
    pixels(row, false);
}

void esp_dl_conv2d_row_held_add_esp32s3(const esp_dl_conv2d_row_t *row)
{
    pixels(row, false);
}

void esp_dl_conv2d_row_nine_add_esp32s3(const esp_dl_conv2d_row_t *row)
{
    pixels(row, false);
}

void esp_dl_conv2d_row_parts_add_esp32s3(const esp_dl_conv2d_row_t *row)
{
    esp_dl_conv2d_row_parts_esp32s3(row);
}

#else
typedef int esp_dl_conv2d_row_is_assembly;
#endif
