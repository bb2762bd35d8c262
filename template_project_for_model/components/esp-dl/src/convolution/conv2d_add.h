/* The end of a convolution: from sums to int8, with the residual addition if one is fused. */
#ifndef ESP_DL_CONVOLUTION_CONV2D_ADD_H
#define ESP_DL_CONVOLUTION_CONV2D_ADD_H

#include "common/registers.h"
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
            esp_dl_store(output, *sums >> shift, min, max);
            output += step;
        }
        return;
    }
    addend += o;
    /* Copies: a store of int8 may change all that a pointer reaches, so the compiler would load them every time. */
    const int32_t factor_a = 1 << add->shift_a, factor_b = 1 << add->shift_b, half = esp_dl_half(add->shift);
    const int32_t last_shift = add->shift, last_min = add->min, last_max = add->max;
    for (const int32_t *end = sums + pixels; sums != end; sums++) {
        int32_t value = esp_dl_clamp(*sums >> shift, min, max) * factor_a + *addend * factor_b + half;
        if (last_shift >= 0) {
            esp_dl_store(output, value >> last_shift, last_min, last_max);
        } else {
            *output = esp_dl_requantize(value, last_shift, last_min, last_max);
        }
        output += step;
        addend += step;
    }
}

#endif
