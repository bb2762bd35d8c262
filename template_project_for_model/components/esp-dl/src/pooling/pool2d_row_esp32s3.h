/* Pixels of a row of a pooling layer, as conv2d_row_esp32s3.h is of a convolution. */
#ifndef ESP_DL_POOLING_POOL2D_ROW_ESP32S3_H
#define ESP_DL_POOLING_POOL2D_ROW_ESP32S3_H

/* Where the assembly finds the fields of esp_dl_pool2d_row_t, in bytes. */
#define POOL2D_AT_ROWS 0
#define POOL2D_AT_ROW_COUNT 4
#define POOL2D_AT_TAPS 8
#define POOL2D_AT_TAP_STEP 12
#define POOL2D_AT_STEP 16
#define POOL2D_AT_OFFSET 20
#define POOL2D_AT_START 24
#define POOL2D_AT_OUTPUT 28
#define POOL2D_AT_PIXELS 32
#define POOL2D_AT_CHANNELS 36
#define POOL2D_AT_CLAMP 40
#define POOL2D_AT_FACTOR 44
#define POOL2D_AT_SHIFT 48
#define POOL2D_AT_RECIPROCAL 52
#define POOL2D_AT_OFFSET_RESULT 56
#define POOL2D_AT_SCRATCH 60
#define POOL2D_AT_BACK 64
#define POOL2D_AT_NEXT_INPUT 68
#define POOL2D_AT_NEXT_OUTPUT 72

/* Of esp_dl_average_s16_t. */
#define AVERAGE_AT_FACTOR 0
#define AVERAGE_AT_OFFSET 4
#define AVERAGE_AT_DIVISOR 8
#define AVERAGE_AT_OFFSET_RESULT 12
#define AVERAGE_AT_MIN 16
#define AVERAGE_AT_MAX 20

#ifndef __ASSEMBLER__

#include "common/fields.h"

#include <stdint.h>

/* The assembly reads fields at the places above. */
typedef struct {
    const int8_t *const *rows; /* where the rows of the windows of a row of pixels lie */
    int32_t row_count;
    int32_t taps;     /* of a row */
    int32_t tap_step; /* bytes from a tap to the next */
    int32_t step;     /* bytes from a window to the next */
    int32_t offset;   /* bytes from `rows` to the first window */
    /* average: what the sums start with, as in the head of weights (esp_dl_esp32s3.h); or what is added to */
    uint32_t *start;
    int8_t *output;
    int32_t pixels;
    int32_t channels;
    const int8_t *clamp; /* 16 bytes of the least, 16 bytes of the greatest value; at a multiple of 16 */
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

ESP_DL_FIELD(esp_dl_pool2d_row_t, rows, POOL2D_AT_ROWS);
ESP_DL_FIELD(esp_dl_pool2d_row_t, row_count, POOL2D_AT_ROW_COUNT);
ESP_DL_FIELD(esp_dl_pool2d_row_t, taps, POOL2D_AT_TAPS);
ESP_DL_FIELD(esp_dl_pool2d_row_t, tap_step, POOL2D_AT_TAP_STEP);
ESP_DL_FIELD(esp_dl_pool2d_row_t, step, POOL2D_AT_STEP);
ESP_DL_FIELD(esp_dl_pool2d_row_t, offset, POOL2D_AT_OFFSET);
ESP_DL_FIELD(esp_dl_pool2d_row_t, start, POOL2D_AT_START);
ESP_DL_FIELD(esp_dl_pool2d_row_t, output, POOL2D_AT_OUTPUT);
ESP_DL_FIELD(esp_dl_pool2d_row_t, pixels, POOL2D_AT_PIXELS);
ESP_DL_FIELD(esp_dl_pool2d_row_t, channels, POOL2D_AT_CHANNELS);
ESP_DL_FIELD(esp_dl_pool2d_row_t, clamp, POOL2D_AT_CLAMP);
ESP_DL_FIELD(esp_dl_pool2d_row_t, factor, POOL2D_AT_FACTOR);
ESP_DL_FIELD(esp_dl_pool2d_row_t, shift, POOL2D_AT_SHIFT);
ESP_DL_FIELD(esp_dl_pool2d_row_t, reciprocal, POOL2D_AT_RECIPROCAL);
ESP_DL_FIELD(esp_dl_pool2d_row_t, offset_result, POOL2D_AT_OFFSET_RESULT);
ESP_DL_FIELD(esp_dl_pool2d_row_t, scratch, POOL2D_AT_SCRATCH);
ESP_DL_FIELD(esp_dl_pool2d_row_t, back, POOL2D_AT_BACK);
ESP_DL_FIELD(esp_dl_pool2d_row_t, next_input, POOL2D_AT_NEXT_INPUT);
ESP_DL_FIELD(esp_dl_pool2d_row_t, next_output, POOL2D_AT_NEXT_OUTPUT);

void esp_dl_max_pool2d_row_esp32s3(const esp_dl_pool2d_row_t *row);
void esp_dl_average_pool2d_row_esp32s3(const esp_dl_pool2d_row_t *row);

/* Adds `taps` pixels of the first row, times the factor, to sums: of every sixteen channels 48 bytes at `start`. */
void esp_dl_average_pool2d_sums_esp32s3(const esp_dl_pool2d_row_t *row);

/* How sums become averages: (sum * factor + offset) / divisor - offset_result, what is divided is never negative. */
typedef struct {
    int32_t factor;
    uint32_t offset, divisor;
    int32_t offset_result;
    int32_t min, max; /* of the output */
} esp_dl_average_s16_t;

ESP_DL_FIELD(esp_dl_average_s16_t, factor, AVERAGE_AT_FACTOR);
ESP_DL_FIELD(esp_dl_average_s16_t, offset, AVERAGE_AT_OFFSET);
ESP_DL_FIELD(esp_dl_average_s16_t, divisor, AVERAGE_AT_DIVISOR);
ESP_DL_FIELD(esp_dl_average_s16_t, offset_result, AVERAGE_AT_OFFSET_RESULT);
ESP_DL_FIELD(esp_dl_average_s16_t, min, AVERAGE_AT_MIN);
ESP_DL_FIELD(esp_dl_average_s16_t, max, AVERAGE_AT_MAX);

/* Of sixteen channels, from sums as `esp_dl_average_pool2d_sums_esp32s3` leaves them. */
void esp_dl_average_s16_esp32s3(const uint32_t sums[12], const esp_dl_average_s16_t *p, int16_t *output);

/* The sums of eight channels of int16, of pixels `step` bytes apart, in the first eight of `sums`, at a multiple of 16;
 * another pixel is read behind the last. */
void esp_dl_average_pool2d_sums_s16_esp32s3(const int16_t *x, int32_t pixels, int32_t step, int32_t sums[12]);

/* Windows of 2x2 or 3x3, channels in sixteens, all pixels of a row. */
void esp_dl_max_pool2d_row_2x2_esp32s3(const esp_dl_pool2d_row_t *row);
void esp_dl_max_pool2d_row_3x3_esp32s3(const esp_dl_pool2d_row_t *row);

/* The same of int16: channels are bytes, two of a value. */
void esp_dl_max_pool2d_s16_row_esp32s3(const esp_dl_pool2d_row_t *row);
void esp_dl_max_pool2d_s16_row_2x2_esp32s3(const esp_dl_pool2d_row_t *row);
void esp_dl_max_pool2d_s16_row_3x3_esp32s3(const esp_dl_pool2d_row_t *row);

#endif /* __ASSEMBLER__ */

#endif
