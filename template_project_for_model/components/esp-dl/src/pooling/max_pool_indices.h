/* Where the maxima of windows are, for any type of input. A file that includes this defines INPUT, the type. */
#ifndef ESP_DL_POOLING_MAX_POOL_INDICES_H
#define ESP_DL_POOLING_MAX_POOL_INDICES_H

#include <stddef.h>

#include "esp_dl.h"

/* The place in a plane of the first of the largest values of the window that begins at (top, left). */
static inline int32_t place_of_maximum(const INPUT *plane, const esp_dl_max_pool_indices_t *p, int32_t top,
                                       int32_t left)
{
    int32_t best = -1;
    for (int32_t kh = 0, h = top; kh < p->kernel_h; kh++, h += p->dilation_h) {
        if (h < 0 || h >= p->height) {
            continue;
        }
        for (int32_t kw = 0, w = left; kw < p->kernel_w; kw++, w += p->dilation_w) {
            const int32_t place = h * p->width + w;
            if (w >= 0 && w < p->width && (best < 0 || plane[place] > plane[best])) {
                best = place;
            }
        }
    }
    return best;
}

static inline void places_of_maxima(const INPUT *input, const esp_dl_max_pool_indices_t *p, int64_t *output)
{
    const int32_t size = p->height * p->width;
    for (int32_t plane = 0; plane < p->planes; plane++) {
        const int64_t before = (int64_t)plane * size;
        for (int32_t h = 0; h < p->output_h; h++) {
            for (int32_t w = 0; w < p->output_w; w++) {
                const int32_t top = h * p->stride_h - p->pad_top, left = w * p->stride_w - p->pad_left;
                const int32_t place = place_of_maximum(input, p, top, left);
                const int32_t turned = place % p->width * p->height + place / p->width;
                *output++ = before + (p->by_columns ? turned : place);
            }
        }
        input += size;
    }
}

#endif
