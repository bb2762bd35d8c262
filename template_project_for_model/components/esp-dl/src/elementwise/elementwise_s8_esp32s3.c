/* Addition, subtraction, multiplication and requantization for the vector unit of the ESP32-S3. */
#include "elementwise/vectors_esp32s3.h"
#include "esp_dl_esp32s3.h"

/* The parameters of sixteen values at a time; what remains is left to the plain kernels. */
static esp_dl_vectors_t vectors(const int8_t *a, const int8_t *b, int32_t count, int32_t shift, int32_t min,
                                int32_t max, int8_t *output)
{
    /* 2^(shift - 1) as a product of bytes. */
    const int32_t bits = shift - 1 < 6 ? shift - 1 : 6;
    return (esp_dl_vectors_t){
        .a = a,
        .b = b,
        .output = output,
        .vectors = count / 16,
        .shift = shift,
        .half_a = shift > 0 ? (int8_t)(1 << bits) : 0,
        .half_b = shift > 0 ? (int8_t)(1 << (shift - 1 - bits)) : 0,
        .min = (int8_t)min,
        .max = (int8_t)max,
    };
}

static esp_dl_binary_t rest_of(const esp_dl_binary_t *p)
{
    esp_dl_binary_t rest = *p;
    rest.count = p->count % 16;
    return rest;
}

void esp_dl_add_s8_esp32s3(const int8_t *a, const int8_t *b, const esp_dl_binary_t *p, int8_t *output)
{
    const int32_t done = p->count / 16 * 16;
    const esp_dl_binary_t rest = rest_of(p);
    esp_dl_vectors_t v = vectors(a, b, p->count, p->shift, p->min, p->max, output);
    v.factor_a = (int8_t)(1 << p->shift_a);
    v.factor_b = (int8_t)(1 << p->shift_b);
    esp_dl_add_vectors_esp32s3(&v);
    esp_dl_add_s8(a + done, b + done, &rest, output + done);
}

void esp_dl_sub_s8_esp32s3(const int8_t *a, const int8_t *b, const esp_dl_binary_t *p, int8_t *output)
{
    const int32_t done = p->count / 16 * 16;
    const esp_dl_binary_t rest = rest_of(p);
    esp_dl_vectors_t v = vectors(a, b, p->count, p->shift, p->min, p->max, output);
    v.factor_a = (int8_t)(1 << p->shift_a);
    v.factor_b = (int8_t)(-(1 << p->shift_b));
    esp_dl_add_vectors_esp32s3(&v);
    esp_dl_sub_s8(a + done, b + done, &rest, output + done);
}

void esp_dl_mul_s8_esp32s3(const int8_t *a, const int8_t *b, const esp_dl_binary_t *p, int8_t *output)
{
    const int32_t done = p->count / 16 * 16;
    const esp_dl_binary_t rest = rest_of(p);
    const esp_dl_vectors_t v = vectors(a, b, p->count, p->shift, p->min, p->max, output);
    esp_dl_mul_vectors_esp32s3(&v);
    esp_dl_mul_s8(a + done, b + done, &rest, output + done);
}

void esp_dl_requantize_s8_esp32s3(const int8_t *x, int32_t count, const esp_dl_requantize_t *p, int8_t *output)
{
    const int32_t done = count / 16 * 16;
    esp_dl_vectors_t v = vectors(x, x, count, p->shift, p->min, p->max, output);
    v.factor_a = 1;
    esp_dl_add_vectors_esp32s3(&v);
    esp_dl_requantize_s8(x + done, count % 16, p, output + done);
}
