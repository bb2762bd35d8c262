#include "esp_dl_fast.h"
#include "quantization/steps.h"

#include <stddef.h>

void esp_dl_quantize_s8_nhwc(const float *input, const esp_dl_quantize_nhwc_t *p, int8_t *output)
{
    /* Copies: a store of int8 may change all that a pointer reaches, so they would be loaded every time. */
    const int32_t channels = p->output.c;
    const esp_dl_steps_t steps = esp_dl_steps(p->exponent, p->zero_point);
    const ptrdiff_t size = (ptrdiff_t)p->output.h * p->output.w * channels;
    for (int32_t n = 0; n < p->output.n; n++) {
        for (int32_t c = 0; c < channels; c++) {
            const float *x = input;
            for (int8_t *y = output + c, *end = y + size; y != end; y += channels) {
                *y = (int8_t)esp_dl_quantize_with(*x++, &steps);
            }
            input += p->plane;
        }
        output += size;
    }
}
