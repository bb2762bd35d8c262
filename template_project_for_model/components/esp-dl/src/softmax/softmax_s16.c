#include "common/positive_float.h"
#include "esp_dl.h"

void esp_dl_softmax_s16_f32(const int16_t *input, const esp_dl_softmax_s16_t *p, float *output)
{
    for (int32_t row = 0; row < p->rows; row++) {
        int32_t largest = input[0];
        for (int32_t i = 1; i < p->columns; i++) {
            largest = input[i] > largest ? input[i] : largest;
        }
        float sum = 0.0f;
        for (int32_t i = 0; i < p->columns; i++) {
            const int32_t distance = largest - input[i];
            output[i] = esp_dl_multiply_positive(p->coarse[distance >> 8], p->fine[distance & 0xff]);
            sum = esp_dl_add_positive(sum, output[i]);
        }
        for (int32_t i = 0; i < p->columns; i++) {
            output[i] = esp_dl_divide_positive(output[i], sum);
        }
        input += p->columns;
        output += p->columns;
    }
}
