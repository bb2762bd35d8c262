/* The positions that averages over windows count. */
#ifndef ESP_DL_POOLING_COUNTED_H
#define ESP_DL_POOLING_COUNTED_H

#include "esp_dl.h"

/* Rows top..bottom - 1 and columns left..right - 1 count, as positions in the image. */
typedef struct {
    int32_t top, bottom, left, right;
} esp_dl_counted_t;

/* The image, or with count_include_pad it and its padding: up to the end of the last window, less the part beyond the
 * padding. */
static inline esp_dl_counted_t esp_dl_counted(const esp_dl_pool2d_t *p)
{
    const esp_dl_window_t *w = &p->window;
    if (!p->count_include_pad) {
        return (esp_dl_counted_t){0, p->input.h, 0, p->input.w};
    }
    const int32_t reach_h = (p->output.h - 1) * w->stride_h + (w->kernel_h - 1) * w->dilation_h + 1;
    const int32_t reach_w = (p->output.w - 1) * w->stride_w + (w->kernel_w - 1) * w->dilation_w + 1;
    return (esp_dl_counted_t){-w->pad_top, reach_h - w->pad_top - p->overhang_h, -w->pad_left,
                              reach_w - w->pad_left - p->overhang_w};
}

#endif
