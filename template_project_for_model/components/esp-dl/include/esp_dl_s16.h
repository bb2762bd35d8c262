/*
 * Kernels on int16 activations, for the few layers that need them; included by esp_dl.h.
 *
 * Every tensor is int8 or int16 by itself: `..._s16` in the parameters says which. int16 data lie at even addresses.
 * Weights are int8, sums int32: the exporter has checked that none overflows. Rules are those of the int8 kernels with
 * sat16(v), which clamps to [-32768, 32767], where the result is int16. min and max are those of the result's type.
 */
#ifndef ESP_DL_S16_H
#define ESP_DL_S16_H

#include "esp_dl.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Convolution, as esp_dl_conv2d_s8. */
typedef struct {
    esp_dl_shape_t input, output;
    esp_dl_window_t window;
    int32_t groups;
    const int8_t *weights; /* [output.c][kernel_h][kernel_w][input.c / groups] */
    const int32_t *bias;   /* [output.c], at e_x + e_w; where shift > 0 with 2^(shift - 1) already added */
    const int8_t *shift;   /* [output.c], -16..31 */
    int16_t min, max;
    bool input_s16, output_s16;
} esp_dl_conv2d_s16_t;

void esp_dl_conv2d_s16(const void *input, const esp_dl_conv2d_s16_t *p, void *output);

/* Depthwise convolution, as esp_dl_depthwise_conv2d_s8. */
typedef struct {
    esp_dl_shape_t input, output;
    esp_dl_window_t window;
    const int8_t *weights; /* [kernel_h][kernel_w][output.c] */
    const int32_t *bias;
    const int8_t *shift;
    int16_t min, max;
    bool input_s16, output_s16;
} esp_dl_depthwise_conv2d_s16_t;

void esp_dl_depthwise_conv2d_s16(const void *input, const esp_dl_depthwise_conv2d_s16_t *p, void *output);

/* Fully connected layer, as esp_dl_dense_s8. */
typedef struct {
    int32_t rows, inputs, outputs;
    const int8_t *weights; /* [outputs][inputs] */
    const int32_t *bias;
    const int8_t *shift;
    int16_t min, max;
    bool input_s16, output_s16;
} esp_dl_dense_s16_t;

void esp_dl_dense_s16(const void *input, const esp_dl_dense_s16_t *p, void *output);

/* Sum of two tensors of the same shape, as esp_dl_add_s8. In place of an input of the output's type. */
typedef struct {
    int32_t count;
    int8_t shift_a, shift_b; /* 0..14 */
    int8_t shift;            /* -16..30 */
    int16_t min, max;
    bool a_s16, b_s16, output_s16;
} esp_dl_add_s16_t;

void esp_dl_add_s16(const void *a, const void *b, const esp_dl_add_s16_t *p, void *output);

/* Another exponent or another width, and relu or clip that stands alone, as esp_dl_requantize_s8. */
typedef struct {
    int32_t count;
    int8_t shift; /* -16..17 */
    int16_t min, max;
    bool input_s16, output_s16;
} esp_dl_requantize_s16_t;

void esp_dl_requantize_s16(const void *input, const esp_dl_requantize_s16_t *p, void *output);

/* Average over windows, as esp_dl_average_pool2d_s8. */
typedef struct {
    esp_dl_shape_t input, output;
    esp_dl_window_t window;
    int32_t overhang_h, overhang_w; /* how far the last window reaches beyond image and padding, where padding counts */
    bool count_include_pad;
    int8_t shift; /* e_y - e_x, -20..20 */
    int16_t min, max;
    bool input_s16, output_s16;
} esp_dl_average_pool2d_s16_t;

void esp_dl_average_pool2d_s16(const void *input, const esp_dl_average_pool2d_s16_t *p, void *output);

/* Maximum over windows, as esp_dl_max_pool2d_s8; input and output are int16. */
typedef struct {
    esp_dl_shape_t input, output;
    esp_dl_window_t window;
    int16_t min, max;
} esp_dl_max_pool2d_s16_t;

void esp_dl_max_pool2d_s16(const int16_t *input, const esp_dl_max_pool2d_s16_t *p, int16_t *output);

/*
 * Softmax over the rows of input [rows][columns]. With d = max(x) - x of the row, the power of a value is
 * coarse[d >> 8] * fine[d & 255]; powers are added and divided in float32, in the order of the index.
 */
typedef struct {
    int32_t rows, columns;
    const float *coarse; /* [256], exp(-256 i * 2^e_x) */
    const float *fine;   /* [256], exp(-i * 2^e_x); in both 0 for what is less than 2^-60 */
} esp_dl_softmax_s16_t;

void esp_dl_softmax_s16_f32(const int16_t *input, const esp_dl_softmax_s16_t *p, float *output);

/* Between float and int16, as esp_dl_quantize_s8 and esp_dl_dequantize_s8. */
void esp_dl_quantize_s16(const float *input, int32_t count, int32_t exponent, int16_t *output);
void esp_dl_dequantize_s16(const int16_t *input, int32_t count, int32_t exponent, float *output);

#ifdef __cplusplus
}
#endif

#endif
