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
#define DEPTHWISE_AT_PIXEL_ROWS 40
#define DEPTHWISE_AT_OUTPUT_STEP 44
#define DEPTHWISE_AT_CAPPED 48
#define DEPTHWISE_AT_SHARED 52
#define DEPTHWISE_AT_FIRST_STEP 56
#define DEPTHWISE_AT_SECOND_STEP 60
#define DEPTHWISE_AT_LIST_STEP 64

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
    /* 3x3 and 5x5 only. */
    int32_t pixel_rows;
    int32_t output_step; /* bytes from a pixel to the next in the output; `step` is the same in the input */
    int32_t capped;      /* the greatest value is below 127 */
    /* 3x3: bytes from a row's first tap to the one that is read first, which the window shares with the one before it;
     * from there to the second that is read; from that to the third. 5x5: 0; from tap to tap; from a row's last to the
     * next window's first. */
    int32_t shared, first_step, second_step;
    int32_t list_step; /* bytes from a row of pixels to the next in the list of rows */
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
ESP_DL_FIELD(esp_dl_depthwise_row_t, pixel_rows, DEPTHWISE_AT_PIXEL_ROWS);
ESP_DL_FIELD(esp_dl_depthwise_row_t, output_step, DEPTHWISE_AT_OUTPUT_STEP);
ESP_DL_FIELD(esp_dl_depthwise_row_t, capped, DEPTHWISE_AT_CAPPED);
ESP_DL_FIELD(esp_dl_depthwise_row_t, shared, DEPTHWISE_AT_SHARED);
ESP_DL_FIELD(esp_dl_depthwise_row_t, first_step, DEPTHWISE_AT_FIRST_STEP);
ESP_DL_FIELD(esp_dl_depthwise_row_t, second_step, DEPTHWISE_AT_SECOND_STEP);
ESP_DL_FIELD(esp_dl_depthwise_row_t, list_step, DEPTHWISE_AT_LIST_STEP);

void esp_dl_depthwise_conv2d_row_esp32s3(const esp_dl_depthwise_row_t *row);

/*
 * Rows of pixels of windows of 3x3, channels in sixteens, the next window one or two taps further; the output's rows
 * lie one behind the other. weights: of THREE.
 */
void esp_dl_depthwise_conv2d_rows_3x3_esp32s3(const esp_dl_depthwise_row_t *row);

/* The same of windows of 5x5, any step from one to the next. */
void esp_dl_depthwise_conv2d_rows_5x5_esp32s3(const esp_dl_depthwise_row_t *row);

#endif /* __ASSEMBLER__ */

#endif
