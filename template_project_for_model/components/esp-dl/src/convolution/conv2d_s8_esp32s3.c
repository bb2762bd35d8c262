/*
 * Convolution for the vector unit of the ESP32-S3: the way through the image. Rows of output pixels are computed by
 * conv2d_row_esp32s3.S, or conv2d_row_esp32s3.c elsewhere.
 */
#include "common/borders_esp32s3.h"
#include "convolution/conv2d_row_esp32s3.h"
#include "convolution/gather_windows_esp32s3.h"
#include "esp_dl_esp32s3.h"

/* As RUN_BYTES of tools/esp_tvm/compile/esp32s3_base.py. */
#define ESP_DL_RUN_BYTES 1536
/* As GATHER_BYTES there: of windows that are put together. */
#define ESP_DL_GATHER_BYTES 1024

/* A row again, its pixels one by one: in C where a sum is too large for a lane. */
static void pixel_by_pixel(esp_dl_conv2d_row_t row, const int8_t **segments)
{
    int32_t pixels = row.pixels;
    row.pixels = 1;
    for (; pixels > 0; pixels--) {
        if (esp_dl_conv2d_row_lanes_esp32s3(&row) != 0) {
            esp_dl_conv2d_row_exact_esp32s3(&row);
        }
        for (int32_t s = 0; s < row.segment_count; s++) {
            segments[s] += row.step;
        }
        row.output += row.channels;
    }
}

/* How many of the pixels of so many channels are copied at once, where they have to be. */
static int32_t run_of(int32_t channels, int32_t pixels)
{
    const int32_t run = channels < ESP_DL_RUN_BYTES ? ESP_DL_RUN_BYTES / channels : 1;
    return run < pixels ? run : pixels;
}

/*
 * Pixels of a window of 1x1. Where the output overlaps the input, as the memory plan lets it, some pixels are copied
 * before theirs is written: sixteen channels after the other are written while all are still read.
 * copy: memory for `run_of` pixels
 */
static void runs(esp_dl_conv2d_row_t row, const int8_t **segments, int8_t *copy,
                 void (*compute)(const esp_dl_conv2d_row_t *))
{
    const int32_t bytes = row.segment_bytes, step = row.step;
    const int8_t *input = segments[0];
    const int8_t *input_end = input + row.pixels * step, *output_end = row.output + row.pixels * row.channels;
    if ((uintptr_t)output_end <= (uintptr_t)input || (uintptr_t)row.output >= (uintptr_t)input_end) {
        compute(&row);
        return;
    }
    const int32_t run = run_of(bytes, row.pixels);
    row.step = bytes;
    for (int32_t left = row.pixels; left > 0; left -= row.pixels) {
        row.pixels = left < run ? left : run;
        esp_dl_copy_pixels(copy, input, bytes, step, row.pixels);
        segments[0] = copy;
        compute(&row);
        input += row.pixels * step;
        row.output += row.pixels * row.channels;
    }
}

/* A row of pixels whose windows are put together first, as many as memory at `to` holds. */
static void gathered(esp_dl_conv2d_row_t row, int8_t *to)
{
    const int8_t *segment = to;
    const int32_t bytes = esp_dl_aligned(row.segment_count * row.segment_bytes);
    const int32_t run = bytes < ESP_DL_GATHER_BYTES ? ESP_DL_GATHER_BYTES / bytes : 1;
    esp_dl_windows_t windows = {
        .segments = row.segments,
        .segment_count = row.segment_count,
        .segment_bytes = row.segment_bytes,
        .step = row.step,
        .to = to,
        .to_step = bytes,
    };
    row.segments = &segment;
    row.segment_count = 1;
    row.segment_bytes = row.step = bytes;
    for (int32_t left = row.pixels; left > 0; left -= row.pixels) {
        windows.pixels = row.pixels = left < run ? left : run;
        esp_dl_gather_windows_esp32s3(&windows);
        esp_dl_conv2d_row_held_esp32s3(&row);
        windows.offset += row.pixels * windows.step;
        row.output += row.pixels * row.channels;
    }
}

