/* The end of a convolution for one value, with the addend of a residual connection if there is one. */
#ifndef ESP_DL_CONVOLUTION_CONV2D_END_H
#define ESP_DL_CONVOLUTION_CONV2D_END_H

#include "common/registers.h"
#include "common/requantize.h"
#include "esp_dl_fast.h"

#include <stddef.h>

/* What is added to the sums: values like the output's, and how far they are shifted to the left; values: NULL for
 * nothing. */
typedef struct {
    const int8_t *values, *shift;
} esp_dl_addend_t;

/* What the end of a convolution needs of its parameters. Copies: a store of int8 may change all that a pointer reaches,
 * so the compiler would load them every time. */
typedef struct {
    int32_t shift, min, max, left, below; /* below: min << shift */
} esp_dl_conv2d_end_t;

/* That of output channel `o`. */
static inline esp_dl_conv2d_end_t esp_dl_conv2d_end(const esp_dl_conv2d_t *p, const esp_dl_addend_t *add, int32_t o)
{
    const int32_t shift = p->shift[o], left = add->values != NULL ? add->shift[o] : 0;
    return (esp_dl_conv2d_end_t){shift, p->min, p->max, left, p->min * (1 << shift)};
}

/* A sum, with the bias, and the addend's value. */
static inline void esp_dl_conv2d_store_sum(const esp_dl_conv2d_end_t *end, int32_t sum, int32_t addend, int8_t *output)
{
    const int32_t value = sum + (int32_t)((uint32_t)addend << end->left);
    esp_dl_store_shifted(output, value, end->shift, end->below, end->min, end->max);
}

/* What is added to the pixels behind the next `values` ones. */
static inline esp_dl_addend_t esp_dl_addend_behind(esp_dl_addend_t add, int32_t values)
{
    return (esp_dl_addend_t){add.values != NULL ? add.values + values : NULL, add.shift};
}

#endif
