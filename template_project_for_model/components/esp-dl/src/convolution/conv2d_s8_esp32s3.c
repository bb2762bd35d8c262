/*
 * Convolution for the vector unit of the ESP32-S3: the way through the image. Rows of output pixels are computed by
 * conv2d_row_esp32s3.S, or conv2d_row_esp32s3.c elsewhere.
 *
 * Those read windows without asking where the image ends. Where a window reaches over its left or right border, the
 * rows that it needs are copied into scratch memory, between zeros; above and below the image a row of zeros stands in.
 */
#include "convolution/conv2d_row_esp32s3.h"
#include "esp_dl_esp32s3.h"

#include <stdbool.h>
#include <string.h>

/* Scratch memory: as in Conv2dEsp32s3.scratch of tools/esp_tvm/compile/esp32s3.py. */
typedef struct {
    const int8_t **segments;
    int64_t *sums;
    int8_t *zeros;
    int8_t *rows;       /* NULL: windows lie in the image from left to right */
    int32_t row_bytes;  /* of a row with its borders */
    int32_t slots;      /* rows that a window spans: the copies that are kept */
    int32_t copied_end; /* rows of the image before this one have been copied */
} borders_t;

static int32_t aligned(int32_t bytes)
{
    return (bytes + 15) / 16 * 16;
}

static borders_t lay_out(const esp_dl_conv2d_esp32s3_t *p, int32_t segment_count, int8_t *scratch)
{
    const esp_dl_window_t *w = &p->window;
    const int32_t span_w = (p->output.w - 1) * w->stride_w + (w->kernel_w - 1) * w->dilation_w + 1;
    const int32_t span_h = (p->output.h - 1) * w->stride_h + (w->kernel_h - 1) * w->dilation_h + 1;
    borders_t b = {.row_bytes = aligned(span_w * p->input.c), .slots = (w->kernel_h - 1) * w->dilation_h + 1};
    b.segments = (const int8_t **)(void *)scratch;
    scratch += aligned(segment_count * 8);
    b.sums = (int64_t *)(void *)scratch;
    scratch += p->shifts == 0 ? aligned(p->output.c * 8) : 0;
    if (w->pad_top > 0 || span_h - w->pad_top > p->input.h) {
        b.zeros = scratch;
        memset(b.zeros, 0, (size_t)b.row_bytes);
        scratch += b.row_bytes;
    }
    if (w->pad_left > 0 || span_w - w->pad_left > p->input.w) {
        b.rows = scratch;
        memset(b.rows, 0, (size_t)(b.slots * b.row_bytes));
    }
    return b;
}

/* Copy the rows up to `last` that have not been copied and are needed from `first` on. */
static void copy_rows(const int8_t *image, const esp_dl_conv2d_esp32s3_t *p, borders_t *b, int32_t first, int32_t last)
{
    const int32_t left = p->window.pad_left * p->input.c, image_bytes = p->input.w * p->input.c;
    const int32_t room = b->row_bytes - left;
    const int32_t bytes = image_bytes < room ? image_bytes : room;
    int32_t y = b->copied_end > first ? b->copied_end : first;
    for (; y <= last && y < p->input.h; y++) {
        memcpy(b->rows + y % b->slots * b->row_bytes + left, image + y * image_bytes, (size_t)bytes);
    }
    b->copied_end = y > b->copied_end ? y : b->copied_end;
}

/* Where the segments of the first window of output row y lie. */
static void find_segments(const int8_t *image, const esp_dl_conv2d_esp32s3_t *p, borders_t *b, int32_t y,
                          int32_t per_row)
{
    const esp_dl_window_t *w = &p->window;
    const int32_t top = y * w->stride_h - w->pad_top;
    if (b->rows != NULL) {
        copy_rows(image, p, b, top < 0 ? 0 : top, top + (w->kernel_h - 1) * w->dilation_h);
    }
    const int8_t **segment = b->segments;
    for (int32_t i = 0; i < w->kernel_h; i++) {
        const int32_t row = top + i * w->dilation_h;
        const int8_t *start;
        if (row < 0 || row >= p->input.h) {
            start = b->zeros;
        } else if (b->rows != NULL) {
            start = b->rows + row % b->slots * b->row_bytes;
        } else {
            start = image + row * p->input.w * p->input.c;
        }
        for (int32_t j = 0; j < per_row; j++) {
            *segment++ = start + j * w->dilation_w * p->input.c;
        }
    }
}

void esp_dl_conv2d_s8_esp32s3(const int8_t *input, const esp_dl_conv2d_esp32s3_t *p, void *scratch, int8_t *output)
{
    const esp_dl_window_t *w = &p->window;
    const int32_t per_row = w->dilation_w == 1 ? 1 : w->kernel_w;
    const int32_t segment_count = w->kernel_h * per_row;
    borders_t b = lay_out(p, segment_count, scratch);
    esp_dl_conv2d_row_t row = {
        .segments = b.segments,
        .segment_count = segment_count,
        .segment_bytes = (per_row == 1 ? w->kernel_w : 1) * p->input.c,
        .step = w->stride_w * p->input.c,
        .weights = p->weights,
        .output = output,
        .pixels = p->output.w,
        .channels = p->output.c,
        .shifts = p->shifts,
        .min = p->min,
        .max = p->max,
        .vectors = p->vectors,
        .sums = b.sums,
    };
    int32_t images = p->output.n, rows = p->output.h;
    if (w->kernel_h * w->kernel_w * w->stride_h * w->stride_w == 1 && b.rows == NULL && b.zeros == NULL) {
        /* Pixels follow each other all through the images. */
        row.pixels *= images * rows;
        images = rows = 1;
    }
    for (int32_t n = 0; n < images; n++) {
        b.copied_end = 0;
        for (int32_t y = 0; y < rows; y++) {
            find_segments(input, p, &b, y, per_row);
            if (p->shifts > 0) {
                esp_dl_conv2d_row_lanes_esp32s3(&row);
            } else {
                esp_dl_conv2d_row_wide_esp32s3(&row);
            }
            row.output += row.pixels * row.channels;
        }
        input += p->input.h * p->input.w * p->input.c;
    }
}
