/* A row of output pixels of a depthwise convolution, as conv2d_row_esp32s3.h is of a convolution. */
#ifndef ESP_DL_CONVOLUTION_DEPTHWISE_CONV2D_ROW_ESP32S3_H
#define ESP_DL_CONVOLUTION_DEPTHWISE_CONV2D_ROW_ESP32S3_H

#include <stdint.h>

/* The assembly knows the place of every field. */
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
    int32_t min, max;
} esp_dl_depthwise_row_t;

void esp_dl_depthwise_conv2d_row_esp32s3(const esp_dl_depthwise_row_t *row);

#endif
