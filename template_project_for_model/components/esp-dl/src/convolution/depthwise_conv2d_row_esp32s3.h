/* A row of output pixels of a depthwise convolution, as conv2d_row_esp32s3.h is of a convolution. */
#ifndef ESP_DL_CONVOLUTION_DEPTHWISE_CONV2D_ROW_ESP32S3_H
#define ESP_DL_CONVOLUTION_DEPTHWISE_CONV2D_ROW_ESP32S3_H

/* Where the assembly finds the fields of esp_dl_depthwise_row_t, in bytes. */
#define DEPTHWISE_AT_ROWS 0
#define DEPTHWISE_AT_ROW_COUNT 4
#define DEPTHWISE_AT_TAPS 8
#define DEPTHWISE_AT_TAP_STEP 12
#define DEPTHWISE_AT_STEP 16
#define DEPTHWISE_AT_WEIGHTS 20
#define DEPTHWISE_AT_OUTPUT 24
#define DEPTHWISE_AT_PIXELS 28
#define DEPTHWISE_AT_CHANNELS 32
#define DEPTHWISE_AT_CLAMP 36
#define DEPTHWISE_AT_MIN_MASKS 40
#define DEPTHWISE_AT_BACK 44
#define DEPTHWISE_AT_NEXT_INPUT 48
#define DEPTHWISE_AT_NEXT_OUTPUT 52

#ifndef __ASSEMBLER__

#include "common/fields.h"

#include <stdint.h>

/* The assembly reads fields at the places above. */
typedef struct {
    const int8_t *const *rows; /* where the rows of the first window lie */
    int32_t row_count;
    int32_t taps;          /* of a row */
    int32_t tap_step;      /* bytes from a tap to the next */
    int32_t step;          /* bytes from a window to the next */
    const int8_t *weights; /* as in esp_dl_depthwise_conv2d_esp32s3_t */
    int8_t *output;
    int32_t pixels;
    int32_t channels;
    const int8_t *clamp; /* sixteen times the least, sixteen times the greatest value; at a multiple of 16 */
    int32_t min_masks;   /* they are 0 and 127, and the masks are "min_masks" masks (esp_dl_esp32s3.h) */
    /* 3x3 only: bytes from the last tap of a window's row to the next window's first, from the end of a row of windows
     * to the next channels of the first, the same in the output. */
    int32_t back, next_input, next_output;
} esp_dl_depthwise_row_t;

ESP_DL_FIELD(esp_dl_depthwise_row_t, rows, DEPTHWISE_AT_ROWS);
ESP_DL_FIELD(esp_dl_depthwise_row_t, row_count, DEPTHWISE_AT_ROW_COUNT);
ESP_DL_FIELD(esp_dl_depthwise_row_t, taps, DEPTHWISE_AT_TAPS);
ESP_DL_FIELD(esp_dl_depthwise_row_t, tap_step, DEPTHWISE_AT_TAP_STEP);
ESP_DL_FIELD(esp_dl_depthwise_row_t, step, DEPTHWISE_AT_STEP);
ESP_DL_FIELD(esp_dl_depthwise_row_t, weights, DEPTHWISE_AT_WEIGHTS);
ESP_DL_FIELD(esp_dl_depthwise_row_t, output, DEPTHWISE_AT_OUTPUT);
ESP_DL_FIELD(esp_dl_depthwise_row_t, pixels, DEPTHWISE_AT_PIXELS);
ESP_DL_FIELD(esp_dl_depthwise_row_t, channels, DEPTHWISE_AT_CHANNELS);
ESP_DL_FIELD(esp_dl_depthwise_row_t, clamp, DEPTHWISE_AT_CLAMP);
ESP_DL_FIELD(esp_dl_depthwise_row_t, min_masks, DEPTHWISE_AT_MIN_MASKS);
ESP_DL_FIELD(esp_dl_depthwise_row_t, back, DEPTHWISE_AT_BACK);
ESP_DL_FIELD(esp_dl_depthwise_row_t, next_input, DEPTHWISE_AT_NEXT_INPUT);
ESP_DL_FIELD(esp_dl_depthwise_row_t, next_output, DEPTHWISE_AT_NEXT_OUTPUT);

void esp_dl_depthwise_conv2d_row_esp32s3(const esp_dl_depthwise_row_t *row);

/* Windows of 3x3, channels in sixteens, windows at most 2 pixels apart. */
void esp_dl_depthwise_conv2d_row_3x3_esp32s3(const esp_dl_depthwise_row_t *row);

/* Windows of 3x3 and 8 channels, taps 8 bytes apart: two pixels are one of 16 channels, `pixels` counts pairs. */
void esp_dl_depthwise_conv2d_row_pairs_esp32s3(const esp_dl_depthwise_row_t *row);

#endif /* __ASSEMBLER__ */

#endif
