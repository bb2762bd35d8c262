/* What vectors_esp32s3.S computes on the ESP32-S3, in C. */
#include "elementwise/vectors_esp32s3.h"
#include "common/requantize.h"

#ifndef ESP_DL_ESP32S3

void esp_dl_add_vectors_esp32s3(const esp_dl_vectors_t *p)
{
    for (int32_t i = 0; i < p->vectors * 16; i++) {
        const int32_t acc = p->a[i] * p->factor_a + p->b[i] * p->factor_b + p->half_a * p->half_b;
        p->output[i] = esp_dl_requantize(acc, p->shift, p->min, p->max);
    }
}

void esp_dl_mul_vectors_esp32s3(const esp_dl_vectors_t *p)
{
    for (int32_t i = 0; i < p->vectors * 16; i++) {
        const int32_t acc = p->a[i] * p->b[i] + p->half_a * p->half_b;
        p->output[i] = esp_dl_requantize(acc, p->shift, p->min, p->max);
    }
}

#else
typedef int esp_dl_vectors_are_assembly;
#endif
