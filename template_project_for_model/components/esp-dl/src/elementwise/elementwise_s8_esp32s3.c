/* Addition, subtraction, multiplication and requantization for the vector unit of the ESP32-S3. */
#include "common/borders_esp32s3.h"
#include "elementwise/vectors_esp32s3.h"
#include "esp_dl_esp32s3.h"

#include <string.h>

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
    const int32_t left = p->shift < 0 ? -p->shift : 0;
    esp_dl_vectors_t v = vectors(x, x, count, p->shift + left, p->min, p->max, output);
    v.factor_a = (int8_t)(1 << left);
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

/* `count` values that follow each other. v: a, b and output where they begin */
static void compute_row(esp_dl_vectors_t v, int32_t count, compute_vectors_t *compute)
{
    const int32_t rest = count % 16, done = count - rest;
    v.step_a = v.step_b = v.step_y = 16;
    v.vectors = count / 16;
    compute(&v);
    if (rest > 0) {
        /* Nothing is written behind the output. */
        _Alignas(16) int8_t a[16] = {0}, b[16] = {0}, y[16];
        int8_t *const output = v.output + done;
        memcpy(a, v.a + done, (size_t)rest);
        memcpy(b, v.b + done, (size_t)rest);
        v.a = a, v.b = b, v.output = y;
        v.vectors = 1;
        compute(&v);
        memcpy(output, y, (size_t)rest);
    }
}

/* One of them may be a single value. */
static void broadcast_values(esp_dl_vectors_t v, const esp_dl_broadcast_t *p, compute_vectors_t *compute)
{
    _Alignas(16) int8_t same[16];
    const int32_t count = p->shape[0], done = count / 16 * 16;
    const bool single_a = p->step_a[0] == 0, single_b = p->step_b[0] == 0;
    if (single_a || single_b) {
        esp_dl_fill_esp32s3(same, single_a ? *v.a : *v.b, 1);
        v.a = single_a ? same : v.a;
        v.b = single_b ? same : v.b;
    }
    v.step_a = single_a ? 0 : 16, v.step_b = single_b ? 0 : 16;
    v.vectors = count / 16;
    compute(&v);
    v.a += single_a ? 0 : done, v.b += single_b ? 0 : done, v.output += done;
    if (done < count) {
        compute_row(v, count - done, compute);
    }
}

/* Rows that are a multiple of 16 bytes together, or all of them. */
static int32_t period_of(const esp_dl_broadcast_t *p)
{
    const int32_t channels = p->shape[1], count = p->shape[0] * channels;
    int32_t period = channels;
    while (period % 16 != 0 && period < count) {
        period += channels;
    }
    return period;
}

/* Rows of channels, one of them the same row again and again; scratch: where its channels are no multiple of 16. */
static void broadcast_rows(esp_dl_vectors_t v, const esp_dl_broadcast_t *p, int8_t *scratch, compute_vectors_t *compute)
{
    const int32_t channels = p->shape[1], count = p->shape[0] * channels;
    const bool row_a = p->step_a[0] == 0;
    const int32_t period = period_of(p);
    if (channels % 16 != 0) {
        for (int32_t i = 0; i < period; i += channels) {
            memcpy(scratch + i, row_a ? v.a : v.b, (size_t)channels);
        }
        v.a = row_a ? scratch : v.a;
        v.b = row_a ? v.b : scratch;
    }
    const int32_t periods = period % 16 == 0 ? count / period : 0, last = periods - 1, rest = count - periods * period;
    esp_dl_vectors_t column = v;
    for (int32_t c = 0; c < period && last >= 0; c += 16) {
        column.a = v.a + c, column.b = v.b + c, column.output = v.output + c;
        column.step_a = row_a ? 0 : period, column.step_b = row_a ? period : 0, column.step_y = period;
        column.vectors = last;
        compute(&column);
        /* The last alone, so that nothing is read that lies far behind it. */
        column.a += last * column.step_a, column.b += last * column.step_b, column.output += last * period;
        column.step_a = column.step_b = 16;
        column.vectors = 1;
        compute(&column);
    }
    if (rest > 0) {
        const int32_t done = count - rest;
        v.a += row_a ? 0 : done, v.b += row_a ? done : 0, v.output += done;
        compute_row(v, rest, compute);
    }
}

/* Bytes of scratch memory. */
static int32_t broadcast_scratch(const esp_dl_broadcast_t *p)
{
    return p->rank == 1 || p->shape[1] % 16 == 0 ? 0 : period_of(p);
}

