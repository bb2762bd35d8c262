/* Sums of products by the MAC16 unit of the ESP32, and the numbers of 16 bits that it multiplies. */
#ifndef ESP_DL_CONVOLUTION_MAC16_ESP32_H
#define ESP_DL_CONVOLUTION_MAC16_ESP32_H

/* Where the assembly finds the fields of esp_dl_mac16_t, in bytes. */
#define MAC16_AT_X 0
#define MAC16_AT_WEIGHTS 4
#define MAC16_AT_OUTPUT 8
#define MAC16_AT_FOURS 12
#define MAC16_AT_MORE 16
#define MAC16_AT_NEXT_SEGMENT 20
#define MAC16_AT_NEXT_PIXEL 24
#define MAC16_AT_NEXT_ROW 28
#define MAC16_AT_ROW_BYTES 32
#define MAC16_AT_ROWS 36
#define MAC16_AT_STEP 40
#define MAC16_AT_BIAS 44
#define MAC16_AT_SHIFT 48
#define MAC16_AT_MIN 52
#define MAC16_AT_MAX 56
#define MAC16_AT_STARTS 60

#ifndef __ASSEMBLER__

#include "common/fields.h"

#include <stdint.h>

/*
 * One output channel of rows of pixels. A window is 1 + `more` segments of 4 * `fours` values, each at a multiple of 4
 * bytes. A pixel is the sum of all products, and of `bias`, in 32 bits, shifted right and clamped. Two values behind a
 * segment are read in vain.
 */
typedef struct {
    const int16_t *x;       /* the window of the first pixel */
    const int16_t *weights; /* behind the last ones the first two again */
    int8_t *output;
    int32_t fours; /* 1 or more */
    int32_t more;
    int32_t next_segment; /* bytes from the end of a segment to the next one of the window, */
    int32_t next_pixel;   /* from the end of a window to the next one in the row, */
    int32_t next_row;     /* from the window that would be behind a row to the first one of the next row */
    int32_t row_bytes;    /* `step` for every pixel of a row */
    int32_t rows;
    int32_t step; /* bytes from a pixel of the output to the next one */
    int32_t bias, shift, min, max;
    const int32_t *starts; /* of every pixel, in place of `bias`, where sums begin with something else */
} esp_dl_mac16_t;

ESP_DL_FIELD(esp_dl_mac16_t, x, MAC16_AT_X);
ESP_DL_FIELD(esp_dl_mac16_t, weights, MAC16_AT_WEIGHTS);
ESP_DL_FIELD(esp_dl_mac16_t, output, MAC16_AT_OUTPUT);
ESP_DL_FIELD(esp_dl_mac16_t, fours, MAC16_AT_FOURS);
ESP_DL_FIELD(esp_dl_mac16_t, more, MAC16_AT_MORE);
ESP_DL_FIELD(esp_dl_mac16_t, next_segment, MAC16_AT_NEXT_SEGMENT);
ESP_DL_FIELD(esp_dl_mac16_t, next_pixel, MAC16_AT_NEXT_PIXEL);
ESP_DL_FIELD(esp_dl_mac16_t, next_row, MAC16_AT_NEXT_ROW);
ESP_DL_FIELD(esp_dl_mac16_t, row_bytes, MAC16_AT_ROW_BYTES);
ESP_DL_FIELD(esp_dl_mac16_t, rows, MAC16_AT_ROWS);
ESP_DL_FIELD(esp_dl_mac16_t, step, MAC16_AT_STEP);
ESP_DL_FIELD(esp_dl_mac16_t, bias, MAC16_AT_BIAS);
ESP_DL_FIELD(esp_dl_mac16_t, shift, MAC16_AT_SHIFT);
ESP_DL_FIELD(esp_dl_mac16_t, min, MAC16_AT_MIN);
ESP_DL_FIELD(esp_dl_mac16_t, max, MAC16_AT_MAX);
ESP_DL_FIELD(esp_dl_mac16_t, starts, MAC16_AT_STARTS);

void esp_dl_mac16_pixels_esp32(const esp_dl_mac16_t *p);

/* The same with `starts`. */
void esp_dl_mac16_begun_pixels_esp32(const esp_dl_mac16_t *p);

/* 4 * `fours` bytes, at a multiple of 4, plus 128, as values of 16 bits; of every four in the order 0, 2, 1, 3. */
void esp_dl_mac16_inputs_esp32(const int8_t *from, int16_t *to, int32_t fours);

/* 8 * `eights` bytes, at a multiple of 4, times 256, as values of 16 bits; of every four in the order 0, 2, 1, 3. */
void esp_dl_mac16_weights_esp32(const int8_t *from, int16_t *to, int32_t eights);

#endif /* __ASSEMBLER__ */

#endif
