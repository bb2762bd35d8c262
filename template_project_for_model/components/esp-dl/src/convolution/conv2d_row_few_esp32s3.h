/* A row of output pixels of a convolution with few outputs, one output after the other of every pixel. */
#ifndef ESP_DL_CONVOLUTION_CONV2D_ROW_FEW_ESP32S3_H
#define ESP_DL_CONVOLUTION_CONV2D_ROW_FEW_ESP32S3_H

/* Where the assembly finds the fields of esp_dl_row_few_t, in bytes. */
#define ROW_FEW_AT_ROWS 0
#define ROW_FEW_AT_SEGMENTS 4
#define ROW_FEW_AT_VECTORS 8
#define ROW_FEW_AT_STEP 12
#define ROW_FEW_AT_WEIGHTS 16
#define ROW_FEW_AT_OUTPUT 20
#define ROW_FEW_AT_OUTPUTS 24
#define ROW_FEW_AT_PIXELS 28
#define ROW_FEW_AT_MIN 32
#define ROW_FEW_AT_MAX 36

#ifndef __ASSEMBLER__

#include "common/fields.h"

#include <stdint.h>

/* The assembly reads fields at the places above. */
typedef struct {
    const int8_t *const *rows; /* where the segments of the first window lie, at multiples of 16 */
    int32_t segments;
    int32_t vectors;       /* of a segment */
    int32_t step;          /* bytes from a window to the next, a multiple of 16 */
    const int8_t *weights; /* as in esp_dl_conv2d_few_esp32s3_t */
    int8_t *output;
    int32_t outputs;
    int32_t pixels;
    int32_t min, max;
} esp_dl_row_few_t;

ESP_DL_FIELD(esp_dl_row_few_t, rows, ROW_FEW_AT_ROWS);
ESP_DL_FIELD(esp_dl_row_few_t, segments, ROW_FEW_AT_SEGMENTS);
ESP_DL_FIELD(esp_dl_row_few_t, vectors, ROW_FEW_AT_VECTORS);
ESP_DL_FIELD(esp_dl_row_few_t, step, ROW_FEW_AT_STEP);
ESP_DL_FIELD(esp_dl_row_few_t, weights, ROW_FEW_AT_WEIGHTS);
ESP_DL_FIELD(esp_dl_row_few_t, output, ROW_FEW_AT_OUTPUT);
ESP_DL_FIELD(esp_dl_row_few_t, outputs, ROW_FEW_AT_OUTPUTS);
ESP_DL_FIELD(esp_dl_row_few_t, pixels, ROW_FEW_AT_PIXELS);
ESP_DL_FIELD(esp_dl_row_few_t, min, ROW_FEW_AT_MIN);
ESP_DL_FIELD(esp_dl_row_few_t, max, ROW_FEW_AT_MAX);

void esp_dl_conv2d_row_few_esp32s3(const esp_dl_row_few_t *row);

#endif /* __ASSEMBLER__ */

#endif
