/* Fully connected layers to int16 for the vector unit of the ESP32-S3; elsewhere in C, from the same data. */
#include "common/requantize.h"
#include "dense/dense_row_esp32s3.h"
#include "esp_dl_esp32s3.h"

#include <string.h>

#define HEAD 16

#ifndef ESP_DL_ESP32S3

/* The value of an input: a byte, or an upper and a lower one. */
typedef int32_t value_t(const esp_dl_dense_row_t *row, int32_t i);

static int32_t byte_of(const esp_dl_dense_row_t *row, int32_t i)
{
    return row->input[i];
}

static int32_t word_of(const esp_dl_dense_row_t *row, int32_t i)
{
    return row->input[i] * 256 + row->input[16 * row->vectors + i];
}

/* inputs: those that there are of the vectors' */
static void outputs_of(const esp_dl_dense_row_t *row, int32_t inputs, value_t *value)
{
    const int8_t *weights = row->weights;
    for (int32_t o = 0; o < row->outputs; o++) {
        int32_t sum;
        memcpy(&sum, weights, sizeof sum);
        const int32_t shift = weights[8];
        for (int32_t i = 0; i < inputs; i++) {
            sum += value(row, i) * weights[HEAD + i];
        }
        row->output[o] = (int16_t)esp_dl_clamp(sum >> shift, row->min, row->max);
        weights += HEAD + 16 * row->vectors;
    }
}

static void dense_row(const esp_dl_dense_row_t *row, int32_t inputs)
{
    outputs_of(row, inputs, byte_of);
}

static void dense_row_wide(const esp_dl_dense_row_t *row, int32_t inputs)
{
    outputs_of(row, inputs, word_of);
}

static void split(const int16_t *x, int32_t count, int8_t *upper, int8_t *lower)
{
    for (int32_t i = 0; i < count; i++) {
        upper[i] = (int8_t)(x[i] >> 8);
        lower[i] = (int8_t)((x[i] & 0xff) - 128);
    }
}

#else

static void dense_row(const esp_dl_dense_row_t *row, int32_t inputs)
{
    (void)inputs;
    esp_dl_dense_row_s16_esp32s3(row);
}

static void split(const int16_t *x, int32_t count, int8_t *upper, int8_t *lower)
{
    static const _Alignas(16) uint32_t halves[4] = {0x80808080u, 0x80808080u, 0x80808080u, 0x80808080u};
    esp_dl_split_s16_esp32s3(x, (count + 15) / 16, (const int8_t *)halves, upper, lower);
}

static void dense_row_wide(const esp_dl_dense_row_t *row, int32_t inputs)
{
    (void)inputs;
    esp_dl_dense_row_wide_esp32s3(row);
}

#endif

static esp_dl_dense_row_t row_of(const esp_dl_dense_esp32s3_t *p, int16_t *output)
{
    return (esp_dl_dense_row_t){
        .weights = p->weights,
        .output = output,
        .outputs = p->outputs,
        .vectors = (p->inputs + 15) / 16,
        .min = p->min,
        .max = p->max,
    };
}

static void shift_left(const esp_dl_dense_esp32s3_t *p, int16_t *output)
{
    for (int32_t o = 0; o < p->left_outputs; o++) {
        output[o] = (int16_t)esp_dl_clamp(output[o] * (1 << p->left[o]), p->min, p->max);
    }
}

void esp_dl_dense_s16_esp32s3(const int8_t *input, const esp_dl_dense_esp32s3_t *p, int16_t *output)
{
    esp_dl_dense_row_t row = row_of(p, output);
    for (int32_t i = 0; i < p->rows; i++, row.output += p->outputs) {
        row.input = input + i * p->inputs;
        dense_row(&row, p->inputs);
        shift_left(p, row.output);
    }
}

int32_t esp_dl_dense_s16_wide_esp32s3_scratch(const esp_dl_dense_esp32s3_t *p)
{
    return 2 * ((p->inputs + 15) / 16 * 16);
}

void esp_dl_dense_s16_wide_esp32s3(const int16_t *input, const esp_dl_dense_esp32s3_t *p, void *scratch,
                                   int16_t *output)
{
    esp_dl_dense_row_t row = row_of(p, output);
    int8_t *const upper = scratch, *const lower = upper + 16 * row.vectors;
    row.input = upper;
    for (int32_t i = 0; i < p->rows; i++, row.output += p->outputs) {
        split(input + i * p->inputs, p->inputs, upper, lower);
        dense_row_wide(&row, p->inputs);
        shift_left(p, row.output);
    }
}
