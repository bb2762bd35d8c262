/* Sums, products, relu, clip and changes of width with values of 16 bits, for the vector unit of the ESP32-S3. */
#include "common/wide.h"
#include "elementwise/vectors_s16_esp32s3.h"
#include "esp_dl_esp32s3.h"

/* 2^bits */
static int16_t power(int32_t bits)
{
    return (int16_t)(1 << bits);
}

/* By how many bits more sums of an int8 result have at least: the last 8 bits of what is shifted are cut off. */
static int32_t more_bits(int32_t shift, bool output_s16)
{
    return output_s16 || shift >= 8 ? 0 : 8 - shift;
}

/* The parameters of sixteen values at a time without factors and halves; what remains is left to the plain kernels.
 * shift: 0 or more */
static esp_dl_vectors_s16_t vectors(const void *a, const void *b, int32_t count, int32_t shift, int16_t min,
                                    int16_t max, bool output_s16, void *output)
{
    return (esp_dl_vectors_s16_t){
        .a = a,
        .b = b,
        .output = output,
        .vectors = count / 16,
        .shift = shift + more_bits(shift, output_s16) - (output_s16 ? 0 : 8),
        .min = min,
        .max = max,
    };
}

/* The address of a value of the output. */
static void *place(void *output, int32_t index, bool s16)
{
    return s16 ? (void *)((int16_t *)output + index) : (void *)((int8_t *)output + index);
}

static esp_dl_binary_t rest_of(const esp_dl_binary_t *p)
{
    esp_dl_binary_t rest = *p;
    rest.count = p->count % 16;
    return rest;
}

void esp_dl_add_s16_esp32s3(const void *a, const void *b, const esp_dl_binary_t *p, void *output)
{
    const int32_t done = p->count / 16 * 16, left = more_bits(p->shift, p->output_s16);
    const esp_dl_binary_t rest = rest_of(p);
    const bool swapped = p->b_s16 && !p->a_s16, both = p->a_s16 && p->b_s16;
    esp_dl_vectors_s16_t v =
        vectors(swapped ? b : a, swapped ? a : b, p->count, p->shift, p->min, p->max, p->output_s16, output);
    v.factor_a = power(left + (swapped ? p->shift_b : p->shift_a));
    v.factor_b = power(left + (swapped ? p->shift_a : p->shift_b));
    v.half_a = p->shift > 0 ? power(left + p->shift - 1) : 0;
    if (!p->output_s16) {
        (both ? esp_dl_add_16_16_to_8_esp32s3 : esp_dl_add_16_8_to_8_esp32s3)(&v);
    } else if (!p->a_s16 && !p->b_s16) {
        esp_dl_add_8_8_to_16_esp32s3(&v);
    } else {
        (both ? esp_dl_add_16_16_to_16_esp32s3 : esp_dl_add_16_8_to_16_esp32s3)(&v);
    }
    esp_dl_add_s16(esp_dl_at(a, done, p->a_s16), esp_dl_at(b, done, p->b_s16), &rest,
                   place(output, done, p->output_s16));
}

void esp_dl_mul_s16_esp32s3(const void *a, const void *b, const esp_dl_binary_t *p, void *output)
{
    const int32_t done = p->count / 16 * 16, bits = p->shift > 15 ? 14 : p->shift - 1;
    const esp_dl_binary_t rest = rest_of(p);
    const bool swapped = p->b_s16 && !p->a_s16, both = p->a_s16 && p->b_s16;
    esp_dl_vectors_s16_t v =
        vectors(swapped ? b : a, swapped ? a : b, p->count, p->shift, p->min, p->max, p->output_s16, output);
    v.half_a = p->shift > 0 ? power(bits) : 0;
    v.half_b = p->shift > 0 ? power(p->shift - 1 - bits) : 0;
    if (!p->output_s16) {
        (both ? esp_dl_mul_16_16_to_8_esp32s3 : esp_dl_mul_16_8_to_8_esp32s3)(&v);
    } else if (!p->a_s16 && !p->b_s16) {
        esp_dl_mul_8_8_to_16_esp32s3(&v);
    } else {
        (both ? esp_dl_mul_16_16_to_16_esp32s3 : esp_dl_mul_16_8_to_16_esp32s3)(&v);
    }
    esp_dl_mul_s16(esp_dl_at(a, done, p->a_s16), esp_dl_at(b, done, p->b_s16), &rest,
                   place(output, done, p->output_s16));
}

void esp_dl_requantize_s16_esp32s3(const void *x, int32_t count, const esp_dl_requantize_t *p, void *output)
{
    const int32_t done = count / 16 * 16, shift = p->shift > 0 ? p->shift : 0;
    const int32_t left = more_bits(shift, p->output_s16);
    esp_dl_vectors_s16_t v = vectors(x, x, count, shift, p->min, p->max, p->output_s16, output);
    v.factor_a = v.factor_b = power(left + shift - p->shift);
    v.half_a = shift > 0 ? power(left + shift - 1) : 0;
    if (!p->output_s16) {
        esp_dl_scale_16_to_8_esp32s3(&v);
    } else if (!p->input_s16) {
        esp_dl_scale_8_to_16_esp32s3(&v);
    } else if (p->shift == 0) {
        esp_dl_clamp_16_esp32s3(&v);
    } else {
        esp_dl_scale_16_to_16_esp32s3(&v);
    }
    esp_dl_requantize_s16(esp_dl_at(x, done, p->input_s16), count % 16, p, place(output, done, p->output_s16));
}
