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
    int32_t pad_top, pad_left;      /* >= 0; pad_top of a convolution < 0: its first window lies further down */
} esp_dl_window_t;

/* --- Kernels with constant weights ------------------------------------------------------------------------------ */

/*
 * Convolution.
 *   acc = sum(x * w) + b;  y = clamp(sat8(rshift(acc, shift[o]))),  shift[o] = e_y - e_x - e_w[o]
 */
typedef struct {
    esp_dl_shape_t input;  /* c is a multiple of groups */
    esp_dl_shape_t output; /* n as input's; c is a multiple of groups */
    esp_dl_window_t window;
    int32_t groups;        /* >= 1; output channels of group g read the input channels of group g */
    const int8_t *weights; /* [output.c][kernel_h][kernel_w][input.c / groups] */
    const int32_t *bias;   /* [output.c], at e_x + e_w; where shift > 0 with 2^(shift - 1) already added */
    const int8_t *shift;   /* [output.c], -8..31 */
    int8_t min, max;       /* clamp */
} esp_dl_conv2d_t;

void esp_dl_conv2d_s8(const int8_t *input, const esp_dl_conv2d_t *p, int8_t *output);

/*
 * Depthwise convolution: every input channel has output.c / input.c filters of its own; output channel o reads input
 * channel o / (output.c / input.c). The rule is that of the convolution.
 */
