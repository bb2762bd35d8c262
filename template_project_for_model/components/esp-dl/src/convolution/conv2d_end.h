/* The end of a convolution for one value. */
#ifndef ESP_DL_CONVOLUTION_CONV2D_END_H
#define ESP_DL_CONVOLUTION_CONV2D_END_H

#include "common/registers.h"
#include "common/requantize.h"
#include "esp_dl_fast.h"

#include <stddef.h>

/* What the end of a convolution needs of its parameters. Copies: a store of int8 may change all that a pointer reaches,
 * so the compiler would load them every time. */
typedef struct {
    int32_t shift, min, max;
    int32_t factor_a, factor_b, half, last_shift, last_min, last_max; /* of the addition */
} esp_dl_conv2d_end_t;

/* That of output channel `o`; add: NULL for none. */
static inline esp_dl_conv2d_end_t esp_dl_conv2d_end(const esp_dl_conv2d_t *p, const esp_dl_binary_t *add, int32_t o)
{
    esp_dl_conv2d_end_t end = {.shift = p->shift[o], .min = p->min, .max = p->max};
    if (add != NULL) {
        end.factor_a = 1 << add->shift_a, end.factor_b = 1 << add->shift_b, end.half = esp_dl_half(add->shift);
        end.last_shift = add->shift, end.last_min = add->min, end.last_max = add->max;
    }
    return end;
}

/* A sum, with the bias, and the addend's value. */
static inline void esp_dl_conv2d_store_sum(const esp_dl_conv2d_end_t *end, int32_t sum, int32_t addend, int8_t *output)
{
    const int32_t value =
        esp_dl_clamp(sum >> end->shift, end->min, end->max) * end->factor_a + addend * end->factor_b + end->half;
    esp_dl_store(output, esp_dl_shift(value, end->last_shift), end->last_min, end->last_max);
}

#endif
