/* A row of a fully connected layer: what dense_s16_esp32s3.c prepares and the vector unit computes. */
#ifndef ESP_DL_DENSE_DENSE_ROW_ESP32S3_H
#define ESP_DL_DENSE_DENSE_ROW_ESP32S3_H

/* Where the assembly finds the fields of esp_dl_dense_row_t, in bytes. */
#define DENSE_AT_INPUT 0
#define DENSE_AT_WEIGHTS 4
#define DENSE_AT_OUTPUT 8
#define DENSE_AT_OUTPUTS 12
#define DENSE_AT_VECTORS 16
#define DENSE_AT_MIN 20
#define DENSE_AT_MAX 24

#ifndef __ASSEMBLER__

#include "common/fields.h"

#include <stdint.h>

/* The assembly reads fields at the places above. */
typedef struct {
    const int8_t *input;   /* at a multiple of 16; that many more bytes are read behind `vectors` */
    const int8_t *weights; /* as in esp_dl_dense_esp32s3_t */
    int16_t *output;
    int32_t outputs;
    int32_t vectors; /* of sixteen inputs */
    int32_t min, max;
} esp_dl_dense_row_t;

ESP_DL_FIELD(esp_dl_dense_row_t, input, DENSE_AT_INPUT);
ESP_DL_FIELD(esp_dl_dense_row_t, weights, DENSE_AT_WEIGHTS);
ESP_DL_FIELD(esp_dl_dense_row_t, output, DENSE_AT_OUTPUT);
ESP_DL_FIELD(esp_dl_dense_row_t, outputs, DENSE_AT_OUTPUTS);
ESP_DL_FIELD(esp_dl_dense_row_t, vectors, DENSE_AT_VECTORS);
ESP_DL_FIELD(esp_dl_dense_row_t, min, DENSE_AT_MIN);
ESP_DL_FIELD(esp_dl_dense_row_t, max, DENSE_AT_MAX);

void esp_dl_dense_row_s16_esp32s3(const esp_dl_dense_row_t *row);

/* The upper bytes of int16 values, and the lower ones less 128. halves: sixteen times 0x80, at a multiple of 16 as the
 * others; vectors: of sixteen values */
void esp_dl_split_s16_esp32s3(const int16_t *x, int32_t vectors, const int8_t *halves, int8_t *upper, int8_t *lower);

/* input: the upper bytes of the values; the lower ones less 128 follow behind `vectors`. Sums are those of the lower
 * bytes and 256 times those of the upper ones. */
void esp_dl_dense_row_wide_esp32s3(const esp_dl_dense_row_t *row);

#endif /* __ASSEMBLER__ */

#endif