typedef struct {
    esp_dl_shape_t input;
    esp_dl_shape_t output; /* n as input's; c is a multiple of input.c */
    esp_dl_window_t window;
    const int8_t *weights; /* [kernel_h][kernel_w][output.c] */
    const int32_t *bias;   /* [output.c], as for the convolution */
    const int8_t *shift;   /* [output.c], -8..31 */
    int8_t min, max;       /* clamp */
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

/*
 * Transposed convolution: each input value is multiplied with the filter and added where it falls. In the window, tap
 * (i, j) of the input at (y, x) falls on the output at (y * stride_h + i * dilation_h - pad_top,
 * x * stride_w + j * dilation_w - pad_left). Parameters and rule are those of the convolution.
 */
void esp_dl_conv_transpose2d_s8(const int8_t *input, const esp_dl_conv2d_t *p, int8_t *output);

/*
 * Product of matrices: a [batch][rows][inner], b [batch][inner][columns], output [batch][rows][columns].
 *   y = clamp(sat8(rshift(sum(a * b), shift))),  shift = e_y - e_a - e_b
 */
typedef struct {
    int32_t batch, rows, inner, columns;
    bool transpose_b; /* b is [batch][columns][inner] */
    int8_t shift;     /* -8..31 */
    int8_t min, max;  /* clamp */
} esp_dl_matmul_t;

void esp_dl_matmul_s8(const int8_t *a, const int8_t *b, const esp_dl_matmul_t *p, int8_t *output);

/*
 * Scale and offset per channel: input [outer][channels][inner]. In place.
 *   y = clamp(sat8(rshift(x * multiplier[c] + bias[c], shift[c]))),  shift[c] = e_y - e_x - e_m[c]
 */
typedef struct {
    int32_t outer, channels, inner;
    const int8_t *multiplier; /* [channels] */
    const int32_t *bias;      /* [channels], at e_x + e_m; where shift > 0 with 2^(shift - 1) already added */
    const int8_t *shift;      /* [channels], -8..31 */
    int8_t min, max;          /* clamp */
} esp_dl_channelwise_t;

void esp_dl_channelwise_s8(const int8_t *input, const esp_dl_channelwise_t *p, int8_t *output);

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
    esp_dl_shape_t output; /* n and c as input's */
    esp_dl_window_t window;
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

/*
 * Logarithm of the softmax of every row: input [rows][columns]. With m = max(x), S = sum(powers[m - x]) and
 * L = ln(S * 2^-places) at 2^-16 by the steps in docs/arithmetic.md:
 *   y = -(m - x) * 2^(exponent + 16) - L  at 2^-16; the int8 form is sat8(rshift(y, output_exponent + 16)), in place
 */
typedef struct {
    int32_t rows, columns;
    const int32_t *powers;     /* [256]: exp(-d * 2^exponent) * 2^places for d = 0..255, rounded */
    const int32_t *logarithms; /* [257]: ln(1 + i / 256) * 2^24, rounded */
    int32_t places;            /* columns * 2^places < 2^31 */
    int32_t exponent;          /* e_x, -16..5 */
    int32_t output_exponent;   /* e_y of the int8 output, -24..14; not read by the float form */
} esp_dl_log_softmax_t;

void esp_dl_log_softmax_s8_f32(const int8_t *input, const esp_dl_log_softmax_t *p, float *output);
void esp_dl_log_softmax_s8(const int8_t *input, const esp_dl_log_softmax_t *p, int8_t *output);

/* --- Normalization ---------------------------------------------------------------------------------------------- */

typedef enum {
    ESP_DL_NORMALIZE_CENTERED, /* (x - mean) / standard deviation */
    ESP_DL_NORMALIZE_RMS,      /* x / root of the mean square */
    ESP_DL_NORMALIZE_L2,       /* x / root of the sum of squares */
} esp_dl_normalize_mode_t;

/*
 * Layer, instance, RMS and L2 normalization along the middle axis of input [outer][length][inner]. In place.
 * z is the normalized value at 2^-12, by the steps in docs/arithmetic.md;
 *   y = clamp(sat8(rshift(z * multiplier[c] + bias[c], shift[c]))),  c = index in memory / parameter_step % parameters
 */
typedef struct {
    int32_t outer, length, inner; /* length <= 16384 */
    esp_dl_normalize_mode_t mode;
    int64_t epsilon; /* of the variance, in the units of the sum that it is added to */
    int32_t parameters, parameter_step;
    const int16_t *multiplier; /* [parameters], -2047..2047 */
    const int32_t *bias;       /* [parameters], at e_m - 12; where shift > 0 with 2^(shift - 1) already added */
    const int8_t *shift;       /* [parameters], -8..31: e_y - e_m + 12 */
    int8_t min, max;           /* clamp */
} esp_dl_normalize_t;

void esp_dl_normalize_s8(const int8_t *input, const esp_dl_normalize_t *p, int8_t *output);

/* --- Recurrent layers ------------------------------------------------------------------------------------------- */

/*
 * GRU and LSTM of one direction, starting at a zero state: input [steps][batch][inputs]; output [steps][batch][hidden],
 * or [batch][hidden] without `sequence`. Gates (GRU: update, reset, new; LSTM: input, output, forget, cell) and the
 * cell are int16 at 2^-11, the state int16 at 2^-15; the steps of the rule are in docs/arithmetic.md.
 */
typedef struct {
    int32_t steps, batch, inputs, hidden;
    bool linear_before_reset;                       /* GRU only */
    bool reverse;                                   /* from the last step to the first */
    bool sequence;                                  /* the state after every step, not after the last alone */
    bool cell;                                      /* LSTM without sequence: the cell in place of the state */
    const int8_t *weights;                          /* [gates * hidden][inputs] */
    const int8_t *recurrence;                       /* [gates * hidden][hidden] */
    const int32_t *weights_bias, *recurrence_bias;  /* [gates * hidden]; where shift > 0 with 2^(shift - 1) added */
    const int8_t *weights_shift, *recurrence_shift; /* [gates * hidden], -16..31: to 2^-11 */
    const int16_t *sigmoid, *tanh;                  /* [513]: f(i / 32) * 2^15, rounded, at most 32767 */
    int8_t shift;                                   /* -8..31: e_y + 15, of a cell e_y + 11 */
} esp_dl_recurrent_t;

void esp_dl_gru_s8(const int8_t *input, const esp_dl_recurrent_t *p, int16_t *scratch, int8_t *output);
void esp_dl_lstm_s8(const int8_t *input, const esp_dl_recurrent_t *p, int16_t *scratch, int8_t *output);

/* Bytes of scratch memory that they need. */
int32_t esp_dl_gru_s8_scratch(const esp_dl_recurrent_t *p);
int32_t esp_dl_lstm_s8_scratch(const esp_dl_recurrent_t *p);

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

/* A copy along up to 8 axes, for slices, parts of a concatenation, repeats, permuted blocks. Steps and offsets are in
 * bytes; a step of 0 repeats, a negative one goes backwards. */
typedef struct {
    int32_t rank; /* 1 to 8 */
    int32_t shape[8];
    int32_t from[8]; /* from one index to the next, in the input */
    int32_t to[8];   /* the same in the output */
    int32_t from_offset, to_offset;
    int32_t block; /* bytes that lie together at every place */
    bool vectors;  /* all of block, to, to_offset are multiples of 16; read by esp_dl_copy_esp32s3 alone */
} esp_dl_copy_t;

void esp_dl_copy(const void *input, const esp_dl_copy_t *p, void *output);

/* Output place i along an axis holds input place index[i]; -1: the value `fill`. */
typedef struct {
    int32_t rank;            /* 1 to 6 */
    int32_t shape[6];        /* of the output, in blocks */
    int32_t step[6];         /* bytes from one index to the next, in the input */
    const int32_t *index[6]; /* NULL: place i holds place i */
    int32_t block;           /* bytes that lie together at every place */
    int8_t fill;
} esp_dl_gather_t;

void esp_dl_gather_s8(const int8_t *input, const esp_dl_gather_t *p, int8_t *output);

/* The input with `count` of its rows replaced, in order; the output may be the input. */
typedef struct {
    int32_t size;        /* bytes of the input */
    int32_t count;       /* rows of the updates */
    int32_t inner;       /* bytes of one row */
    const int32_t *rows; /* [count]: which row each replaces */
} esp_dl_scatter_t;

void esp_dl_scatter_s8(const int8_t *input, const int8_t *updates, const esp_dl_scatter_t *p, int8_t *output);

/* Elementwise operation on two tensors whose shapes broadcast: a step is 0 where one value serves the whole axis. */
typedef struct {
    int32_t rank;                 /* 1 to 6 */
    int32_t shape[6];             /* of the output */
    int32_t step_a[6], step_b[6]; /* elements from one index to the next */
    int8_t shift_a, shift_b;      /* left shifts to the finer exponent f of the inputs, 0 to 22; 0 for mul, div */
    int8_t shift;                 /* e_y - f (mul: e_y - e_a - e_b; div: e_y - e_a + e_b), -8 to 30 */
    int8_t min, max;
} esp_dl_broadcast_t;

/* sat8(rshift((a << shift_a) + (b << shift_b), shift)), likewise the difference, the maximum and the minimum */
void esp_dl_add_broadcast_s8(const int8_t *a, const int8_t *b, const esp_dl_broadcast_t *p, int8_t *output);
void esp_dl_sub_broadcast_s8(const int8_t *a, const int8_t *b, const esp_dl_broadcast_t *p, int8_t *output);
void esp_dl_maximum_s8(const int8_t *a, const int8_t *b, const esp_dl_broadcast_t *p, int8_t *output);
void esp_dl_minimum_s8(const int8_t *a, const int8_t *b, const esp_dl_broadcast_t *p, int8_t *output);
/* sat8(rshift(a * b, shift)) */
void esp_dl_mul_broadcast_s8(const int8_t *a, const int8_t *b, const esp_dl_broadcast_t *p, int8_t *output);
/* sat8(floor(a / b * 2^-shift + 1/2)), shift: -20 to 20; a / 0 saturates by the sign of a, 0 / 0 is 0 */
void esp_dl_div_s8(const int8_t *a, const int8_t *b, const esp_dl_broadcast_t *p, int8_t *output);

/* x >= 0: sat8(rshift(x, shift)); x < 0: sat8(rshift(x * slope, shift_negative)) */
typedef struct {
    esp_dl_broadcast_t places; /* a: x, b: slope */
    int8_t shift_negative;     /* e_y - e_x - e_slope, -8 to 16 */
} esp_dl_prelu_t;

void esp_dl_prelu_s8(const int8_t *x, const int8_t *slope, const esp_dl_prelu_t *p, int8_t *output);

/* (a << shift_a) compared with (b << shift_b): 1 or 0 */
void esp_dl_equal_s8(const int8_t *a, const int8_t *b, const esp_dl_broadcast_t *p, bool *output);
void esp_dl_greater_s8(const int8_t *a, const int8_t *b, const esp_dl_broadcast_t *p, bool *output);
void esp_dl_greater_equal_s8(const int8_t *a, const int8_t *b, const esp_dl_broadcast_t *p, bool *output);

/* Reduction: for every place of the kept axes over all places of the reduced ones. */
typedef struct {
    int32_t kept_rank;                   /* 0 to 6 */
    int32_t kept_shape[6], kept_step[6]; /* steps in elements of the input */
    int32_t reduced_rank;                /* 0 to 6 */
    int32_t reduced_shape[6], reduced_step[6];
    int32_t divisor; /* mean: the elements of a sum; 1 otherwise */
    int8_t shift;    /* e_y - e_x, sum of squares: e_y - 2 e_x */
    int8_t min, max;
} esp_dl_reduce_t;

/* sat8(floor(sum * 2^-shift / divisor + 1/2)); of x, |x| and x^2 */
void esp_dl_reduce_sum_s8(const int8_t *input, const esp_dl_reduce_t *p, int8_t *output);
void esp_dl_reduce_l1_s8(const int8_t *input, const esp_dl_reduce_t *p, int8_t *output);
void esp_dl_reduce_sum_square_s8(const int8_t *input, const esp_dl_reduce_t *p, int8_t *output);
/* sat8(floor(sqrt(sum of x^2) * 2^-shift + 1/2)), exact; shift: e_y - e_x, -8 to 8 */
void esp_dl_reduce_l2_s8(const int8_t *input, const esp_dl_reduce_t *p, int8_t *output);
/* The exponent stays. */
void esp_dl_reduce_max_s8(const int8_t *input, const esp_dl_reduce_t *p, int8_t *output);
void esp_dl_reduce_min_s8(const int8_t *input, const esp_dl_reduce_t *p, int8_t *output);

/* Where the largest (smallest) value lies: [outer][size][inner] -> [outer][inner]. */
typedef struct {
    int32_t outer, size, inner;
    bool last; /* of equal values the last counts, else the first */
    bool smallest;
} esp_dl_argmax_t;

void esp_dl_argmax_s8(const int8_t *input, const esp_dl_argmax_t *p, int64_t *output);

/* `one` at the first of the largest values along an axis, 0 elsewhere: [outer][size][inner]. Works in place. */
typedef struct {
    int32_t outer, size, inner;
    int8_t one; /* 1 at the exponent of the output */
} esp_dl_hardmax_t;

void esp_dl_hardmax_s8(const int8_t *input, const esp_dl_hardmax_t *p, int8_t *output);

/* Bilinear resize: low and high are the two input places of every output place, weight is that of the high one in
 * units of 2^-10. sat8(rshift(sum of four values * weights, shift)) */
typedef struct {
    const int32_t *low, *high;
    const int16_t *weight;
} esp_dl_interpolation_t;

typedef struct {
    esp_dl_shape_t input, output;
    esp_dl_interpolation_t row, column;
    int8_t shift; /* 20 + e_y - e_x, 1 to 28 */
    int8_t min, max;
} esp_dl_resize_linear_t;

void esp_dl_resize_linear_s8(const int8_t *input, const esp_dl_resize_linear_t *p, int8_t *output);

#ifdef __cplusplus
}
#endif

#include "esp_dl_s16.h"

#endif /* ESP_DL_H */
