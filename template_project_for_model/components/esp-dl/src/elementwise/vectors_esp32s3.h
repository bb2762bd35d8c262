/* Elementwise operators, sixteen values at a time: what vectors_esp32s3.S computes on the ESP32-S3. */
#ifndef ESP_DL_ELEMENTWISE_VECTORS_ESP32S3_H
#define ESP_DL_ELEMENTWISE_VECTORS_ESP32S3_H

/* Where the assembly finds the fields of esp_dl_vectors_t, in bytes. */
#define VECTORS_AT_A 0
#define VECTORS_AT_B 4
#define VECTORS_AT_OUTPUT 8
#define VECTORS_AT_VECTORS 12
#define VECTORS_AT_SHIFT 16
#define VECTORS_AT_FACTOR_A 20
#define VECTORS_AT_FACTOR_B 21
#define VECTORS_AT_HALF_A 22
#define VECTORS_AT_HALF_B 23
#define VECTORS_AT_MIN 24
#define VECTORS_AT_MAX 25
#define VECTORS_AT_STEP_A 28
#define VECTORS_AT_STEP_B 32
#define VECTORS_AT_STEP_Y 36
#define VECTORS_AT_SHIFT_NEGATIVE 40
#define VECTORS_AT_NEGATIVE_A 44
#define VECTORS_AT_NEGATIVE_B 45

#ifndef __ASSEMBLER__

#include "common/fields.h"

#include <stdint.h>

/* The assembly reads fields at the places above. */
typedef struct {
    const int8_t *a, *b; /* at multiples of 16, as is the output */
    int8_t *output;      /* may be a or b */
    int32_t vectors;     /* of 16 values */
    int32_t shift;       /* to the right, 0..19 */
    int8_t factor_a, factor_b;
    int8_t half_a, half_b; /* their product is added before the shift */
    int8_t min, max;
    int32_t step_a, step_b, step_y; /* bytes from a vector to the next, multiples of 16; one more of a and b is read */
    int32_t shift_negative;         /* prelu: of negative values, 0..13 */
    int8_t negative_a, negative_b;  /* prelu: their product is added to these before the shift */
} esp_dl_vectors_t;

ESP_DL_FIELD(esp_dl_vectors_t, a, VECTORS_AT_A);
ESP_DL_FIELD(esp_dl_vectors_t, b, VECTORS_AT_B);
ESP_DL_FIELD(esp_dl_vectors_t, output, VECTORS_AT_OUTPUT);
ESP_DL_FIELD(esp_dl_vectors_t, vectors, VECTORS_AT_VECTORS);
ESP_DL_FIELD(esp_dl_vectors_t, shift, VECTORS_AT_SHIFT);
ESP_DL_FIELD(esp_dl_vectors_t, factor_a, VECTORS_AT_FACTOR_A);
ESP_DL_FIELD(esp_dl_vectors_t, factor_b, VECTORS_AT_FACTOR_B);
ESP_DL_FIELD(esp_dl_vectors_t, half_a, VECTORS_AT_HALF_A);
ESP_DL_FIELD(esp_dl_vectors_t, half_b, VECTORS_AT_HALF_B);
ESP_DL_FIELD(esp_dl_vectors_t, min, VECTORS_AT_MIN);
ESP_DL_FIELD(esp_dl_vectors_t, max, VECTORS_AT_MAX);
ESP_DL_FIELD(esp_dl_vectors_t, step_a, VECTORS_AT_STEP_A);
ESP_DL_FIELD(esp_dl_vectors_t, step_b, VECTORS_AT_STEP_B);
ESP_DL_FIELD(esp_dl_vectors_t, step_y, VECTORS_AT_STEP_Y);
ESP_DL_FIELD(esp_dl_vectors_t, shift_negative, VECTORS_AT_SHIFT_NEGATIVE);
ESP_DL_FIELD(esp_dl_vectors_t, negative_a, VECTORS_AT_NEGATIVE_A);
ESP_DL_FIELD(esp_dl_vectors_t, negative_b, VECTORS_AT_NEGATIVE_B);

/* a * factor_a + b * factor_b */
void esp_dl_add_vectors_esp32s3(const esp_dl_vectors_t *p);

/* a * b */
void esp_dl_mul_vectors_esp32s3(const esp_dl_vectors_t *p);

/* The larger, the smaller of a and b. */
void esp_dl_max_vectors_esp32s3(const esp_dl_vectors_t *p);
void esp_dl_min_vectors_esp32s3(const esp_dl_vectors_t *p);

/* x = a, slope = b: (x + half_a) * factor_a, shifted, where x is not negative, else x * slope, shifted; half_b, min and
 * max are not used. */
void esp_dl_prelu_vectors_esp32s3(const esp_dl_vectors_t *p);

/* The same where factor_a is 1 and shift 0. */
void esp_dl_prelu_kept_vectors_esp32s3(const esp_dl_vectors_t *p);

/*
 * table[x], x as an unsigned byte; y may be x. table: 4 and 0, then 256 values as unsigned bytes. By the first two
 * words the assembly sees whether an indexed load begins to count a word too early, as it does in an emulator.
 */
void esp_dl_lookup_vectors_esp32s3(const int8_t *x, const int32_t table[258], int8_t *y, int32_t vectors);

#endif /* __ASSEMBLER__ */

#endif
