#include "common/requantize.h"
#include "esp_dl.h"

void esp_dl_dense_s8(const int8_t *input, const esp_dl_dense_t *p, int8_t *output)
{
    for (int32_t row = 0; row < p->rows; row++) {
        const int8_t *weights = p->weights;
        for (int32_t o = 0; o < p->outputs; o++) {
            int32_t sum = p->bias[o];
            for (int32_t i = 0; i < p->inputs; i++) {
                sum += input[i] * weights[i];
            }
            *output++ = esp_dl_requantize(sum, p->shift[o], p->min, p->max);
            weights += p->inputs;
        }
        input += p->inputs;
    }
}
