/*
 * Windows at the border of an image, for kernels that read windows without asking where the image ends.
 *
 * Where a window reaches over the left or right border, the rows that it needs are copied into scratch memory, between
 * values that stand for what lies outside; above and below the image a row of such values stands in. Scratch memory: as
 * `border_bytes` of tools/esp_tvm/compile/esp32s3.py says.
 */
#ifndef ESP_DL_COMMON_BORDERS_ESP32S3_H
#define ESP_DL_COMMON_BORDERS_ESP32S3_H

#include "esp_dl.h"

#include <stddef.h>
#include <string.h>

/* Copy to a multiple of 16. */
static inline void esp_dl_copy_esp32s3(int8_t *to, const int8_t *from, int32_t bytes)
{
#ifdef ESP_DL_ESP32S3
    void esp_dl_copy_vectors_esp32s3(int8_t * to, const int8_t *from, int32_t count);
    esp_dl_copy_vectors_esp32s3(to, from, bytes / 16);
    for (int32_t i = bytes / 16 * 16; i < bytes; i++) {
        to[i] = from[i];
    }
#else
    memcpy(to, from, (size_t)bytes);
#endif
}

typedef struct {
    const int8_t *outside; /* a row of values outside of the image; NULL: none is needed */
    int8_t *rows;          /* copies of rows; NULL: windows lie in the image from left to right */
    int32_t row_bytes;     /* of a row with its borders */
    int32_t start;         /* of its left border, so that the image lies at a multiple of 16 */
    int32_t slots;         /* rows that a window spans: the copies that are kept */
    int32_t copied_end;    /* rows of the image before this one have been copied */
} esp_dl_borders_t;

static inline int32_t esp_dl_aligned(int32_t bytes)
{
    return (bytes + 15) / 16 * 16;
}

static inline int esp_dl_no_borders(const esp_dl_borders_t *borders)
{
    return borders->outside == NULL && borders->rows == NULL;
}

/* value: what lies outside of the image */
static inline esp_dl_borders_t esp_dl_borders(const esp_dl_shape_t *input, const esp_dl_shape_t *output,
                                              const esp_dl_window_t *w, int8_t value, int8_t *scratch)
{
    const int32_t span_w = (output->w - 1) * w->stride_w + (w->kernel_w - 1) * w->dilation_w + 1;
    const int32_t span_h = (output->h - 1) * w->stride_h + (w->kernel_h - 1) * w->dilation_h + 1;
    const int32_t start = esp_dl_aligned(w->pad_left * input->c) - w->pad_left * input->c;
    esp_dl_borders_t b = {.row_bytes = esp_dl_aligned(start + span_w * input->c),
                          .start = start,
                          .slots = (w->kernel_h - 1) * w->dilation_h + 1};
    if (w->pad_top > 0 || span_h - w->pad_top > input->h) {
        b.outside = scratch;
        memset(scratch, value, (size_t)b.row_bytes);
        scratch += b.row_bytes;
    }
    if (w->pad_left > 0 || span_w - w->pad_left > input->w) {
        b.rows = scratch;
        memset(b.rows, value, (size_t)(b.slots * b.row_bytes));
    }
    return b;
}

/* Copy the rows up to `last` that have not been copied and are needed from `first` on. */
static inline void esp_dl_copy_rows(const int8_t *image, const esp_dl_shape_t *input, const esp_dl_window_t *w,
                                    esp_dl_borders_t *b, int32_t first, int32_t last)
{
    const int32_t left = b->start + w->pad_left * input->c, image_bytes = input->w * input->c;
    const int32_t bytes = image_bytes < b->row_bytes - left ? image_bytes : b->row_bytes - left;
    int32_t y = b->copied_end > first ? b->copied_end : first;
    for (; y <= last && y < input->h; y++) {
        esp_dl_copy_esp32s3(b->rows + y % b->slots * b->row_bytes + left, image + y * image_bytes, bytes);
    }
    b->copied_end = y > b->copied_end ? y : b->copied_end;
}

/*
 * Where the rows of the first window of output row y begin, `per_row` taps of each; what that needs is copied.
 * image: of the batch; copied_end: 0 at its start
 */
static inline void esp_dl_window_rows(const int8_t *image, const esp_dl_shape_t *input, const esp_dl_window_t *w,
                                      esp_dl_borders_t *b, int32_t y, int32_t per_row, const int8_t **rows)
{
    const int32_t top = y * w->stride_h - w->pad_top;
    if (b->rows != NULL) {
        esp_dl_copy_rows(image, input, w, b, top < 0 ? 0 : top, top + (w->kernel_h - 1) * w->dilation_h);
    }
    for (int32_t i = 0; i < w->kernel_h; i++) {
        const int32_t row = top + i * w->dilation_h;
        const int8_t *start;
        if (row < 0 || row >= input->h) {
            start = b->outside;
        } else if (b->rows != NULL) {
            start = b->rows + row % b->slots * b->row_bytes + b->start;
        } else {
            start = image + row * input->w * input->c;
        }
        for (int32_t j = 0; j < per_row; j++) {
            *rows++ = start + j * w->dilation_w * input->c;
        }
    }
}

#endif
