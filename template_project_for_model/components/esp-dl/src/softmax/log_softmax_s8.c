#include "common/requantize.h"
#include "esp_dl.h"

#define LN2_24 11629080 /* ln(2) * 2^24 */

/* ln(sum * 2^-places) at 2^-16, for 2^places <= sum < 2^31. */
static int32_t logarithm(int32_t sum, int32_t places, const int32_t table[257])
{
    int32_t top = 0;
    while (top < 30 && sum >> (top + 1) != 0) {
        top++;
    }
    const int32_t fraction = (int32_t)((uint32_t)sum << (30 - top)) - (1 << 30);
    const int32_t index = fraction >> 22;
    const int32_t part = (fraction >> 8) & 0x3fff;
    const int32_t between = ((table[index + 1] - table[index]) * part + (1 << 13)) >> 14;
    return ((top - places) * LN2_24 + table[index] + between + (1 << 7)) >> 8;
}

/* Of one row: its largest value, and the logarithm of the sum of its powers. */
static int32_t row_logarithm(const int8_t *row, const esp_dl_log_softmax_t *p, int32_t *largest)
{
    *largest = row[0];
    for (int32_t i = 1; i < p->columns; i++) {
        *largest = row[i] > *largest ? row[i] : *largest;
    }
    int32_t sum = 0;
    for (int32_t i = 0; i < p->columns; i++) {
        sum += p->powers[*largest - row[i]];
    }
    return logarithm(sum, p->places, p->logarithms);
}

void esp_dl_log_softmax_s8_f32(const int8_t *input, const esp_dl_log_softmax_t *p, float *output)
{
    for (int32_t row = 0; row < p->rows; row++) {
        int32_t largest;
        const int32_t log = row_logarithm(input, p, &largest);
        for (int32_t i = 0; i < p->columns; i++) {
            output[i] = (float)(-((largest - input[i]) << (p->exponent + 16)) - log) * 0x1p-16f;
        }
        input += p->columns;
        output += p->columns;
    }
}

void esp_dl_log_softmax_s8(const int8_t *input, const esp_dl_log_softmax_t *p, int8_t *output)
{
    const int32_t shift = p->output_exponent + 16;
    for (int32_t row = 0; row < p->rows; row++) {
        int32_t largest;
        const int32_t log = row_logarithm(input, p, &largest);
        for (int32_t i = 0; i < p->columns; i++) {
            const int32_t y = -((largest - input[i]) << (p->exponent + 16)) - log;
            output[i] = esp_dl_requantize(y + esp_dl_half(shift), shift, INT8_MIN, INT8_MAX);
        }
        input += p->columns;
        output += p->columns;
    }
}
