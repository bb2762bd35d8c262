/* Elementwise operators with values of 16 bits: what vectors_s16_esp32s3.S computes on the ESP32-S3. */
#ifndef ESP_DL_ELEMENTWISE_VECTORS_S16_ESP32S3_H
#define ESP_DL_ELEMENTWISE_VECTORS_S16_ESP32S3_H

/* Where the assembly finds the fields of esp_dl_vectors_s16_t, in bytes. */
#define VECTORS_S16_AT_A 0
#define VECTORS_S16_AT_B 4
#define VECTORS_S16_AT_OUTPUT 8
#define VECTORS_S16_AT_VECTORS 12
#define VECTORS_S16_AT_SHIFT 16
#define VECTORS_S16_AT_FACTOR_A 20
#define VECTORS_S16_AT_FACTOR_B 22
#define VECTORS_S16_AT_HALF_A 24
#define VECTORS_S16_AT_HALF_B 26
#define VECTORS_S16_AT_MIN 28
#define VECTORS_S16_AT_MAX 30

#ifndef __ASSEMBLER__

#include "common/fields.h"

#include <stdint.h>

/* The assembly reads fields at the places above. */
typedef struct {
    const void *a, *b; /* at multiples of 16, as is the output; up to 16 bytes behind the vectors are read */
    void *output;      /* may be an input of its own width */
    int32_t vectors;   /* of 16 values */
    int32_t shift;     /* to the right, 0..29; of int8 outputs less 8: see below */
    int16_t factor_a, factor_b;
    int16_t half_a, half_b; /* added before the shift: their product; of sums half_a alone */
    int16_t min, max;
} esp_dl_vectors_s16_t;

ESP_DL_FIELD(esp_dl_vectors_s16_t, a, VECTORS_S16_AT_A);
ESP_DL_FIELD(esp_dl_vectors_s16_t, b, VECTORS_S16_AT_B);
ESP_DL_FIELD(esp_dl_vectors_s16_t, output, VECTORS_S16_AT_OUTPUT);
ESP_DL_FIELD(esp_dl_vectors_s16_t, vectors, VECTORS_S16_AT_VECTORS);
ESP_DL_FIELD(esp_dl_vectors_s16_t, shift, VECTORS_S16_AT_SHIFT);
ESP_DL_FIELD(esp_dl_vectors_s16_t, factor_a, VECTORS_S16_AT_FACTOR_A);
ESP_DL_FIELD(esp_dl_vectors_s16_t, factor_b, VECTORS_S16_AT_FACTOR_B);
ESP_DL_FIELD(esp_dl_vectors_s16_t, half_a, VECTORS_S16_AT_HALF_A);
ESP_DL_FIELD(esp_dl_vectors_s16_t, half_b, VECTORS_S16_AT_HALF_B);
ESP_DL_FIELD(esp_dl_vectors_s16_t, min, VECTORS_S16_AT_MIN);
ESP_DL_FIELD(esp_dl_vectors_s16_t, max, VECTORS_S16_AT_MAX);

/*
 * The widths of a, of b and of the output are in the names. Lanes of 40 bits hold all sums. What is shifted saturates
 * at 16 bits; an int8 output is the upper byte of that, which has saturated with it.
 */
typedef void esp_dl_compute_s16_t(const esp_dl_vectors_s16_t *p);

/* a * factor_a + b * factor_b */
esp_dl_compute_s16_t esp_dl_add_16_16_to_16_esp32s3, esp_dl_add_16_8_to_16_esp32s3, esp_dl_add_8_8_to_16_esp32s3;
esp_dl_compute_s16_t esp_dl_add_16_16_to_8_esp32s3, esp_dl_add_16_8_to_8_esp32s3;

/* a * b */
esp_dl_compute_s16_t esp_dl_mul_16_16_to_16_esp32s3, esp_dl_mul_16_8_to_16_esp32s3, esp_dl_mul_8_8_to_16_esp32s3;
esp_dl_compute_s16_t esp_dl_mul_16_16_to_8_esp32s3, esp_dl_mul_16_8_to_8_esp32s3;

/* a * factor_a */
esp_dl_compute_s16_t esp_dl_scale_16_to_16_esp32s3, esp_dl_scale_8_to_16_esp32s3, esp_dl_scale_16_to_8_esp32s3;

/* a, within the bounds alone */
esp_dl_compute_s16_t esp_dl_clamp_16_esp32s3;

#endif /* __ASSEMBLER__ */

#endif
