/* The end of a convolution: from sums to int8, with what is added to them. */
#ifndef ESP_DL_CONVOLUTION_CONV2D_ADD_H
#define ESP_DL_CONVOLUTION_CONV2D_ADD_H

#include "convolution/conv2d_end.h"

#include <stddef.h>

/* sums: with the bias. Output channel `o` of `pixels` pixels, the first of which `output` and `add` point to. */
static void esp_dl_conv2d_finish(const int32_t *sums, int32_t pixels, const esp_dl_conv2d_t *p, int32_t o,
                                 const esp_dl_addend_t *add, int8_t *output)
{
    const esp_dl_conv2d_end_t end = esp_dl_conv2d_end(p, add, o);
    const int32_t step = p->output.c;
    output += o;
    if (add->values == NULL) {
        for (const int32_t *stop = sums + pixels; sums != stop; sums++) {
            esp_dl_store_shifted(output, *sums, end.shift, end.below, end.min, end.max);
            output += step;
        }
        return;
    }
    const int8_t *addend = add->values + o;
    for (const int32_t *stop = sums + pixels; sums != stop; sums++) {
        esp_dl_conv2d_store_sum(&end, *sums, *addend, output);
        output += step;
        addend += step;
    }
}

#endif
