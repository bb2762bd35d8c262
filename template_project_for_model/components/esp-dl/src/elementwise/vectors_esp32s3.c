/* What vectors_esp32s3.S computes on the ESP32-S3, in C. */
#include "elementwise/vectors_esp32s3.h"
#include "common/lanes_esp32s3.h"
#include "common/requantize.h"

#ifndef ESP_DL_ESP32S3

/* Where value i lies, whose vectors are `step` apart. */
static int32_t at(int32_t i, int32_t step)
{
    return i / 16 * step + i % 16;
}

/* From the sum of three products to int8, as a lane of 20 bits does it. */
static int8_t shifted_lane(int32_t a, int32_t b, int32_t half, int32_t shift, int32_t min, int32_t max)
{
    int32_t most = 0, least = 0;
    esp_dl_extend(a, &most, &least);
    esp_dl_extend(b, &most, &least);
    esp_dl_extend(half, &most, &least);
    esp_dl_hold_lane(most, least, "a sum or product of esp_dl_esp32s3.h");
    return esp_dl_requantize(a + b + half, shift, min, max);
}

static int8_t from_lane(int32_t a, int32_t b, int32_t half, const esp_dl_vectors_t *p)
{
    return shifted_lane(a, b, half, p->shift, p->min, p->max);
}

void esp_dl_add_vectors_esp32s3(const esp_dl_vectors_t *p)
{
    for (int32_t i = 0; i < p->vectors * 16; i++) {
        const int32_t a = p->a[at(i, p->step_a)], b = p->b[at(i, p->step_b)];
        p->output[at(i, p->step_y)] = from_lane(a * p->factor_a, b * p->factor_b, p->half_a * p->half_b, p);
    }
}

void esp_dl_mul_vectors_esp32s3(const esp_dl_vectors_t *p)
{
    for (int32_t i = 0; i < p->vectors * 16; i++) {
        const int32_t product = p->a[at(i, p->step_a)] * p->b[at(i, p->step_b)];
        p->output[at(i, p->step_y)] = from_lane(product, 0, p->half_a * p->half_b, p);
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

void esp_dl_prelu_vectors_esp32s3(const esp_dl_vectors_t *p)
{
    for (int32_t i = 0; i < p->vectors * 16; i++) {
        const int32_t x = p->a[at(i, p->step_a)], slope = p->b[at(i, p->step_b)];
        const int32_t half = p->half_a * p->factor_a, half_negative = p->negative_a * p->negative_b;
        const int32_t positive = shifted_lane(x > 0 ? x * p->factor_a : 0, 0, half, p->shift, INT8_MIN, INT8_MAX);
        const int32_t negative =
            shifted_lane(x < 0 ? x * slope : 0, 0, half_negative, p->shift_negative, INT8_MIN, INT8_MAX);
        p->output[at(i, p->step_y)] = (int8_t)(positive | negative);
    }
}

void esp_dl_prelu_kept_vectors_esp32s3(const esp_dl_vectors_t *p)
{
    esp_dl_prelu_vectors_esp32s3(p);
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
