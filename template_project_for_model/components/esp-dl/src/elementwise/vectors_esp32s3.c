/* What vectors_esp32s3.S computes on the ESP32-S3, in C. */
#include "elementwise/vectors_esp32s3.h"
#include "common/requantize.h"

#ifndef ESP_DL_ESP32S3

/* Where value i lies, whose vectors are `step` apart. */
static int32_t at(int32_t i, int32_t step)
{
    return i / 16 * step + i % 16;
}

void esp_dl_add_vectors_esp32s3(const esp_dl_vectors_t *p)
{
    for (int32_t i = 0; i < p->vectors * 16; i++) {
        const int32_t a = p->a[at(i, p->step_a)], b = p->b[at(i, p->step_b)];
        const int32_t acc = a * p->factor_a + b * p->factor_b + p->half_a * p->half_b;
        p->output[at(i, p->step_y)] = esp_dl_requantize(acc, p->shift, p->min, p->max);
    }
}

void esp_dl_mul_vectors_esp32s3(const esp_dl_vectors_t *p)
{
    for (int32_t i = 0; i < p->vectors * 16; i++) {
        const int32_t acc = p->a[at(i, p->step_a)] * p->b[at(i, p->step_b)] + p->half_a * p->half_b;
        p->output[at(i, p->step_y)] = esp_dl_requantize(acc, p->shift, p->min, p->max);
    }
}

void esp_dl_max_vectors_esp32s3(const esp_dl_vectors_t *p)
{
    for (int32_t i = 0; i < p->vectors * 16; i++) {
        const int8_t a = p->a[at(i, p->step_a)], b = p->b[at(i, p->step_b)];
        p->output[at(i, p->step_y)] = (int8_t)esp_dl_clamp(a > b ? a : b, p->min, p->max);
    }
}

void esp_dl_min_vectors_esp32s3(const esp_dl_vectors_t *p)
{
    for (int32_t i = 0; i < p->vectors * 16; i++) {
        const int8_t a = p->a[at(i, p->step_a)], b = p->b[at(i, p->step_b)];
        p->output[at(i, p->step_y)] = (int8_t)esp_dl_clamp(a < b ? a : b, p->min, p->max);
    }
}

void esp_dl_lookup_vectors_esp32s3(const int8_t *x, const int32_t table[258], int8_t *y, int32_t vectors)
{
    for (int32_t i = 0; i < vectors * 16; i++) {
        y[i] = (int8_t)table[2 + (uint8_t)x[i]];
    }
}

#else
typedef int esp_dl_vectors_are_assembly;
#endif
