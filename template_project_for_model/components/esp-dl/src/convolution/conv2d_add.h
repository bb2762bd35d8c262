/* The end of a convolution: from sums to int8, with the residual addition where one is fused. */
#ifndef ESP_DL_CONVOLUTION_CONV2D_ADD_H
#define ESP_DL_CONVOLUTION_CONV2D_ADD_H

#include "common/requantize.h"
#include "esp_dl_fast.h"

#include <stddef.h>

/* sums: with the bias. Output channel `o` of `pixels` pixels, the first of which `output` (and `addend`) point to; add:
 * NULL for none. */
static void esp_dl_conv2d_finish(const int32_t *sums, int32_t pixels, const esp_dl_conv2d_t *p, int32_t o,
                                 const int8_t *addend, const esp_dl_binary_t *add, int8_t *output)
{
    const int32_t shift = p->shift[o], min = p->min, max = p->max, step = p->output.c;
    output += o;
    if (add == NULL) {
        for (const int32_t *end = sums + pixels; sums != end; sums++) {
            *output = (int8_t)esp_dl_clamp(*sums >> shift, min, max);
            output += step;
        }
        return;
    }
    addend += o;
    for (const int32_t *end = sums + pixels; sums != end; sums++) {
        int32_t value = esp_dl_clamp(*sums >> shift, min, max);
        value = value * (1 << add->shift_a) + *addend * (1 << add->shift_b) + esp_dl_half(add->shift);
        *output = esp_dl_requantize(value, add->shift, add->min, add->max);
        output += step;
        addend += step;
    }
}

#endif
