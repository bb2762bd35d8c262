/* Pixels of a row of a pooling layer, as conv2d_row_esp32s3.h is of a convolution. */
#ifndef ESP_DL_POOLING_POOL2D_ROW_ESP32S3_H
#define ESP_DL_POOLING_POOL2D_ROW_ESP32S3_H

#include <stdint.h>

/* The assembly knows the place of every field. */
typedef struct {
    const int8_t *const *rows; /* where the rows of the windows of a row of pixels lie */
    int32_t row_count;
    int32_t taps;          /* of a row */
    int32_t tap_step;      /* bytes from a tap to the next */
    int32_t step;          /* bytes from a window to the next */
    int32_t offset;        /* bytes from `rows` to the first window */
    const uint32_t *start; /* average: what the sums start with, as in the head of weights (esp_dl_esp32s3.h) */
    int8_t *output;
    int32_t pixels;
    int32_t channels;
    const int8_t *clamp; /* sixteen times the least, sixteen times the greatest value; at a multiple of 16 */
    int32_t factor;      /* average: of every value, 1..64 */
    /*
     * average: sums are shifted right by `shift`; or, with a reciprocal, are never negative, and the upper half of
     * sum * reciprocal less `offset_result` is the result.
     */
    int32_t shift;
    uint32_t reciprocal;
    int32_t offset_result;
    int8_t *scratch; /* average with a reciprocal: 64 bytes at a multiple of 16 */
    /* 2x2 and 3x3 only: bytes from the last tap of a window's row to the next window's first, from the end of a row of
     * windows to the next channels of the first, the same in the output. */
    int32_t back, next_input, next_output;
} esp_dl_pool2d_row_t;

void esp_dl_max_pool2d_row_esp32s3(const esp_dl_pool2d_row_t *row);
void esp_dl_average_pool2d_row_esp32s3(const esp_dl_pool2d_row_t *row);

/* Windows of 2x2 or 3x3, channels in sixteens, all pixels of a row. */
void esp_dl_max_pool2d_row_2x2_esp32s3(const esp_dl_pool2d_row_t *row);
void esp_dl_max_pool2d_row_3x3_esp32s3(const esp_dl_pool2d_row_t *row);

#endif
