/* What vectors_s16_esp32s3.S computes on the ESP32-S3, in C. */
#include "elementwise/vectors_s16_esp32s3.h"
#include "common/wide.h"

#ifndef ESP_DL_ESP32S3

/* A lane of 40 bits, shifted; an int8 output is the upper byte of what has 16 bits. */
static void store_lane(const esp_dl_vectors_s16_t *p, int32_t i, int64_t sum, bool output_s16)
{
    const int64_t shifted = sum >> p->shift, low = INT16_MIN, high = INT16_MAX;
    int32_t value = (int32_t)(shifted < low ? low : shifted > high ? high : shifted);
    value = output_s16 ? value : value >> 8;
    esp_dl_store(p->output, i, esp_dl_clamp(value, p->min, p->max), output_s16);
}

static void add(const esp_dl_vectors_s16_t *p, bool a_s16, bool b_s16, bool output_s16)
{
    for (int32_t i = 0; i < p->vectors * 16; i++) {
        const int64_t a = esp_dl_load(p->a, i, a_s16), b = esp_dl_load(p->b, i, b_s16);
        store_lane(p, i, a * p->factor_a + b * p->factor_b + p->half_a, output_s16);
    }
}

static void multiply(const esp_dl_vectors_s16_t *p, bool a_s16, bool b_s16, bool output_s16)
{
    for (int32_t i = 0; i < p->vectors * 16; i++) {
        const int64_t a = esp_dl_load(p->a, i, a_s16), b = esp_dl_load(p->b, i, b_s16);
        store_lane(p, i, a * b + (int64_t)p->half_a * p->half_b, output_s16);
    }
}

static void scale(const esp_dl_vectors_s16_t *p, bool a_s16, bool output_s16)
{
    for (int32_t i = 0; i < p->vectors * 16; i++) {
        const int64_t a = esp_dl_load(p->a, i, a_s16);
        store_lane(p, i, a * p->factor_a + p->half_a, output_s16);
    }
}

void esp_dl_add_16_16_to_16_esp32s3(const esp_dl_vectors_s16_t *p)
{
    add(p, true, true, true);
}

void esp_dl_add_16_8_to_16_esp32s3(const esp_dl_vectors_s16_t *p)
{
    add(p, true, false, true);
}

void esp_dl_add_8_8_to_16_esp32s3(const esp_dl_vectors_s16_t *p)
{
    add(p, false, false, true);
}

void esp_dl_add_16_16_to_8_esp32s3(const esp_dl_vectors_s16_t *p)
{
    add(p, true, true, false);
}

void esp_dl_add_16_8_to_8_esp32s3(const esp_dl_vectors_s16_t *p)
{
    add(p, true, false, false);
}

void esp_dl_mul_16_16_to_16_esp32s3(const esp_dl_vectors_s16_t *p)
{
    multiply(p, true, true, true);
}

void esp_dl_mul_16_8_to_16_esp32s3(const esp_dl_vectors_s16_t *p)
{
    multiply(p, true, false, true);
}

void esp_dl_mul_8_8_to_16_esp32s3(const esp_dl_vectors_s16_t *p)
{
    multiply(p, false, false, true);
}

void esp_dl_mul_16_16_to_8_esp32s3(const esp_dl_vectors_s16_t *p)
{
    multiply(p, true, true, false);
}

void esp_dl_mul_16_8_to_8_esp32s3(const esp_dl_vectors_s16_t *p)
{
    multiply(p, true, false, false);
}

void esp_dl_scale_16_to_16_esp32s3(const esp_dl_vectors_s16_t *p)
{
    scale(p, true, true);
}

void esp_dl_scale_8_to_16_esp32s3(const esp_dl_vectors_s16_t *p)
{
    scale(p, false, true);
}

void esp_dl_scale_16_to_8_esp32s3(const esp_dl_vectors_s16_t *p)
{
    scale(p, true, false);
}

void esp_dl_clamp_16_esp32s3(const esp_dl_vectors_s16_t *p)
{
    for (int32_t i = 0; i < p->vectors * 16; i++) {
        esp_dl_store(p->output, i, esp_dl_clamp(esp_dl_load(p->a, i, true), p->min, p->max), true);
    }
}

#else
typedef int esp_dl_vectors_s16_are_assembly;
#endif
