/*
 * Kernels for quantized neural networks: int8 values q that are worth q * 2^e, the same bytes on every chip and host.
 *
 * The rules of the arithmetic are those of docs/arithmetic.md, given in short beside every kernel. In them
 *   sat8(v)       clamps v to [-128, 127],
 *   rshift(v, s)  is (v + 2^(s-1)) >> s with an arithmetic shift for s > 0 (round half up), v * 2^-s for s <= 0,
 *   clamp         is the fused relu, relu6 or clip: the int8 result is limited to [min, max]; -128 and 127 for none.
 *
 * For all kernels:
 * - Images lie in memory as NHWC, without gaps. Sizes are counts of elements and at least 1.
 * - int8 data needs no alignment; int32_t and float data that of its type.
 * - Parameters are not checked: the exporter writes them and has checked that no sum leaves int32. Sums that are
 *   shifted are limited to 2^31 - 1 including the half that rounding adds.
 * - No kernel uses the heap or static memory; each may run on several cores at a time.
 * - Output and inputs must not overlap, except where "in place" is said: there the output may be the very memory of
 *   the named input (same address, not merely overlapping).
 */
#ifndef ESP_DL_H
#define ESP_DL_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Shape of an image tensor: batch, height, width, channels, in the order of memory. */
typedef struct {
    int32_t n, h, w, c;
} esp_dl_shape_t;

/*
 * How a window moves over an image. Tap (i, j) of the window of output (y, x) reads the input at
 * (y * stride_h + i * dilation_h - pad_top, x * stride_w + j * dilation_w - pad_left). Taps outside the image add
 * nothing; how many there are at the bottom and the right follows from the shape of the output.
 */
typedef struct {
    int32_t kernel_h, kernel_w;     /* taps, >= 1 */
    int32_t stride_h, stride_w;     /* >= 1 */
    int32_t dilation_h, dilation_w; /* >= 1 */
    int32_t pad_top, pad_left;      /* >= 0 */
} esp_dl_window_t;

/* --- Kernels with constant weights ------------------------------------------------------------------------------ */

/*
 * Convolution.
 *   acc = sum(x * w) + b;  y = clamp(sat8(rshift(acc, shift[o]))),  shift[o] = e_y - e_x - e_w[o]
 */
typedef struct {
    esp_dl_shape_t input;   /* c is a multiple of groups */
    esp_dl_shape_t output;  /* n as input's; c is a multiple of groups */
    esp_dl_window_t window; /* */
    int32_t groups;         /* >= 1; output channels of group g read the input channels of group g */
    const int8_t *weights;  /* [output.c][kernel_h][kernel_w][input.c / groups] */
    const int32_t *bias;    /* [output.c], at e_x + e_w; where shift > 0 with 2^(shift - 1) already added */
    const int8_t *shift;    /* [output.c], -8..31 */
    int8_t min, max;        /* clamp */
} esp_dl_conv2d_t;

void esp_dl_conv2d_s8(const int8_t *input, const esp_dl_conv2d_t *p, int8_t *output);

/*
 * Depthwise convolution: every input channel has output.c / input.c filters of its own; output channel o reads input
 * channel o / (output.c / input.c). The rule is that of the convolution.
 */
typedef struct {
    esp_dl_shape_t input;   /* */
    esp_dl_shape_t output;  /* n as input's; c is a multiple of input.c */
    esp_dl_window_t window; /* */
    const int8_t *weights;  /* [kernel_h][kernel_w][output.c] */
    const int32_t *bias;    /* [output.c], as for the convolution */
    const int8_t *shift;    /* [output.c], -8..31 */
    int8_t min, max;        /* clamp */
} esp_dl_depthwise_conv2d_t;

void esp_dl_depthwise_conv2d_s8(const int8_t *input, const esp_dl_depthwise_conv2d_t *p, int8_t *output);

/*
 * Fully connected layer: input [rows][inputs], output [rows][outputs]. The rule is that of the convolution.
 */
typedef struct {
    int32_t rows, inputs, outputs;
    const int8_t *weights; /* [outputs][inputs] */
    const int32_t *bias;   /* [outputs], as for the convolution */
    const int8_t *shift;   /* [outputs], -8..31 */
    int8_t min, max;       /* clamp */
} esp_dl_dense_t;

void esp_dl_dense_s8(const int8_t *input, const esp_dl_dense_t *p, int8_t *output);

/* --- Elementwise kernels ---------------------------------------------------------------------------------------- */

/*
 * Two tensors of the same shape. In place: the output may be a, or b, or both (a == b is allowed too).
 *   add, sub:  y = clamp(sat8(rshift(a * 2^shift_a +- b * 2^shift_b, shift))),
 *              shift_a = e_a - f, shift_b = e_b - f, shift = e_y - f, f = min(e_a, e_b)
 *   mul:       y = clamp(sat8(rshift(a * b, shift))),  shift = e_y - e_a - e_b; shift_a and shift_b are not read
 */
