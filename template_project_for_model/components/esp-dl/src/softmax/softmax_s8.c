#include "common/float_bits.h"
#include "esp_dl.h"

#include <float.h>

/* The bytes of the result depend on every intermediate value: float must be computed as float. */
_Static_assert(FLT_EVAL_METHOD == 0, "compile for a target that evaluates float as float (32-bit x86: -mfpmath=sse)");

static int32_t largest_of(const int8_t *row, int32_t columns)
{
    int32_t largest = row[0];
    for (int32_t i = 1; i < columns; i++) {
        largest = row[i] > largest ? row[i] : largest;
    }
    return largest;
}

static float sum_of(const int8_t *row, int32_t columns, int32_t largest, const float *table)
{
    float sum = 0.0f;
    for (int32_t i = 0; i < columns; i++) {
        sum += table[largest - row[i]];
    }
    return sum;
}

/* The float quotient value / sum as int8 at `exponent`; 0 <= value <= sum, sum >= 1. Computed with integers if the
 * float division cannot change the rounding: it changes a quotient by less than 2^-24 of it, and never moves it past a
 * number of 24 bits. */
static int8_t quotient(float value, float sum, int32_t exponent)
{
    uint32_t a, b;
    memcpy(&a, &value, sizeof a);
    memcpy(&b, &sum, sizeof b);
    /* 2 * value / sum / 2^exponent = numerator / denominator, 24 bits times 2^places by 24 bits. */
    const int32_t places = (int32_t)(a >> 23) - (int32_t)(b >> 23) + 1 - exponent;
    if (places < -1) {
        return 0;
    }
    if (places >= 0 && places <= 8 && a >> 23 != 0) {
        const uint32_t numerator = ((a & 0x7fffff) | 0x800000) << places;
        const uint32_t denominator = (b & 0x7fffff) | 0x800000;
        const uint32_t twice = numerator / denominator, rest = numerator % denominator;
        if (denominator - rest > 256) { /* numerator * 2^-24 at most */
            const uint32_t y = (twice + 1) >> 1;
            return (int8_t)(y < INT8_MAX ? y : INT8_MAX);
        }
    }
    return esp_dl_quantize_value(value / sum, exponent);
}

void esp_dl_softmax_s8_f32(const int8_t *input, const esp_dl_softmax_t *p, float *output)
{
    for (int32_t row = 0; row < p->rows; row++) {
        const int32_t largest = largest_of(input, p->columns);
        const float sum = sum_of(input, p->columns, largest, p->table);
        for (int32_t i = 0; i < p->columns; i++) {
            output[i] = p->table[largest - input[i]] / sum;
        }
        input += p->columns;
        output += p->columns;
    }
}

void esp_dl_softmax_s8(const int8_t *input, const esp_dl_softmax_t *p, int8_t *output)
{
    for (int32_t row = 0; row < p->rows; row++) {
        const int32_t largest = largest_of(input, p->columns);
        const float sum = sum_of(input, p->columns, largest, p->table);
        for (int32_t i = 0; i < p->columns; i++) {
            output[i] = quotient(p->table[largest - input[i]], sum, p->exponent);
        }
        input += p->columns;
        output += p->columns;
    }
}
