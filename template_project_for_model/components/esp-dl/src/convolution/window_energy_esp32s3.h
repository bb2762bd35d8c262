/* How much the windows of a row hold: what bounds the sums of their products, whatever the weights. */
#ifndef ESP_DL_CONVOLUTION_WINDOW_ENERGY_ESP32S3_H
#define ESP_DL_CONVOLUTION_WINDOW_ENERGY_ESP32S3_H

/* Where the assembly finds the fields of esp_dl_energy_t, in bytes. */
#define ENERGY_AT_INPUT 0
#define ENERGY_AT_VECTORS 4
#define ENERGY_AT_TAPS 8
#define ENERGY_AT_IS_WIDE 12
#define ENERGY_AT_HALF_ZERO 16

#ifndef __ASSEMBLER__

#include "common/fields.h"

#include <stdint.h>

/* The assembly reads fields at the places above. */
typedef struct {
    const int8_t *input; /* at a multiple of 16; 16 bytes behind its end are read as well */
    int32_t vectors;     /* 16 bytes each, of a tap */
    int32_t taps;        /* of all windows together */
    int32_t is_wide;     /* windows are three taps, else one */
    int32_t half_zero;   /* -64..63 */
} esp_dl_energy_t;

ESP_DL_FIELD(esp_dl_energy_t, input, ENERGY_AT_INPUT);
ESP_DL_FIELD(esp_dl_energy_t, vectors, ENERGY_AT_VECTORS);
ESP_DL_FIELD(esp_dl_energy_t, taps, ENERGY_AT_TAPS);
ESP_DL_FIELD(esp_dl_energy_t, is_wide, ENERGY_AT_IS_WIDE);
ESP_DL_FIELD(esp_dl_energy_t, half_zero, ENERGY_AT_HALF_ZERO);

/* The largest sum of ((x >> 1) - half_zero)^2 over the bytes x of a window, of windows that begin at every tap. */
int32_t esp_dl_window_energy_esp32s3(const esp_dl_energy_t *energy);

#endif /* __ASSEMBLER__ */

#endif