static void broadcast(const esp_dl_vectors_t *v, const esp_dl_broadcast_t *p, void *scratch, compute_vectors_t *compute)
{
    if (p->rank == 1) {
        broadcast_values(*v, p, compute);
    } else {
        broadcast_rows(*v, p, scratch, compute);
    }
}

int32_t esp_dl_add_broadcast_s8_esp32s3_scratch(const esp_dl_broadcast_t *p)
{
    return broadcast_scratch(p);
}

void esp_dl_add_broadcast_s8_esp32s3(const int8_t *a, const int8_t *b, const esp_dl_broadcast_t *p, void *scratch,
                                     int8_t *output)
{
    esp_dl_vectors_t v = vectors(a, b, 0, p->shift, p->min, p->max, output);
    v.factor_a = (int8_t)(1 << p->shift_a);
    v.factor_b = (int8_t)(1 << p->shift_b);
    broadcast(&v, p, scratch, esp_dl_add_vectors_esp32s3);
}

int32_t esp_dl_sub_broadcast_s8_esp32s3_scratch(const esp_dl_broadcast_t *p)
{
    return broadcast_scratch(p);
}

void esp_dl_sub_broadcast_s8_esp32s3(const int8_t *a, const int8_t *b, const esp_dl_broadcast_t *p, void *scratch,
                                     int8_t *output)
{
    esp_dl_vectors_t v = vectors(a, b, 0, p->shift, p->min, p->max, output);
    v.factor_a = (int8_t)(1 << p->shift_a);
    v.factor_b = (int8_t)(-(1 << p->shift_b));
    broadcast(&v, p, scratch, esp_dl_add_vectors_esp32s3);
}

int32_t esp_dl_mul_broadcast_s8_esp32s3_scratch(const esp_dl_broadcast_t *p)
{
    return broadcast_scratch(p);
}

void esp_dl_mul_broadcast_s8_esp32s3(const int8_t *a, const int8_t *b, const esp_dl_broadcast_t *p, void *scratch,
                                     int8_t *output)
{
    const esp_dl_vectors_t v = vectors(a, b, 0, p->shift, p->min, p->max, output);
    broadcast(&v, p, scratch, esp_dl_mul_vectors_esp32s3);
}

int32_t esp_dl_maximum_s8_esp32s3_scratch(const esp_dl_broadcast_t *p)
{
    return broadcast_scratch(p);
}

void esp_dl_maximum_s8_esp32s3(const int8_t *a, const int8_t *b, const esp_dl_broadcast_t *p, void *scratch,
                               int8_t *output)
{
    const esp_dl_vectors_t v = vectors(a, b, 0, 0, p->min, p->max, output);
    broadcast(&v, p, scratch, esp_dl_max_vectors_esp32s3);
}

int32_t esp_dl_minimum_s8_esp32s3_scratch(const esp_dl_broadcast_t *p)
{
    return broadcast_scratch(p);
}

void esp_dl_minimum_s8_esp32s3(const int8_t *a, const int8_t *b, const esp_dl_broadcast_t *p, void *scratch,
                               int8_t *output)
{
    const esp_dl_vectors_t v = vectors(a, b, 0, 0, p->min, p->max, output);
    broadcast(&v, p, scratch, esp_dl_min_vectors_esp32s3);
}

int32_t esp_dl_prelu_s8_esp32s3_scratch(const esp_dl_prelu_t *p)
{
    return broadcast_scratch(&p->places);
}

void esp_dl_prelu_s8_esp32s3(const int8_t *x, const int8_t *slope, const esp_dl_prelu_t *p, void *scratch,
                             int8_t *output)
{
    const int32_t shift = p->places.shift, bits = p->shift_negative - 1 < 6 ? p->shift_negative - 1 : 6;
    esp_dl_vectors_t v = vectors(x, slope, 0, shift > 0 ? shift : 0, INT8_MIN, INT8_MAX, output);
    v.factor_a = shift < 0 ? (int8_t)(1 << -shift) : 1;
    v.shift_negative = p->shift_negative;
    v.negative_a = p->shift_negative > 0 ? (int8_t)(1 << bits) : 0;
    v.negative_b = p->shift_negative > 0 ? (int8_t)(1 << (p->shift_negative - 1 - bits)) : 0;
    broadcast(&v, &p->places, scratch, shift == 0 ? esp_dl_prelu_kept_vectors_esp32s3 : esp_dl_prelu_vectors_esp32s3);
}
