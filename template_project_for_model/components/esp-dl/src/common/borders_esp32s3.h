/*
 * Windows at the border of an image, for kernels that read windows without asking where the image ends.
 *
 * Where a window reaches over the left or right border, the rows that it needs are copied into scratch memory, between
 * values that stand for what lies outside; above and below the image a row of such values stands in. Whether that is
 * needed the exporter says (esp_dl_border_t).
 */
#ifndef ESP_DL_COMMON_BORDERS_ESP32S3_H
#define ESP_DL_COMMON_BORDERS_ESP32S3_H

#include "esp_dl_esp32s3.h"

#include <stddef.h>
#include <string.h>

/* Vectors of one value, at a multiple of 16. */
static inline void esp_dl_fill_esp32s3(int8_t *to, int8_t value, int32_t vectors)
{
#ifdef ESP_DL_ESP32S3
    void esp_dl_fill_vectors_esp32s3(int8_t * to, const int8_t *value, int32_t count);
    esp_dl_fill_vectors_esp32s3(to, &value, vectors);
#else
    memset(to, value, (size_t)(16 * vectors));
#endif
}

/* Sixteen times the least, sixteen times the greatest value. */
static inline void esp_dl_clamp_vectors(int8_t min, int8_t max, uint32_t clamp[8])
{
    for (int i = 0; i < 4; i++) {
        clamp[i] = (uint8_t)min * 0x01010101u;
        clamp[4 + i] = (uint8_t)max * 0x01010101u;
    }
}

/* Copy to a multiple of 16. */
static inline void esp_dl_copy_row(int8_t *to, const int8_t *from, int32_t bytes)
{
#ifdef ESP_DL_ESP32S3
    void esp_dl_copy_bytes_esp32s3(int8_t * to, const int8_t *from, int32_t count);
    esp_dl_copy_bytes_esp32s3(to, from, bytes);
#else
    memcpy(to, from, (size_t)bytes);
#endif
}

/* Blocks that begin some bytes apart, to multiples of 16. */
static inline void esp_dl_copy_blocks(int8_t *to, const int8_t *from, int32_t bytes, int32_t blocks, int32_t to_step,
                                      int32_t from_step)
{
#ifdef ESP_DL_ESP32S3
    void esp_dl_copy_blocks_esp32s3(char *to, const char *from, int32_t vectors, int32_t blocks, int32_t to_step,
                                    int32_t from_step);
    if (bytes % 16 == 0) {
        esp_dl_copy_blocks_esp32s3((char *)to, (const char *)from, bytes / 16, blocks, to_step, from_step);
        return;
    }
#endif
    for (; blocks > 0; blocks--, to += to_step, from += from_step) {
        esp_dl_copy_row(to, from, bytes);
    }
}

/* Pixels that begin `step` bytes apart, one behind the other to a multiple of 16. */
static inline void esp_dl_copy_pixels(int8_t *to, const int8_t *from, int32_t bytes, int32_t step, int32_t pixels)
{
    if (step == bytes) {
        esp_dl_copy_row(to, from, bytes * pixels);
        return;
    }
    if (bytes % 16 == 0) {
        esp_dl_copy_blocks(to, from, bytes, pixels, bytes, step);
        return;
    }
    for (; pixels > 0; pixels--) {
        for (int32_t i = 0; i < bytes; i++) {
            to[i] = from[i];
        }
        to += bytes;
        from += step;
    }
}

static inline int32_t esp_dl_aligned(int32_t bytes)
{
    return (bytes + 15) / 16 * 16;
}

/* Where the rows of windows lie: in the image, or in slots of scratch memory that are used in turn. */
typedef struct {
    const int8_t *outside;      /* a row of values outside of the image; NULL: none is needed */
    int8_t *rows;               /* copies of rows; NULL: windows lie in the image from left to right */
    int32_t row_bytes;          /* from a row to the next, there or in the image */
    int32_t ring;               /* bytes of all slots; in the image: more than there are */
    int32_t left;               /* in a slot, the bytes before the image, which lies at a multiple of 16 */
    int32_t start;              /* in a slot, the bytes before the left border */
    int32_t image_row;          /* bytes */
    int32_t copied_bytes;       /* of a row */
    int32_t span;               /* rows from a window's first to behind its last */
    int32_t row_step, tap_step; /* from a row or tap of the window to the next: rows, bytes; bytes */
    /* Of the output row that is next. */
    int32_t top;       /* the first row of its window */
    int32_t top_at;    /* its place in the ring */
    int32_t copied;    /* rows of the image before this one have been copied or are not needed */
    int32_t copied_at; /* its place in the ring */
} esp_dl_borders_t;

/* Rows from a window's first to behind its last. */
static inline int32_t esp_dl_window_span(const esp_dl_window_t *w)
{
    return (w->kernel_h - 1) * w->dilation_h + 1;
}

