/* Fully connected layer from int8 to int16 for the vector unit of the ESP32-S3; elsewhere in C, from the same data. */
#include "common/requantize.h"
#include "dense/dense_row_esp32s3.h"
#include "esp_dl_esp32s3.h"

#include <string.h>

#define HEAD 16

#ifndef ESP_DL_ESP32S3

/* inputs: those that there are of the vectors' */
static void dense_row(const esp_dl_dense_row_t *row, int32_t inputs)
{
    const int8_t *weights = row->weights;
    for (int32_t o = 0; o < row->outputs; o++) {
        int32_t sum;
        memcpy(&sum, weights, sizeof sum);
        const int32_t shift = weights[8];
        for (int32_t i = 0; i < inputs; i++) {
            sum += row->input[i] * weights[HEAD + i];
        }
        row->output[o] = (int16_t)esp_dl_clamp(sum >> shift, row->min, row->max);
        weights += HEAD + 16 * row->vectors;
    }
}

#else

static void dense_row(const esp_dl_dense_row_t *row, int32_t inputs)
{
    (void)inputs;
    esp_dl_dense_row_s16_esp32s3(row);
}

#endif

void esp_dl_dense_s16_esp32s3(const int8_t *input, const esp_dl_dense_esp32s3_t *p, int16_t *output)
{
    esp_dl_dense_row_t row = {
        .input = input,
        .weights = p->weights,
        .output = output,
        .outputs = p->outputs,
        .vectors = (p->inputs + 15) / 16,
        .min = p->min,
        .max = p->max,
    };
    for (int32_t i = 0; i < p->rows; i++) {
        dense_row(&row, p->inputs);
        for (int32_t o = 0; o < p->left_outputs; o++) {
            row.output[o] = (int16_t)esp_dl_clamp(row.output[o] * (1 << p->left[o]), p->min, p->max);
        }
        row.input += p->inputs;
        row.output += p->outputs;
    }
}
