#include "common/positive_float.h"
#include "esp_dl.h"
#include "softmax/quotient.h"

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
        sum = esp_dl_add_positive(sum, table[largest - row[i]]);
    }
    return sum;
}

void esp_dl_softmax_s8_f32(const int8_t *input, const esp_dl_softmax_t *p, float *output)
{
    for (int32_t row = 0; row < p->rows; row++) {
        const int32_t largest = largest_of(input, p->columns);
        const float sum = sum_of(input, p->columns, largest, p->table);
        for (int32_t i = 0; i < p->columns; i++) {
            output[i] = esp_dl_divide_positive(p->table[largest - input[i]], sum);
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
            output[i] = esp_dl_quotient(p->table[largest - input[i]], sum, p->exponent);
        }
        input += p->columns;
        output += p->columns;
    }
}
