#include "esp_dl.h"

#include <float.h>

/* The bytes of the result depend on every intermediate value: float must be computed as float. */
_Static_assert(FLT_EVAL_METHOD == 0, "compile for a target that evaluates float as float (32-bit x86: -mfpmath=sse)");

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
            output[i] = p->coarse[distance >> 8] * p->fine[distance & 0xff];
            sum += output[i];
        }
        for (int32_t i = 0; i < p->columns; i++) {
            output[i] = output[i] / sum;
        }
        input += p->columns;
        output += p->columns;
    }
}
