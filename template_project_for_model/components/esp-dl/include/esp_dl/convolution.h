/* Convolutions with constant weights. */
#ifndef ESP_DL_CONVOLUTION_H
#define ESP_DL_CONVOLUTION_H

#include "esp_dl/types.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Convolution: input [n][h][w][c] -> output, filters in groups; as arithmetic.conv2d.
 *   acc = sum(x * w) + b;  y = clamp(sat8(rshift(acc, shift[o]))),  shift[o] = e_y - e_x - e_w[o]
 * where x outside the image is pad_value.
 */
typedef struct {
    esp_dl_shape_t input;  /* c is a multiple of groups */
    esp_dl_shape_t output; /* n as input's; c is a multiple of groups */
    esp_dl_window_t window;
    int32_t groups;             /* >= 1; output channels of group g read the input channels of group g */
    const int8_t *weights;      /* [output.c][kernel_h][kernel_w][input.c / groups] */
    const int32_t *bias;        /* [output.c], at e_x + e_w; where shift > 0 with 2^(shift - 1) already added */
    const int8_t *shift;        /* [output.c], -8..31; -16..31 where the result is int16 */
    int16_t min, max;           /* clamp */
    bool input_s16, output_s16; /* read by the s16 kernel alone */
    int16_t pad_value;          /* what taps outside the image read; not read by the transposed convolution */
} esp_dl_conv2d_t;

void esp_dl_conv2d_s8(const int8_t *input, const esp_dl_conv2d_t *p, int8_t *output);

/* The same of int16; as arithmetic.conv2d_s16. */
void esp_dl_conv2d_s16(const void *input, const esp_dl_conv2d_t *p, void *output);

/*
 * A convolution to whose sums a tensor is added before they are rounded; as arithmetic.conv2d_add. addend: as the
 * output, which may be its memory.
 *   acc = sum(x * w) + b + (addend << addend_shift[o]);  y = clamp(sat8(rshift(acc, shift[o])))
 */
typedef struct {
    esp_dl_conv2d_t conv2d;
    const int8_t *addend_shift; /* [output.c], 0..24; of int16 0..16 */
    bool addend_s16;            /* read by the s16 kernel alone */
} esp_dl_conv2d_add_t;

void esp_dl_conv2d_add_s8(const int8_t *input, const int8_t *addend, const esp_dl_conv2d_add_t *p, int8_t *output);

/* The same of int16; as arithmetic.conv2d_add_s16. */
void esp_dl_conv2d_add_s16(const void *input, const void *addend, const esp_dl_conv2d_add_t *p, void *output);

/*
 * Depthwise convolution: every input channel has output.c / input.c filters of its own; output channel o reads input
 * channel o / (output.c / input.c). The rule is that of the convolution; as arithmetic.depthwise_conv2d.
 */
typedef struct {
    esp_dl_shape_t input;
    esp_dl_shape_t output; /* n as input's; c is a multiple of input.c */
    esp_dl_window_t window;
    const int8_t *weights;      /* [kernel_h][kernel_w][output.c] */
    const int32_t *bias;        /* [output.c], as for the convolution */
    const int8_t *shift;        /* [output.c], -8..31; -16..31 where the result is int16 */
    int16_t min, max;           /* clamp */
    bool input_s16, output_s16; /* read by the s16 kernel alone */
    int16_t pad_value;          /* what taps outside the image read */
} esp_dl_depthwise_conv2d_t;

void esp_dl_depthwise_conv2d_s8(const int8_t *input, const esp_dl_depthwise_conv2d_t *p, int8_t *output);

/* The same of int16; as arithmetic.depthwise_conv2d_s16. */
void esp_dl_depthwise_conv2d_s16(const void *input, const esp_dl_depthwise_conv2d_t *p, void *output);

/*
 * Transposed convolution: each input value is multiplied with the filter and added where it falls. In the window, tap
 * (i, j) of the input at (y, x) falls on the output at (y * stride_h + i * dilation_h - pad_top,
 * x * stride_w + j * dilation_w - pad_left). Parameters and rule are those of the convolution;
 * as arithmetic.conv_transpose2d.
 */
void esp_dl_conv_transpose2d_s8(const int8_t *input, const esp_dl_conv2d_t *p, int8_t *output);

#ifdef __cplusplus
}
#endif

#endif /* ESP_DL_CONVOLUTION_H */
