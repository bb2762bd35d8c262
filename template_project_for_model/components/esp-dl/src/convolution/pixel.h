/* One output pixel of a convolution of any kind: shared by the kernels that compute window by window. */
#ifndef ESP_DL_CONVOLUTION_PIXEL_H
#define ESP_DL_CONVOLUTION_PIXEL_H

#include "common/requantize.h"
#include "esp_dl.h"

#include <stddef.h>

/* The taps of a window that are in the image: `rows` x `columns` of them, with `count` adjacent values each; the
 * distances are in bytes in the input (x) and in the weights (w). */
typedef struct {
    int32_t rows, columns, count;
    ptrdiff_t x_row, x_column, w_row, w_column;
} esp_dl_reach_t;

/* The sums of two filters, `second` behind the first. */
static inline void esp_dl_two_filters(const esp_dl_reach_t *reach, const int8_t *x_row, const int8_t *w_row,
                                      ptrdiff_t second, int32_t sums[2])
{
    int32_t s0 = sums[0], s1 = sums[1];
    for (int32_t i = reach->rows; i > 0; i--) {
        const int8_t *x_tap = x_row, *w_tap = w_row;
        for (int32_t j = reach->columns; j > 0; j--) {
            const int8_t *x = x_tap, *w = w_tap, *v = w + second;
            for (const int8_t *end = x + (reach->count & ~3); x != end; x += 4, w += 4, v += 4) {
                s0 += x[0] * w[0], s1 += x[0] * v[0];
                s0 += x[1] * w[1], s1 += x[1] * v[1];
                s0 += x[2] * w[2], s1 += x[2] * v[2];
                s0 += x[3] * w[3], s1 += x[3] * v[3];
            }
            for (const int8_t *end = x + (reach->count & 3); x != end; x++) {
                s0 += *x * *w++, s1 += *x * *v++;
            }
            x_tap += reach->x_column;
            w_tap += reach->w_column;
        }
        x_row += reach->x_row;
        w_row += reach->w_row;
    }
    sums[0] = s0, sums[1] = s1;
}

/* All output channels of a pixel. x, w: the first tap that lies in the image, in the input and in the first filter.
 * Not inlined: the caller's variables would take registers from its loops. */
__attribute__((noinline)) static void esp_dl_pixel(const esp_dl_conv2d_t *p, const esp_dl_reach_t *reach,
                                                   const int8_t *x, const int8_t *w, int8_t *output)
{
    const int32_t inputs = p->input.c / p->groups, outputs = p->output.c / p->groups; /* of a group */
    const ptrdiff_t filter_size = (ptrdiff_t)p->window.kernel_h * p->window.kernel_w * inputs;
    const int32_t min = p->min, max = p->max;
    int32_t channel = 0;
    for (int32_t group = p->groups; group > 0; group--, x += inputs) {
        for (int32_t left = outputs; left > 0; left -= 2) {
            /* The last filter of an odd number: beside itself. */
            const int32_t count = left > 1 ? 2 : 1;
            int32_t sums[2] = {p->bias[channel], p->bias[channel + count - 1]};
            esp_dl_two_filters(reach, x, w, count == 2 ? filter_size : 0, sums);
            for (int32_t i = 0; i < count; i++) {
                *output++ = esp_dl_requantize(sums[i], p->shift[channel++], min, max);
            }
            w += count * filter_size;
        }
    }
}

#endif
