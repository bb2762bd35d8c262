/* Where the maxima of windows are, for any type of input. A file that includes this defines INPUT, the type. */
#ifndef ESP_DL_POOLING_MAX_POOL_INDICES_H
#define ESP_DL_POOLING_MAX_POOL_INDICES_H

#include <stddef.h>

#include "esp_dl.h"

/* A place in a plane, and which that is counted row by row. */
typedef struct {
    int32_t d, h, w, place;
} place_t;

/* The place in a plane of the first of the largest values of the window that begins at `first`. */
static inline place_t place_of_maximum(const INPUT *plane, const esp_dl_max_pool_indices_t *p, place_t first)
{
    place_t best = {0, 0, 0, -1};
    for (int32_t kd = 0, d = first.d; kd < p->kernel_d; kd++, d += p->dilation_d) {
        for (int32_t kh = 0, h = first.h; kh < p->kernel_h; kh++, h += p->dilation_h) {
            if (d < 0 || d >= p->depth || h < 0 || h >= p->height) {
                continue;
            }
            for (int32_t kw = 0, w = first.w; kw < p->kernel_w; kw++, w += p->dilation_w) {
                const int32_t place = (d * p->height + h) * p->width + w;
                if (w >= 0 && w < p->width && (best.place < 0 || plane[place] > plane[best.place])) {
                    best = (place_t){d, h, w, place};
                }
            }
        }
    }
    return best;
}

static inline void places_of_maxima(const INPUT *input, const esp_dl_max_pool_indices_t *p, int64_t *output)
{
    const int32_t size = p->depth * p->height * p->width;
    for (int32_t plane = 0; plane < p->planes; plane++) {
        const int64_t before = (int64_t)plane * size;
        for (int32_t d = 0; d < p->output_d; d++) {
            for (int32_t h = 0; h < p->output_h; h++) {
                for (int32_t w = 0; w < p->output_w; w++) {
                    const place_t first = {d * p->stride_d - p->pad_d, h * p->stride_h - p->pad_h,
                                           w * p->stride_w - p->pad_w, 0};
                    const place_t best = place_of_maximum(input, p, first);
                    const int32_t turned = (best.w * p->height + best.h) * p->depth + best.d;
                    *output++ = before + (p->by_columns ? turned : best.place);
                }
            }
        }
        input += size;
    }
}

#endif