typedef struct {
    int32_t count;           /* elements */
    int8_t shift_a, shift_b; /* 0..22 */
    int8_t shift;            /* -8..30 */
    int8_t min, max;         /* clamp */
} esp_dl_binary_t;

void esp_dl_add_s8(const int8_t *a, const int8_t *b, const esp_dl_binary_t *p, int8_t *output);
void esp_dl_sub_s8(const int8_t *a, const int8_t *b, const esp_dl_binary_t *p, int8_t *output);
void esp_dl_mul_s8(const int8_t *a, const int8_t *b, const esp_dl_binary_t *p, int8_t *output);

/*
 * Another exponent, or a relu or clip that stands alone. In place.
 *   y = clamp(sat8(rshift(x, shift))),  shift = e_y - e_x
 */
typedef struct {
    int8_t shift;    /* -8..30 */
    int8_t min, max; /* clamp */
} esp_dl_requantize_t;

void esp_dl_requantize_s8(const int8_t *input, int32_t count, const esp_dl_requantize_t *p, int8_t *output);

/*
 * Any function of one value, as a table. In place.
 *   y = table[x + 128]
 */
void esp_dl_lookup_s8(const int8_t *input, int32_t count, const int8_t table[256], int8_t *output);

/* --- Pooling ---------------------------------------------------------------------------------------------------- */

/*
 * Pooling; a global pool is one window over the whole plane.
 *   max:      y = clamp(max(x over the window)); -128 before the clamp for a window without a tap in the image
 *   average:  y = clamp(sat8(floor(sum(x) * 2^-shift / n + 1/2))),  shift = e_y - e_x
 * n is what ONNX counts: the taps in the image, or with count_include_pad those in the image and its padding. Taps
 * beyond the padding, which ceil_mode brings about, never count. A window without a counted tap gives 0.
 */
typedef struct {
    esp_dl_shape_t input;
    esp_dl_shape_t output;  /* n and c as input's */
    esp_dl_window_t window; /* */
    /* average only */
    bool count_include_pad;
    int8_t shift; /* -20..20; kernel_h * kernel_w * 2^(8 + |shift|) < 2^31 */
    /* clamp */
    int8_t min, max;
    /* with count_include_pad: by how much the last window reaches beyond the padding (ceil_mode); else 0 */
    int32_t overhang_h, overhang_w;
} esp_dl_pool2d_t;

void esp_dl_max_pool2d_s8(const int8_t *input, const esp_dl_pool2d_t *p, int8_t *output);
void esp_dl_average_pool2d_s8(const int8_t *input, const esp_dl_pool2d_t *p, int8_t *output);

/* --- To and from float ------------------------------------------------------------------------------------------ */

/*
 * y = sat8(floor(x / 2^exponent + 1/2)), exact for every float: denormals count, infinities saturate, NaN gives 0.
 * Integer instructions only. exponent: -149..127
 */
void esp_dl_quantize_s8(const float *input, int32_t count, int32_t exponent, int8_t *output);

/*
 * y = x * 2^exponent, exact. Integer instructions only.
 * exponent: -149..127; beyond 120 the largest products leave the range of float and become infinite.
 */
void esp_dl_dequantize_s8(const int8_t *input, int32_t count, int32_t exponent, float *output);

/* --- Softmax ---------------------------------------------------------------------------------------------------- */

/*
 * Softmax of every row: input [rows][columns].
 *   m = max(x);  y[i] = table[m - x[i]] / (table[m - x[0]] + table[m - x[1]] + ...)
 * added and divided in float32, in the order of the index. The int8 form quantizes y as esp_dl_quantize_s8 does and
 * works in place.
 */
typedef struct {
    int32_t rows, columns;
    const float *table; /* [256]: exp(-d * 2^e_x) for d = 0..255 */
    int32_t exponent;   /* e_y of the int8 output; not read by the float form */
} esp_dl_softmax_t;

void esp_dl_softmax_s8_f32(const int8_t *input, const esp_dl_softmax_t *p, float *output);
void esp_dl_softmax_s8(const int8_t *input, const esp_dl_softmax_t *p, int8_t *output);

/* --- Values that move ------------------------------------------------------------------------------------------- */

#define ESP_DL_MAX_RANK 6

/* Axes permuted: axis i of the output is axis axes[i] of the input (as numpy.transpose). Elements of any type. */
typedef struct {
    int32_t rank;                   /* 1..ESP_DL_MAX_RANK */
    int32_t shape[ESP_DL_MAX_RANK]; /* of the input */
    int32_t axes[ESP_DL_MAX_RANK];  /* a permutation of 0..rank - 1 */
    int32_t element_size;           /* bytes */
} esp_dl_transpose_t;

void esp_dl_transpose(const void *input, const esp_dl_transpose_t *p, void *output);

#ifdef __cplusplus
}
#endif

#endif /* ESP_DL_H */
