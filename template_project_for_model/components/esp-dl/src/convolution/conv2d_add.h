/* The end of a convolution: from sums to int8, with the residual addition if one is fused. */
#ifndef ESP_DL_CONVOLUTION_CONV2D_ADD_H
#define ESP_DL_CONVOLUTION_CONV2D_ADD_H

#include "convolution/conv2d_end.h"

#include <stddef.h>

/* sums: with the bias. Output channel `o` of `pixels` pixels, the first of which `output` (and `addend`) point to; add:
 * NULL for none. */
static void esp_dl_conv2d_finish(const int32_t *sums, int32_t pixels, const esp_dl_conv2d_t *p, int32_t o,
                                 const int8_t *addend, const esp_dl_binary_t *add, int8_t *output)
{
    const esp_dl_conv2d_end_t end = esp_dl_conv2d_end(p, add, o);
    const int32_t step = p->output.c;
    output += o;
    if (add == NULL) {
        for (const int32_t *stop = sums + pixels; sums != stop; sums++) {
            esp_dl_store(output, *sums >> end.shift, end.min, end.max);
            output += step;
        }
        return;
    }
    addend += o;
    for (const int32_t *stop = sums + pixels; sums != stop; sums++) {
        esp_dl_conv2d_store_sum(&end, *sums, *addend, output);
        output += step;
        addend += step;
    }
}

#endif
