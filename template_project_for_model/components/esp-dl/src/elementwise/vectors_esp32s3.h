/* Elementwise operators, sixteen values at a time: what vectors_esp32s3.S computes on the ESP32-S3. */
#ifndef ESP_DL_ELEMENTWISE_VECTORS_ESP32S3_H
#define ESP_DL_ELEMENTWISE_VECTORS_ESP32S3_H

#include <stdint.h>

/* The assembly knows the place of every field. */
typedef struct {
    const int8_t *a, *b; /* at multiples of 16, as is the output */
    int8_t *output;      /* may be a or b */
    int32_t vectors;     /* of 16 values */
    int32_t shift;       /* to the right, 0..19 */
    int8_t factor_a, factor_b;
    int8_t half_a, half_b; /* their product is added before the shift */
    int8_t min, max;
    int32_t step_a, step_b, step_y; /* bytes from a vector to the next, multiples of 16; one more of a and b is read */
} esp_dl_vectors_t;

/* a * factor_a + b * factor_b */
void esp_dl_add_vectors_esp32s3(const esp_dl_vectors_t *p);

/* a * b */
void esp_dl_mul_vectors_esp32s3(const esp_dl_vectors_t *p);

/* The larger, the smaller of a and b. */
void esp_dl_max_vectors_esp32s3(const esp_dl_vectors_t *p);
void esp_dl_min_vectors_esp32s3(const esp_dl_vectors_t *p);

/*
 * table[x], x as an unsigned byte; y may be x. table: 4 and 0, then 256 values as unsigned bytes. By the first two
 * words the assembly sees whether an indexed load begins to count a word too early, as it does in an emulator.
 */
void esp_dl_lookup_vectors_esp32s3(const int8_t *x, const int32_t table[258], int8_t *y, int32_t vectors);

#endif
