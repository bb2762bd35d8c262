#include "common/wide.h"
#include "esp_dl.h"

void esp_dl_dense_s16(const void *input, const esp_dl_dense_t *p, void *output)
{
    ptrdiff_t done = 0;
    for (int32_t row = 0; row < p->rows; row++) {
        const int8_t *weights = p->weights;
        for (int32_t o = 0; o < p->outputs; o++) {
            int32_t sum = p->bias[o];
            for (int32_t i = 0; i < p->inputs; i++) {
                sum += esp_dl_load(input, i, p->input_s16) * weights[i];
            }
            sum = esp_dl_requantize_wide(sum, p->shift[o], p->min, p->max, p->output_s16);
            esp_dl_store(output, done++, sum, p->output_s16);
            weights += p->inputs;
        }
        input = esp_dl_at(input, p->inputs, p->input_s16);
    }
}
