/* A row of output pixels of a convolution of 16-bit values, eight channels at a time. */
#ifndef ESP_DL_CONVOLUTION_CONV2D_ROW_S16_ESP32S3_H
#define ESP_DL_CONVOLUTION_CONV2D_ROW_S16_ESP32S3_H

/* Where the assembly finds the fields of esp_dl_row_s16_t, in bytes. */
#define ROW_S16_AT_ROWS 0
#define ROW_S16_AT_SEGMENTS 4
#define ROW_S16_AT_COUNT 8
#define ROW_S16_AT_TAP_STEP 12
#define ROW_S16_AT_STEP 16
#define ROW_S16_AT_WEIGHTS 20
#define ROW_S16_AT_OUTPUT 24
#define ROW_S16_AT_OUTPUT_STEP 28
#define ROW_S16_AT_PIXELS 32
#define ROW_S16_AT_BLOCKS 36
#define ROW_S16_AT_ALIGNED 40
#define ROW_S16_AT_NARROW 44
#define ROW_S16_AT_CLAMP 48
#define ROW_S16_AT_ADDEND 52
#define ROW_S16_AT_ADDEND_STEP 56
#define ROW_S16_AT_ADDEND_S16 60

/* In the data of eight channels, the bytes with their shift, and with what ROW_S16_AT_ADDEND_S16 is about. */
#define ROW_S16_HEAD_SHIFT 40
#define ROW_S16_HEAD_UPPER 41

#ifndef __ASSEMBLER__

#include "common/fields.h"

#include <stdint.h>

/* The assembly reads fields at the places above. */
typedef struct {
    const int8_t *const *rows; /* where the segments of the first window lie, of values of 16 bits */
    int32_t segments;
    int32_t count;         /* of a segment: vectors of eight values; depthwise: taps */
    int32_t tap_step;      /* depthwise: bytes from a tap to the next */
    int32_t step;          /* bytes from a window to the next */
    const int8_t *weights; /* as in esp_dl_conv2d_s16_esp32s3_t */
    int8_t *output;
    int32_t output_step; /* bytes from a pixel to the next in the output */
    int32_t pixels;
    int32_t blocks;  /* of eight output channels */
    int32_t aligned; /* 1: segments, windows and taps begin at multiples of 16 bytes */
    int32_t narrow;  /* 1: the output is int8 */
    int16_t min, max;
    /* What is added to the sums, times factors; NULL without */
    const int8_t *addend;
    int32_t addend_step; /* bytes from a pixel to the next */
    int32_t addend_s16;  /* 0: it is int8, for blocks with a 1 in their head an upper byte: 256 times as much */
} esp_dl_row_s16_t;

ESP_DL_FIELD(esp_dl_row_s16_t, rows, ROW_S16_AT_ROWS);
ESP_DL_FIELD(esp_dl_row_s16_t, segments, ROW_S16_AT_SEGMENTS);
ESP_DL_FIELD(esp_dl_row_s16_t, count, ROW_S16_AT_COUNT);
ESP_DL_FIELD(esp_dl_row_s16_t, tap_step, ROW_S16_AT_TAP_STEP);
ESP_DL_FIELD(esp_dl_row_s16_t, step, ROW_S16_AT_STEP);
ESP_DL_FIELD(esp_dl_row_s16_t, weights, ROW_S16_AT_WEIGHTS);
ESP_DL_FIELD(esp_dl_row_s16_t, output, ROW_S16_AT_OUTPUT);
ESP_DL_FIELD(esp_dl_row_s16_t, output_step, ROW_S16_AT_OUTPUT_STEP);
ESP_DL_FIELD(esp_dl_row_s16_t, pixels, ROW_S16_AT_PIXELS);
ESP_DL_FIELD(esp_dl_row_s16_t, blocks, ROW_S16_AT_BLOCKS);
ESP_DL_FIELD(esp_dl_row_s16_t, aligned, ROW_S16_AT_ALIGNED);
ESP_DL_FIELD(esp_dl_row_s16_t, narrow, ROW_S16_AT_NARROW);
ESP_DL_FIELD(esp_dl_row_s16_t, min, ROW_S16_AT_CLAMP);
ESP_DL_FIELD(esp_dl_row_s16_t, addend, ROW_S16_AT_ADDEND);
ESP_DL_FIELD(esp_dl_row_s16_t, addend_step, ROW_S16_AT_ADDEND_STEP);
ESP_DL_FIELD(esp_dl_row_s16_t, addend_s16, ROW_S16_AT_ADDEND_S16);

void esp_dl_conv2d_row_s16_esp32s3(const esp_dl_row_s16_t *row);

/* The same with an addend, where rows are `aligned`: it lies like the output, and may be it. */
void esp_dl_conv2d_row_add_s16_esp32s3(const esp_dl_row_s16_t *row);

/* One filter for each channel: channel c of the output reads channel c of the input. */
void esp_dl_depthwise_conv2d_row_s16_esp32s3(const esp_dl_row_s16_t *row);

/* The same of windows of 3x3, where rows are `aligned`. */
void esp_dl_depthwise_conv2d_row_3x3_s16_esp32s3(const esp_dl_row_s16_t *row);

/* `vectors` times sixteen bytes from any address become values of 16 bits at a multiple of 16. */
void esp_dl_widen_esp32s3(const int8_t *from, int32_t vectors, int16_t *to);

#endif /* __ASSEMBLER__ */

#endif