/* Bytes of scratch memory that `esp_dl_borders` takes. */
static inline int32_t esp_dl_border_bytes(const esp_dl_border_t *border, const esp_dl_window_t *w)
{
    return border->row_bytes * (border->outside + border->copied * esp_dl_window_span(w));
}

/* value: what lies outside of the image */
static inline esp_dl_borders_t esp_dl_borders(const esp_dl_shape_t *input, const esp_dl_border_t *border,
                                              const esp_dl_window_t *w, int8_t value, int8_t *scratch)
{
    const int32_t image_row = input->w * input->c, pad_left = w->pad_left * input->c;
    const int32_t left = esp_dl_aligned(pad_left), row_bytes = border->row_bytes;
    esp_dl_borders_t b = {
        .row_bytes = image_row,
        .ring = INT32_MAX,
        .image_row = image_row,
        .span = esp_dl_window_span(w),
        .row_step = w->dilation_h,
        .tap_step = w->dilation_w * input->c,
    };
    if (border->outside) {
        b.outside = scratch;
        esp_dl_fill_esp32s3(scratch, value, row_bytes / 16);
        scratch += row_bytes;
    }
    if (border->copied) {
        b.rows = scratch;
        b.row_bytes = row_bytes;
        b.ring = b.span * row_bytes;
        b.left = left;
        b.start = left - pad_left;
        b.copied_bytes = image_row < row_bytes - left ? image_row : row_bytes - left;
        if (b.copied_bytes < 0) {
            b.copied_bytes = 0; /* all windows of a row lie in the padding on its left */
        }
        esp_dl_fill_esp32s3(scratch, value, b.ring / 16);
    }
    return b;
}

static inline int32_t esp_dl_in_ring(const esp_dl_borders_t *b, int32_t at)
{
    const int32_t ring = b->ring;
    while (at >= ring) {
        at -= ring;
    }
    return at;
}

/* Before the first row of an image. */
static inline void esp_dl_next_image(esp_dl_borders_t *b, const esp_dl_window_t *w)
{
    b->top = -w->pad_top;
    b->top_at = esp_dl_in_ring(b, b->top * b->row_bytes);
    b->copied = b->copied_at = 0;
}

/* Copy the rows from `top` up to the one before `end` that have not been copied. */
static inline void esp_dl_copy_rows(const int8_t *image, esp_dl_borders_t *b, int32_t end)
{
    if (b->copied < b->top) {
        b->copied_at = esp_dl_in_ring(b, b->copied_at + (b->top - b->copied) * b->row_bytes);
        b->copied = b->top;
    }
    const int32_t step = b->row_bytes;
    while (b->copied < end) {
        const int8_t *from = image + b->copied * b->image_row;
        int8_t *to = b->rows + b->copied_at + b->left;
        int32_t rows = 1, at = b->copied_at + step;
        for (; b->copied + rows < end && at < b->ring; rows++) {
            at += step;
        }
        b->copied += rows;
        b->copied_at = esp_dl_in_ring(b, at);
        if (b->copied_bytes <= 0) {
            continue;
        }
        if (rows == 1) {
            esp_dl_copy_row(to, from, b->copied_bytes);
        } else {
            esp_dl_copy_blocks(to, from, b->copied_bytes, rows, step, b->image_row);
        }
    }
}

/*
 * Where the rows of the first window of the next row of output pixels begin, `per_row` taps of each; what that needs is
 * copied. image: of the batch; its rows are asked for from the top down, after `esp_dl_next_image`
 */
static inline void esp_dl_window_rows(const int8_t *image, const esp_dl_shape_t *input, const esp_dl_window_t *w,
                                      esp_dl_borders_t *b, int32_t per_row, const int8_t **rows)
{
    const int32_t height = input->h;
    const int8_t *base = image;
    int32_t row = b->top, at = b->top_at;
    if (b->rows != NULL) {
        const int32_t end = row + b->span;
        esp_dl_copy_rows(image, b, end < height ? end : height);
        base = b->rows + b->start;
    }
    const int32_t row_step = b->row_step, step = row_step * b->row_bytes, ring = b->ring;
    const int8_t *outside = b->outside;
    for (const int8_t **rows_end = rows + w->kernel_h * per_row; rows < rows_end;) {
        const int8_t *start = base + at;
        if ((uint32_t)row >= (uint32_t)height) {
            start = outside;
        }
        *rows++ = start;
        for (int32_t j = 1; j < per_row; j++) {
            start += b->tap_step;
            *rows++ = start;
        }
        row += row_step;
        at += step;
        if (at >= ring) {
            at -= ring;
        }
    }
    b->top += w->stride_h;
    b->top_at = esp_dl_in_ring(b, b->top_at + w->stride_h * b->row_bytes);
}

#endif
