/* Largest values and means over windows. */
#ifndef ESP_DL_POOLING_H
#define ESP_DL_POOLING_H

#include "esp_dl/types.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Pooling; a global pool is one window over the whole plane.
 *   max:      y = clamp(max(x over the window)); -128 before the clamp for a window without a tap in the image
 *   average:  y = clamp(sat8(floor(sum(x) * 2^-shift / n + 1/2))),  shift = e_y - e_x
 * n is what ONNX counts: the taps in the image, or with count_include_pad those in the image and its padding. Taps
 * beyond the padding, which ceil_mode can cause, never count. A window without a counted tap gives 0. As
 * arithmetic.max_pool2d and average_pool2d.
 */
typedef struct {
    esp_dl_shape_t input;
    esp_dl_shape_t output; /* n and c as input's */
    esp_dl_window_t window;
    /* average only */
    bool count_include_pad;
    int8_t shift;     /* -20..20; of int8, kernel_h * kernel_w * 2^(8 + |shift|) < 2^31 */
    int16_t min, max; /* clamp */
    /* with count_include_pad: how far the last window extends beyond the padding (ceil_mode); otherwise 0 */
    int32_t overhang_h, overhang_w;
    bool input_s16, output_s16; /* read by the s16 kernel alone */
} esp_dl_pool2d_t;

void esp_dl_max_pool2d_s8(const int8_t *input, const esp_dl_pool2d_t *p, int8_t *output);
void esp_dl_average_pool2d_s8(const int8_t *input, const esp_dl_pool2d_t *p, int8_t *output);

/*
 * Average of one whole image, some rows at a time, from the first rows to the last.
 * pool: input: the rows of this call; output: the whole image's, one pixel; window: of any size
 * pixels: of the whole image; begins, ends: these are its first rows, its last ones, with which the output is written
 * sums: int32 [c], which stay from one call to the next
 */
typedef struct {
    esp_dl_pool2d_t pool;
    int32_t pixels;
    bool begins, ends;
} esp_dl_average_rows_t;

void esp_dl_average_pool2d_s8_rows(const int8_t *input, const esp_dl_average_rows_t *p, void *sums, int8_t *output);
/* From and to int8 or int16, as average_pool2d_s16. */
void esp_dl_average_pool2d_s16_rows(const void *input, const esp_dl_average_rows_t *p, void *sums, void *output);

/* Pooling of int16: the maximum only of int16 (-32768 for a window without a tap), the mean from and to either width.
 * As arithmetic.max_pool2d_s16 and average_pool2d_s16. */
void esp_dl_max_pool2d_s16(const int16_t *input, const esp_dl_pool2d_t *p, int16_t *output);
void esp_dl_average_pool2d_s16(const void *input, const esp_dl_pool2d_t *p, void *output);

/*
 * Where the maxima of windows are: [planes][depth][height][width] -> [planes][output_d][output_h][output_w], counted
 * through all planes, of equal ones the first; as arithmetic.max_pool_indices. Every window has a place in the image.
 */
typedef struct {
    int32_t planes, depth, height, width;
    int32_t output_d, output_h, output_w;
    int32_t kernel_d, kernel_h, kernel_w, stride_d, stride_h, stride_w, dilation_d, dilation_h, dilation_w;
    int32_t pad_d, pad_h, pad_w; /* in front; below zero: the first windows begin that much later */
    bool by_columns;             /* places of a plane are counted along its depth, then its height, then its width */
} esp_dl_max_pool_indices_t;

void esp_dl_max_pool_indices_s8(const int8_t *input, const esp_dl_max_pool_indices_t *p, int64_t *output);
void esp_dl_max_pool_indices_f32(const float *input, const esp_dl_max_pool_indices_t *p, int64_t *output);

/* Zeros, and every value of the input at its place in the output, in order: the last of several counts. Negative places
 * count from the end; one that is outside even so is taken for the nearest. As arithmetic.max_unpool. */
typedef struct {
    int32_t count, size;  /* elements of the input (and places), and of the output */
    int32_t element_size; /* bytes: 1 or 4 */
} esp_dl_max_unpool_t;

void esp_dl_max_unpool(const void *input, const int64_t *places, const esp_dl_max_unpool_t *p, void *output);

#ifdef __cplusplus
}
#endif

#endif /* ESP_DL_POOLING_H */