void esp_dl_conv2d_s8_esp32s3(const int8_t *input, const esp_dl_conv2d_esp32s3_t *p, void *scratch, int8_t *output)
{
    const esp_dl_window_t *w = &p->window;
    const int32_t per_row = p->by_taps ? w->kernel_w : 1;
    const int32_t segment_count = w->kernel_h * per_row;
    const int8_t **segments = scratch;
    int8_t *free = (int8_t *)scratch + esp_dl_aligned(segment_count * 8);
    int64_t *sums = (int64_t *)(void *)free;
    free += p->vectors > 0 ? esp_dl_aligned(p->output.c * 8) : p->watched ? 64 : 0;
    /* Sixteen channels of many pixels after the other? */
    const bool lanes = p->vectors == 0 && !p->watched && p->output.c % 16 == 0;
    const bool pixel = w->kernel_h * w->kernel_w == 1 && (p->input.c % 16 == 0 || p->input.c == 8);
    int8_t *pixels = free;
    if (p->gathered) {
        const int32_t bytes = esp_dl_aligned(w->kernel_h * w->kernel_w * p->input.c);
        free += (bytes < ESP_DL_GATHER_BYTES ? ESP_DL_GATHER_BYTES : bytes) + 16;
    } else if (lanes && pixel) {
        free += esp_dl_aligned(run_of(p->input.c, p->output.n * p->output.h * p->output.w) * p->input.c);
    }
    _Alignas(16) uint32_t clamp[8];
    esp_dl_clamp_vectors(p->min, p->max, clamp);
    esp_dl_borders_t borders = esp_dl_borders(&p->input, &p->output, w, 0, free);
    esp_dl_conv2d_row_t row = {
        .segments = segments,
        .segment_count = segment_count,
        .segment_bytes = (per_row == 1 ? w->kernel_w : 1) * p->input.c,
        .step = w->stride_w * p->input.c,
        .weights = p->weights,
        .output = output,
        .pixels = p->output.w,
        .channels = p->output.c,
        .min = p->min,
        .max = p->max,
        .vectors = p->vectors,
        .sums = sums,
        .watched = p->watched,
        .least = p->least,
        .clamp = (const int8_t *)clamp,
    };
    int32_t images = p->output.n, rows = p->output.h;
    const bool whole_rows = p->output.w == p->input.w && (images == 1 || rows == p->input.h);
    if (w->kernel_h * w->kernel_w * w->stride_h * w->stride_w == 1 && whole_rows && esp_dl_no_borders(&borders)) {
        /* Pixels follow each other all through the images. */
        row.pixels *= images * rows;
        images = rows = 1;
    }
    void (*held)(const esp_dl_conv2d_row_t *) = NULL;
    if (lanes && pixel) {
        held = p->input.c > 16 ? esp_dl_conv2d_row_held_esp32s3 : esp_dl_conv2d_row_one_esp32s3;
    } else if (lanes && p->input.c % 16 == 0 && borders.rows != NULL) {
        held = esp_dl_conv2d_row_held_esp32s3;
    }
    for (int32_t n = 0; n < images; n++) {
        esp_dl_next_image(&borders, w);
        for (int32_t y = 0; y < rows; y++) {
            esp_dl_window_rows(input, &p->input, w, &borders, per_row, segments);
            if (p->gathered) {
                gathered(row, pixels);
            } else if (held != NULL && pixel && borders.rows == NULL) {
                runs(row, segments, pixels, held);
            } else if (held != NULL) {
                held(&row);
            } else if (p->vectors == 0) {
                if (esp_dl_conv2d_row_lanes_esp32s3(&row) != 0) {
                    pixel_by_pixel(row, segments);
                }
            } else {
                esp_dl_conv2d_row_wide_esp32s3(&row);
            }
            row.output += row.pixels * row.channels;
        }
        input += p->input.h * p->input.w * p->input.c;
    }
}
