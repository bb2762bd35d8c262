/* Depthwise convolution with windows of 3x3 by the MAC16 unit of the ESP32: one channel of some rows. */
#ifndef ESP_DL_CONVOLUTION_MAC16_DEPTHWISE_ESP32_H
#define ESP_DL_CONVOLUTION_MAC16_DEPTHWISE_ESP32_H

/* Where the assembly finds the fields of esp_dl_mac16_columns_t and esp_dl_mac16_depthwise_t, in bytes. */
#define COLUMNS_AT_FROM 0
#define COLUMNS_AT_TO 4
#define COLUMNS_AT_CHANNELS 8
#define COLUMNS_AT_ROW_BYTES 12
#define COLUMNS_AT_ROWS 16
#define COLUMNS_AT_STEP 20
#define COLUMNS_AT_LEADS 24
#define COLUMNS_AT_PAIRS 28
#define COLUMNS_AT_TRAILS 32
#define DEPTHWISE_AT_X 0
#define DEPTHWISE_AT_WEIGHTS 4
#define DEPTHWISE_AT_OUTPUT 8
#define DEPTHWISE_AT_PAIRS 12
#define DEPTHWISE_AT_SINGLES 16
#define DEPTHWISE_AT_STEP_X 20
#define DEPTHWISE_AT_NEXT_ROW 24
#define DEPTHWISE_AT_ROWS 28
#define DEPTHWISE_AT_STEP 32
#define DEPTHWISE_AT_BIAS 36
#define DEPTHWISE_AT_SHIFT 40
#define DEPTHWISE_AT_MIN 44
#define DEPTHWISE_AT_MAX 48

#ifndef __ASSEMBLER__

#include "common/fields.h"

#include <stdint.h>

/*
 * One channel of rows of an image, plus 128, as words of two columns of 16 bits, the first one in the lower half. Those
 * of a row lie `step` bytes apart, those of the next row in the words behind.
 */
typedef struct {
    const int8_t *from;
    int16_t *to;       /* the word with the first column */
    int32_t channels;  /* bytes from a column to the next one */
    int32_t row_bytes; /* bytes from the column behind a row's last to the first of the next row */
    int32_t rows;      /* 1 or more */
    int32_t step;
    int32_t leads;  /* 1: the first column is the upper half of its word, which is then alone */
    int32_t pairs;  /* words of two columns behind it, 0 or more */
    int32_t trails; /* 1: the lower half of one more word */
} esp_dl_mac16_columns_t;

/*
 * Rows of output. A window has three columns, those of two words beside each other, of three rows, whose words follow
 * each other.
 */
typedef struct {
    const int16_t *x;       /* the word with the first column of the first row of the first window */
    const int16_t *weights; /* rows' first two columns, 6; their third one, 3; one more that does not matter */
    int8_t *output;
    int32_t pairs;    /* pixels of a row, two at a time, whose windows begin in one word, 0 or more; */
    int32_t singles;  /* then pixels, whose windows begin in a word each */
    int32_t step_x;   /* bytes from a word of columns to the next one */
    int32_t next_row; /* bytes from the first window of a row of output to that of the next one */
    int32_t rows;
    int32_t step; /* bytes from a pixel of the output to the next one */
    int32_t bias, shift, min, max;
} esp_dl_mac16_depthwise_t;

ESP_DL_FIELD(esp_dl_mac16_columns_t, from, COLUMNS_AT_FROM);
ESP_DL_FIELD(esp_dl_mac16_columns_t, to, COLUMNS_AT_TO);
ESP_DL_FIELD(esp_dl_mac16_columns_t, channels, COLUMNS_AT_CHANNELS);
ESP_DL_FIELD(esp_dl_mac16_columns_t, row_bytes, COLUMNS_AT_ROW_BYTES);
ESP_DL_FIELD(esp_dl_mac16_columns_t, rows, COLUMNS_AT_ROWS);
ESP_DL_FIELD(esp_dl_mac16_columns_t, step, COLUMNS_AT_STEP);
ESP_DL_FIELD(esp_dl_mac16_columns_t, leads, COLUMNS_AT_LEADS);
ESP_DL_FIELD(esp_dl_mac16_columns_t, pairs, COLUMNS_AT_PAIRS);
ESP_DL_FIELD(esp_dl_mac16_columns_t, trails, COLUMNS_AT_TRAILS);
ESP_DL_FIELD(esp_dl_mac16_depthwise_t, x, DEPTHWISE_AT_X);
ESP_DL_FIELD(esp_dl_mac16_depthwise_t, weights, DEPTHWISE_AT_WEIGHTS);
ESP_DL_FIELD(esp_dl_mac16_depthwise_t, output, DEPTHWISE_AT_OUTPUT);
ESP_DL_FIELD(esp_dl_mac16_depthwise_t, pairs, DEPTHWISE_AT_PAIRS);
ESP_DL_FIELD(esp_dl_mac16_depthwise_t, singles, DEPTHWISE_AT_SINGLES);
ESP_DL_FIELD(esp_dl_mac16_depthwise_t, step_x, DEPTHWISE_AT_STEP_X);
ESP_DL_FIELD(esp_dl_mac16_depthwise_t, next_row, DEPTHWISE_AT_NEXT_ROW);
ESP_DL_FIELD(esp_dl_mac16_depthwise_t, rows, DEPTHWISE_AT_ROWS);
ESP_DL_FIELD(esp_dl_mac16_depthwise_t, step, DEPTHWISE_AT_STEP);
ESP_DL_FIELD(esp_dl_mac16_depthwise_t, bias, DEPTHWISE_AT_BIAS);
ESP_DL_FIELD(esp_dl_mac16_depthwise_t, shift, DEPTHWISE_AT_SHIFT);
ESP_DL_FIELD(esp_dl_mac16_depthwise_t, min, DEPTHWISE_AT_MIN);
ESP_DL_FIELD(esp_dl_mac16_depthwise_t, max, DEPTHWISE_AT_MAX);

void esp_dl_mac16_columns_esp32(const esp_dl_mac16_columns_t *p);
void esp_dl_mac16_depthwise_esp32(const esp_dl_mac16_depthwise_t *p);

#endif /* __ASSEMBLER__ */

#endif
