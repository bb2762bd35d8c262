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
    const int8_t *clamp; /* sixteen times the least, sixteen times the greatest value; at a multiple of 16 */
    int32_t least;       /* they are 0 and 127, and the masks are "least" masks (esp_dl_esp32s3.h) */
    /* 3x3 only: bytes from the last tap of a window's row to the next window's first, from the end of a row of windows
     * to the next channels of the first, the same in the output. */
    int32_t back, next_input, next_output;
} esp_dl_depthwise_row_t;

void esp_dl_depthwise_conv2d_row_esp32s3(const esp_dl_depthwise_row_t *row);

/* Windows of 3x3, channels in sixteens, windows at most 2 pixels apart. */
void esp_dl_depthwise_conv2d_row_3x3_esp32s3(const esp_dl_depthwise_row_t *row);

#endif
