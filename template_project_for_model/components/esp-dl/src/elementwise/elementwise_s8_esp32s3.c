/* Addition, subtraction, multiplication and requantization for the vector unit of the ESP32-S3. */
#include "common/borders_esp32s3.h"
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
        .step_a = 16,
        .step_b = 16,
        .step_y = 16,
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
    if (p->shift == 0) {
        esp_dl_max_vectors_esp32s3(&v);
    } else {
        esp_dl_add_vectors_esp32s3(&v);
    }
    esp_dl_requantize_s8(x + done, count % 16, p, output + done);
}

void esp_dl_lookup_s8_esp32s3(const int8_t *x, int32_t count, const int32_t table[258], int8_t *output)
{
    const int32_t done = count / 16 * 16;
    esp_dl_lookup_vectors_esp32s3(x, table, output, count / 16);
    for (int32_t i = done; i < count; i++) {
        output[i] = (int8_t)table[2 + (uint8_t)x[i]];
    }
}

/* --- Shapes that broadcast -------------------------------------------------------------------------------------- */

typedef void compute_vectors_t(const esp_dl_vectors_t *v);
typedef void compute_broadcast_t(const int8_t *a, const int8_t *b, const esp_dl_broadcast_t *p, int8_t *output);

/* v: all but the operands, the output and their number and steps; plain: for what remains. */
static void broadcast(const int8_t *a, const int8_t *b, const esp_dl_broadcast_t *p, esp_dl_vectors_t v, int8_t *output,
                      compute_vectors_t *compute, compute_broadcast_t *plain)
{
    if (p->rank == 1) {
        /* One of them may be a single value. */
        _Alignas(16) int8_t same[16];
        const int32_t count = p->shape[0], done = count / 16 * 16;
        v.a = a, v.b = b, v.output = output;
        v.vectors = count / 16;
        v.step_a = 16 * p->step_a[0], v.step_b = 16 * p->step_b[0];
        if (v.step_a == 0 || v.step_b == 0) {
            esp_dl_fill_esp32s3(same, v.step_a == 0 ? *a : *b, 1);
            v.a = v.step_a == 0 ? same : a;
            v.b = v.step_b == 0 ? same : b;
        }
        compute(&v);
        if (done < count) {
            esp_dl_broadcast_t rest = *p;
            rest.shape[0] = count - done;
            plain(a + done * p->step_a[0], b + done * p->step_b[0], &rest, output + done);
        }
        return;
    }
    /* Rows of sixteens of values, the same row of one of them again and again. */
    const int32_t rows = p->shape[0], channels = p->shape[1], last = rows - 1;
    for (int32_t c = 0; c < channels; c += 16) {
        v.a = a + c, v.b = b + c, v.output = output + c;
        v.step_a = p->step_a[0], v.step_b = p->step_b[0], v.step_y = channels;
        v.vectors = last;
        compute(&v);
        /* The last alone, so that nothing is read that lies far behind it. */
        v.a += last * v.step_a, v.b += last * v.step_b, v.output += last * channels;
        v.step_a = v.step_b = 16;
        v.vectors = 1;
        compute(&v);
    }
}

void esp_dl_add_broadcast_s8_esp32s3(const int8_t *a, const int8_t *b, const esp_dl_broadcast_t *p, int8_t *output)
{
    esp_dl_vectors_t v = vectors(a, b, 0, p->shift, p->min, p->max, output);
    v.factor_a = (int8_t)(1 << p->shift_a);
    v.factor_b = (int8_t)(1 << p->shift_b);
    broadcast(a, b, p, v, output, esp_dl_add_vectors_esp32s3, esp_dl_add_broadcast_s8);
}

void esp_dl_sub_broadcast_s8_esp32s3(const int8_t *a, const int8_t *b, const esp_dl_broadcast_t *p, int8_t *output)
{
    esp_dl_vectors_t v = vectors(a, b, 0, p->shift, p->min, p->max, output);
    v.factor_a = (int8_t)(1 << p->shift_a);
    v.factor_b = (int8_t)(-(1 << p->shift_b));
    broadcast(a, b, p, v, output, esp_dl_add_vectors_esp32s3, esp_dl_sub_broadcast_s8);
}

void esp_dl_mul_broadcast_s8_esp32s3(const int8_t *a, const int8_t *b, const esp_dl_broadcast_t *p, int8_t *output)
{
    const esp_dl_vectors_t v = vectors(a, b, 0, p->shift, p->min, p->max, output);
    broadcast(a, b, p, v, output, esp_dl_mul_vectors_esp32s3, esp_dl_mul_broadcast_s8);
}

void esp_dl_maximum_s8_esp32s3(const int8_t *a, const int8_t *b, const esp_dl_broadcast_t *p, int8_t *output)
{
    const esp_dl_vectors_t v = vectors(a, b, 0, 0, p->min, p->max, output);
    broadcast(a, b, p, v, output, esp_dl_max_vectors_esp32s3, esp_dl_maximum_s8);
}

void esp_dl_minimum_s8_esp32s3(const int8_t *a, const int8_t *b, const esp_dl_broadcast_t *p, int8_t *output)
{
    const esp_dl_vectors_t v = vectors(a, b, 0, 0, p->min, p->max, output);
    broadcast(a, b, p, v, output, esp_dl_min_vectors_esp32s3, esp_dl_minimum_s8);
}
