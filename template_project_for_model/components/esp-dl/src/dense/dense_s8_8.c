/*
 * Fully connected layer, eight outputs at a time: an input value is loaded once for all eight.
 *
 * After a relu many inputs have the same value, that of zero. It is subtracted from all inputs, which the bias
 * compensates: an input of that value then adds nothing, and its eight weights are not even loaded.
 */
#include "common/requantize.h"
#include "esp_dl_fast.h"

#define OUTPUTS ESP_DL_8_OUTPUTS

void esp_dl_dense_s8_8(const int8_t *input, const esp_dl_dense_t *p, int8_t *output)
{
    for (int32_t row = 0; row < p->rows; row++) {
        const int32_t common = p->weights[0];
        const int8_t *w = p->weights + 1;
        for (int32_t o = 0; o < p->outputs; o += OUTPUTS) {
            int32_t s0 = 0, s1 = 0, s2 = 0, s3 = 0, s4 = 0, s5 = 0, s6 = 0, s7 = 0;
            const int8_t *x = input;
            for (const int8_t *end = x + p->inputs; x != end; w += OUTPUTS) {
                int32_t value = *x++;
                if (value == common) {
                    continue;
                }
                value -= common;
                s0 += value * w[0];
                s1 += value * w[1];
                s2 += value * w[2];
                s3 += value * w[3];
                s4 += value * w[4];
                s5 += value * w[5];
                s6 += value * w[6];
                s7 += value * w[7];
            }
            const int32_t sums[OUTPUTS] = {s0, s1, s2, s3, s4, s5, s6, s7};
            const int32_t count = p->outputs - o < OUTPUTS ? p->outputs - o : OUTPUTS;
            for (int32_t i = 0; i < count; i++) {
                *output++ = esp_dl_requantize(sums[i] + p->bias[o + i], p->shift[o + i], p->min, p->max);
            }
        }
        input += p->inputs;
    }
}
