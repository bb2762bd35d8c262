/*
 * Kernels for the vector unit (PIE) of the ESP32-S3: each gives the same bytes as the plain kernel of the same operator
 * in esp_dl.h.
 *
 * On the ESP32-S3 their inner loops are assembly (src/<family>/<name>_esp32s3.S); elsewhere C computes the same from
 * the same data, so that a project for the ESP32-S3 also runs on a computer and in an emulator. That C also holds sums
 * to the lanes of the vector unit: one that leaves them, which the exporter has proved to be impossible, ends the
 * program with a message. Which kernel is used, and the data for it, is decided at export:
 * tools/esp_tvm/compile/kernels/esp32s3.
 *
 * For all of them:
 * - `weights`, inputs, outputs and scratch memory start at multiples of 16 bytes: vector loads and stores ignore the
 * low bits of an address. The exporter places them so.
 * - Up to 63 bytes behind an input may be read; what they hold does not matter. Weights end with 32 bytes that are
 *   read in vain.
 * - Convolutions can be computed in ranges of rows, of images of any height: fewer rows of output, an output further
 *   down, and for every row left out at the top window.pad_top less stride_h, also below 0.
 * - They use the vector registers: not in interrupt handlers, and a task that has called one stays on its core
 *   (docs/esp32-s3.md).
 */
#ifndef ESP_DL_ESP32S3_H
#define ESP_DL_ESP32S3_H

#include "esp_dl.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What a kernel keeps in scratch memory because windows reach over the border of the image. */
typedef struct {
    int32_t row_bytes; /* of a row there, borders included; a multiple of 16 */
    bool outside;      /* windows reach above or below the image: a row of what lies outside */
    bool copied;       /* windows reach over its left or right border: copies of the rows of a window */
} esp_dl_border_t;

/* How rows of pixels of a convolution are computed. */
typedef enum {
    ESP_DL_CONV2D_LANES,    /* sixteen channels after the other of every pixel */
    ESP_DL_CONV2D_ONE,      /* those of all pixels after the other: 1x1, input.c 8 to 64, a multiple of 8 */
    ESP_DL_CONV2D_HELD,     /* the same: 1x1, or rows are copied; input.c a multiple of 16 */
    ESP_DL_CONV2D_NINE,     /* the same: 3x3 of 16 channels, rows are copied; dilation_w 1 */
    ESP_DL_CONV2D_GATHERED, /* the same, of windows that are put together first */
    ESP_DL_CONV2D_COLUMNS,  /* the same, of windows that follow each other in a column of pixels */
    ESP_DL_CONV2D_THREE,    /* the same, of windows of three rows of 9 or 15 bytes */
    ESP_DL_CONV2D_MEASURED, /* HELD where the input allows it: 1x1, or 3x3 and rows are copied; dilation 1 */
    ESP_DL_CONV2D_WIDE,     /* a channel after the other, in the accumulator of 40 bits */
} esp_dl_conv2d_path_t;

/*
 * Convolution, groups = 1; a fully connected layer is one of 1x1.
 *
 * A window is read in segments: a row of it (kernel_w * input.c bytes, dilation_w = 1) or, by taps, a tap (input.c
 * bytes).
 *
 * All paths but WIDE: sixteen output channels at a time, in lanes of 20 bits. The exporter has proved that for no input
 * a partial sum of a lane leaves -(2^19 - 1)..2^19 - 1. Or, where sums are checked, that the bias lies within 2^(7 +
 * check_bits) and all partial sums of `check_every` segments within 2^19 - 1 less that: after so many segments the
 * kernel looks whether the sum yet lies within 2^(7 + check_bits), too. Pixels where it does not are computed in two
 * parts, of the lower and the upper four bits of the input, in about twice the time; that these sums fit is proved as
 * well, and all shifts are 4 or more.
 *
 * MEASURED: sums may leave their lanes, but not where the input's values x lie near `zero`. Before a row is computed,
 * sums of ((x >> 1) - (zero >> 1))^2 over windows are taken: over a row of every window, the largest of these, of all
 * rows of the window. Where they are at most `most_energy`, the exporter has proved that no sum leaves its lane as
 * products follow each other (by the inequality of Cauchy and Schwarz); else the row is computed in two parts, as
 * above.
 *
 * weights, for every sixteen channels: 40 bytes: the bias of every channel in 20 bits: bits 0..127 of the lower eight,
 * of the upper eight, bits 128..159 of the lower, of the upper; 7 bytes: by how much to shift right, first for the
 * channels of the first mask, then how much more for every other; a byte: how many of these seven shifts there are; for
 * every segment [bytes, made even][16]: weights in the order of the bytes, those behind the last multiple of 16
 * backwards, the missing one zero; a mask for every shift (none if there is but one): 0xff for the channels that have
 * this shift, else 0. Or, with `open`, `min` for the channels that have this shift, else 127.
 *
 * GATHERED (segments of at most 24 bytes): all segments, one behind the other, are one; it is made a multiple of 8
 * bytes, from 64 on of 16.
 *
 * COLUMNS: the same, at most 64 bytes; segments of a multiple of 4 bytes; from a window to the one below, stride_h of
 * them, it is a multiple of 8 bytes, of 16 if the window's are. Windows reach over the left and the right border by
 * less than a row. dilation_h 1; nothing is copied for borders.
 *
 * THREE: all segments, one behind the other, and a byte more, are one, its bytes in their order.
 *
 * WIDE: one channel at a time, in the accumulator of 40 bits. weights:
 *   for every output channel its bias, plus 2^33, in 64 bits (their number made even);
 *   for every segment, for every `vectors` * 16 bytes of it, for every output channel: the weights, zero behind the
 * end; for every output channel its right shift, a byte.
 *
 * Weights that are larger than the cache lie there in blocks, `block` channels after the other, `block_bytes` apart:
 * all pixels take a block before the next one is read (WIDE, and where sums are checked).
 */
typedef struct esp_dl_conv2d_esp32s3 {
    esp_dl_shape_t input;
    esp_dl_shape_t output;
    esp_dl_window_t window;
    esp_dl_border_t border;
    /* ONE, HELD, NINE: output.c is a multiple of 4; GATHERED, COLUMNS, THREE, MEASURED: of 16 */
    esp_dl_conv2d_path_t path;
    bool by_taps;
    bool one_row;       /* 1x1, stride 1: the pixels of all rows and images follow each other, computed as one row */
    int8_t check_bits;  /* LANES: 0: not; 10 or 11, then input.c and output.c are multiples of 16 */
    int8_t check_every; /* check_bits > 0: segments from one look at the sums to the next, 1 or 2 */
    /* check_bits > 0: pixels that are computed before it is known whether their sums fit; MEASURED and 1x1: pixels that
     * are measured at a time. */
    int32_t at_a_time;
    int32_t most_energy; /* MEASURED: see above */
    int8_t zero;
    int32_t vectors;            /* WIDE: of input held in registers: 2, 4 or 6 */
    int32_t block, block_bytes; /* channels and bytes of a block of weights; 0: they are one */
    /* GATHERED: pixels that are put together at a time. ONE, HELD: pixels that are copied at a time where the output
     * overlaps the input; 0: their rows are copied as it is. ONE, HELD, NINE where output.c is no multiple of 16:
     * pixels that are computed at a time in scratch memory, where their channels are made one. */
    int32_t run;
    bool measured;    /* GATHERED: as MEASURED, of the windows that are put together; they are multiples of 16 bytes */
    bool open;        /* ONE, HELD, NINE, THREE, GATHERED, COLUMNS with a `max` of 127: masks of this kind */
    int8_t pad_value; /* outside of the image */
    const int8_t *weights;
    int8_t min, max; /* clamp */
    /* Channels before `left_channels` are shifted left by `left` at the end, and clamped again: 0 lies in the clamp. */
    int32_t left_channels;
    const int8_t *left;
} esp_dl_conv2d_esp32s3_t;

void esp_dl_conv2d_s8_esp32s3(const int8_t *input, const esp_dl_conv2d_esp32s3_t *p, void *scratch, int8_t *output);

/* Bytes of scratch memory that it needs. */
int32_t esp_dl_conv2d_s8_esp32s3_scratch(const esp_dl_conv2d_esp32s3_t *p);

/*
 * Convolution with few outputs, one after the other of every pixel in the accumulator of 40 bits; input.c is a multiple
 * of 16. weights: as for esp_dl_dense_s16_esp32s3, a window's are those of a row.
 */
typedef struct {
    esp_dl_shape_t input;
    esp_dl_shape_t output;
    esp_dl_window_t window;
    esp_dl_border_t border;
    int8_t pad_value; /* outside of the image */
    const int8_t *weights;
    int8_t min, max;       /* clamp */
    int32_t left_channels; /* these as for the convolution */
    const int8_t *left;
} esp_dl_conv2d_few_esp32s3_t;

void esp_dl_conv2d_s8_few_esp32s3(const int8_t *input, const esp_dl_conv2d_few_esp32s3_t *p, void *scratch,
                                  int8_t *output);

/* Bytes of scratch memory that it needs. */
int32_t esp_dl_conv2d_s8_few_esp32s3_scratch(const esp_dl_conv2d_few_esp32s3_t *p);

/* How windows of a depthwise convolution are computed. */
typedef enum {
    ESP_DL_DEPTHWISE_ANY,   /* windows of any size */
    ESP_DL_DEPTHWISE_THREE, /* windows of 3x3, stride_w at most 2, channels a multiple of 16, or `pairs`: by code of
                             * their own */
    ESP_DL_DEPTHWISE_FIVE,  /* the same of windows of 5x5, any stride */
} esp_dl_depthwise_path_t;

/*
 * The same with an addend, as esp_dl_conv2d_add_s8; all paths but THREE. The output may be the addend, unless sums are
 * checked.
 *
 * All paths but WIDE: behind the 48 bytes of a head there are `factors` vectors of int8, each with a factor of 0 to
 * -128 for every channel. Those of a channel add up to -2^addend_shift; bias: less 2^addend_shift. The proofs of the
 * lanes hold with it.
 */
typedef struct {
    esp_dl_conv2d_esp32s3_t conv2d;
    int32_t factors;            /* 0 for WIDE, else 1 or more */
    const int8_t *addend_shift; /* WIDE: left shift per output channel */
} esp_dl_conv2d_add_esp32s3_t;

void esp_dl_conv2d_add_s8_esp32s3(const int8_t *input, const int8_t *addend, const esp_dl_conv2d_add_esp32s3_t *p,
                                  void *scratch, int8_t *output);

/* Bytes of scratch memory that it needs. */
int32_t esp_dl_conv2d_add_s8_esp32s3_scratch(const esp_dl_conv2d_add_esp32s3_t *p);

/*
 * Depthwise convolution with one filter per channel. Sums as for the convolution in lanes of 20 bits. weights, for
 * every sixteen channels: bias and shifts as there, for every tap of the window [16] weights, masks. Of THREE and FIVE
 * masks hold `min` for the channels that have this shift, 127 for others.
 *
 * THREE: the taps of rows 0, 1, 2 and columns a, b, c in this order: 2b 1b 0b 0a 0c 1a 2a 1c 2c, where the next
 * window's b is this one's c: with stride_w 1, or with 2 and an even dilation_w. Else, the next one's a is this one's
 * c, they are 2a 1a 0a 0b 0c 1b 2b 1c 2c.
 */
typedef struct {
    esp_dl_shape_t input;
    esp_dl_shape_t output;
    esp_dl_window_t window;
    esp_dl_border_t border;
    esp_dl_depthwise_path_t path;
    int8_t at_once; /* rows of pixels that are computed at a time; more than 1 only with a path and without dilation */
    /* 3x3, an odd multiple of 8 channels, stride_w and dilation_w 1: two pixels are one of twice the channels. weights:
     * all channels, and the same again, taps in the other order. border: copied, its rows twice as long and 16 bytes
     * more, for another copy of every row, 8 bytes further from a multiple of 16. */
    bool pairs;
    int8_t pad_value; /* outside of the image */
    const int8_t *weights;
    int8_t min, max;       /* clamp */
    int32_t left_channels; /* these as for the convolution */
    const int8_t *left;
} esp_dl_depthwise_conv2d_esp32s3_t;

void esp_dl_depthwise_conv2d_s8_esp32s3(const int8_t *input, const esp_dl_depthwise_conv2d_esp32s3_t *p, void *scratch,
                                        int8_t *output);

/* Bytes of scratch memory that it needs. */
int32_t esp_dl_depthwise_conv2d_s8_esp32s3_scratch(const esp_dl_depthwise_conv2d_esp32s3_t *p);

/*
 * Fully connected layer from int8 to int16, an output after the other in the accumulator of 40 bits. weights, for every
 * output: its bias, plus 2^33, in 64 bits; its right shift, 0..31, in a byte, and seven more bytes; its weights, made a
 * multiple of 16 with zeros.
 */
typedef struct {
    int32_t rows, inputs, outputs; /* inputs a multiple of 16, or one row */
    const int8_t *weights;
    int16_t min, max;     /* clamp */
    int32_t left_outputs; /* outputs before this one are shifted left by `left` at the end: 0 lies in the clamp */
    const int8_t *left;
} esp_dl_dense_esp32s3_t;

void esp_dl_dense_s16_esp32s3(const int8_t *input, const esp_dl_dense_esp32s3_t *p, int16_t *output);

/*
 * The same from int16: the upper and the lower bytes of the values are multiplied one after the other, the lower ones
 * less 128, so a bias has 128 times the sum of the weights more. inputs a multiple of 8, or one row.
 */
void esp_dl_dense_s16_wide_esp32s3(const int16_t *input, const esp_dl_dense_esp32s3_t *p, void *scratch,
                                   int16_t *output);

/* Bytes of scratch memory that it needs. */
int32_t esp_dl_dense_s16_wide_esp32s3_scratch(const esp_dl_dense_esp32s3_t *p);

/*
 * Convolution and depthwise convolution with one filter per channel where the input or the output is int16: eight
 * channels in lanes of 40 bits, which hold all sums. An input of int8 is widened in scratch memory.
 *
 * weights, for every eight output channels: 40 bytes: the bias of every channel in 40 bits: bits 0..127 of the lower
 * four, of the upper four, bits 128..159 of the lower, of the upper; their right shift, 0..31, in a byte, and seven
 * more bytes; int16 weights [8] for every value of a row of the window, whose number is made a multiple of eight with
 * zeros (of every tap where dilation_w is more than 1); depthwise: for every tap. Channels that are shifted less, or to
 * the left, have their bias and weights multiplied by what is missing.
 */
typedef struct {
    esp_dl_shape_t input;
    esp_dl_shape_t output;
    esp_dl_window_t window;
    esp_dl_border_t border; /* of the input's bytes */
    bool input_s16, output_s16;
    bool three;       /* depthwise: windows of 3x3, channels a multiple of 8: by code of their own */
    int8_t pad_value; /* outside of the image; of int16: 0 */
    const int8_t *weights;
    int16_t min, max; /* clamp */
} esp_dl_conv2d_s16_esp32s3_t;

void esp_dl_conv2d_s16_esp32s3(const void *input, const esp_dl_conv2d_s16_esp32s3_t *p, void *scratch, void *output);
void esp_dl_depthwise_conv2d_s16_esp32s3(const void *input, const esp_dl_conv2d_s16_esp32s3_t *p, void *scratch,
                                         void *output);

/* Bytes of scratch memory that they need. */
int32_t esp_dl_conv2d_s16_esp32s3_scratch(const esp_dl_conv2d_s16_esp32s3_t *p);
int32_t esp_dl_depthwise_conv2d_s16_esp32s3_scratch(const esp_dl_conv2d_s16_esp32s3_t *p);

/*
 * The same with an addend, as esp_dl_conv2d_add_s16: input.c and output.c are multiples of 8. The output may be the
 * addend. Behind the 48 bytes of a head there are eight int16 factors of it; the second of the head's seven bytes is 1
 * where they are those of 256 times an int8 addend.
 */
typedef struct {
    esp_dl_conv2d_s16_esp32s3_t conv2d;
    bool addend_s16;
} esp_dl_conv2d_add_s16_esp32s3_t;

void esp_dl_conv2d_add_s16_esp32s3(const void *input, const void *addend, const esp_dl_conv2d_add_s16_esp32s3_t *p,
                                   void *scratch, void *output);

/* Bytes of scratch memory that it needs. */
int32_t esp_dl_conv2d_add_s16_esp32s3_scratch(const esp_dl_conv2d_add_s16_esp32s3_t *p);

/*
 * Product of two matrices: as the plain kernel. Sixteen columns at a time, in lanes of 20 bits: the exporter has proved
 * that no sum leaves them, or with `parts`, that none does where first the lower and then the upper four bits of every
 * value of a are multiplied; then shift is 4 or more.
 */
typedef struct {
    esp_dl_matmul_t matmul;
    int32_t block; /* columns that are laid out at a time, a multiple of 16: for each all rows of a are read */
    bool parts;
    const int8_t *head; /* 48 bytes, as before the weights of sixteen channels of a convolution */
} esp_dl_matmul_esp32s3_t;

void esp_dl_matmul_s8_esp32s3(const int8_t *a, const int8_t *b, const esp_dl_matmul_esp32s3_t *p, void *scratch,
                              int8_t *output);

/* Bytes of scratch memory that it needs. */
int32_t esp_dl_matmul_s8_esp32s3_scratch(const esp_dl_matmul_esp32s3_t *p);

/*
 * Pooling: as the plain kernels. Averages: with all taps T and their values v, the sums T * 2^max(-shift, 0) * (v +
 * 128) and a divisor more stay below 2^19; -shift at most 6, T * 2^max(shift, 0) below 2^12.
 */
typedef struct {
    esp_dl_pool2d_t pool;
    esp_dl_border_t border; /* of the input's bytes */
    /* maximum: 2 or 3: windows of 2x2 or 3x3, pixels a multiple of 16 bytes: by code of their own; else 0 */
    int32_t square;
} esp_dl_pool2d_esp32s3_t;

void esp_dl_max_pool2d_s8_esp32s3(const int8_t *input, const esp_dl_pool2d_esp32s3_t *p, void *scratch, int8_t *output);
void esp_dl_max_pool2d_s16_esp32s3(const int16_t *input, const esp_dl_pool2d_esp32s3_t *p, void *scratch,
                                   int16_t *output);
void esp_dl_average_pool2d_s8_esp32s3(const int8_t *input, const esp_dl_pool2d_esp32s3_t *p, void *scratch,
                                      int8_t *output);

/*
 * Matrices with rows and columns exchanged: [count][rows][columns] to [count][columns][rows]; both are at least 16,
 * rows a multiple of 4.
 */
typedef struct {
    int32_t count, rows, columns; /* of the input */
} esp_dl_transpose_esp32s3_t;

void esp_dl_transpose_s8_esp32s3(const int8_t *input, const esp_dl_transpose_esp32s3_t *p, void *scratch,
                                 int8_t *output);

/* Bytes of scratch memory that it needs. */
int32_t esp_dl_transpose_s8_esp32s3_scratch(const esp_dl_transpose_esp32s3_t *p);

/* The average of whole images from int8 to int16 or int8: channels a multiple of 16, at most 4095 pixels n, shift
 * -10..0, n * (2^(9 - shift) + 1) below 2^32. */
void esp_dl_average_pool2d_s16_esp32s3(const int8_t *input, const esp_dl_pool2d_t *p, int16_t *output);
void esp_dl_average_pool2d_s8_global_esp32s3(const int8_t *input, const esp_dl_pool2d_t *p, int8_t *output);

/* The same from int16 to either, of any size: channels a multiple of 8. */
void esp_dl_average_pool2d_s16_wide_esp32s3(const int16_t *input, const esp_dl_pool2d_t *p, void *output);

/* As esp_dl_average_pool2d_s8_rows, channels a multiple of 16. scratch: what stays from one call to the next. */
void esp_dl_average_pool2d_s8_rows_esp32s3(const int8_t *input, const esp_dl_average_rows_t *p, void *scratch,
                                           int8_t *output);

/* Bytes of scratch memory that they need. */
int32_t esp_dl_average_pool2d_s8_rows_esp32s3_scratch(const esp_dl_average_rows_t *p);
int32_t esp_dl_max_pool2d_s8_esp32s3_scratch(const esp_dl_pool2d_esp32s3_t *p);
int32_t esp_dl_max_pool2d_s16_esp32s3_scratch(const esp_dl_pool2d_esp32s3_t *p);
int32_t esp_dl_average_pool2d_s8_esp32s3_scratch(const esp_dl_pool2d_esp32s3_t *p);

/*
 * Sums and products of two tensors, relu, clip and changes of exponent: as the plain kernels, in place too. shift_a and
 * shift_b at most 6, shift 0..13.
 */
void esp_dl_add_s8_esp32s3(const int8_t *a, const int8_t *b, const esp_dl_binary_t *p, int8_t *output);
void esp_dl_sub_s8_esp32s3(const int8_t *a, const int8_t *b, const esp_dl_binary_t *p, int8_t *output);
void esp_dl_mul_s8_esp32s3(const int8_t *a, const int8_t *b, const esp_dl_binary_t *p, int8_t *output);
void esp_dl_requantize_s8_esp32s3(const int8_t *x, int32_t count, const esp_dl_requantize_t *p, int8_t *output);

/*
 * The same where tensors are int16, as the plain kernels: in place of an input of the output's width. Shifts are never
 * negative but that of requantize, at least -14, or -6 to int8. Sums and requantize: shift at most 15; shift_a and
 * shift_b at most 14, to int8 where shift is below 8 at most 6 + shift. Products: shift at most 29, to int8 at least 8.
 */
void esp_dl_add_s16_esp32s3(const void *a, const void *b, const esp_dl_binary_t *p, void *output);
void esp_dl_mul_s16_esp32s3(const void *a, const void *b, const esp_dl_binary_t *p, void *output);
void esp_dl_requantize_s16_esp32s3(const void *x, int32_t count, const esp_dl_requantize_t *p, void *output);

/*
 * The same of int8 tensors whose shapes broadcast, the larger or smaller of two values (all shifts 0), and PRelu
 * (shift: -6 to 7, shift_negative: 0 to 13). The shape has one axis (a step of 0: a single value), or two, and one of
 * the tensors has no rows.
 */
void esp_dl_add_broadcast_s8_esp32s3(const int8_t *a, const int8_t *b, const esp_dl_broadcast_t *p, void *scratch,
                                     int8_t *output);
void esp_dl_sub_broadcast_s8_esp32s3(const int8_t *a, const int8_t *b, const esp_dl_broadcast_t *p, void *scratch,
                                     int8_t *output);
void esp_dl_mul_broadcast_s8_esp32s3(const int8_t *a, const int8_t *b, const esp_dl_broadcast_t *p, void *scratch,
                                     int8_t *output);
void esp_dl_maximum_s8_esp32s3(const int8_t *a, const int8_t *b, const esp_dl_broadcast_t *p, void *scratch,
                               int8_t *output);
void esp_dl_minimum_s8_esp32s3(const int8_t *a, const int8_t *b, const esp_dl_broadcast_t *p, void *scratch,
                               int8_t *output);
void esp_dl_prelu_s8_esp32s3(const int8_t *x, const int8_t *slope, const esp_dl_prelu_t *p, void *scratch,
                             int8_t *output);

/* Bytes of scratch memory that they need; 0: it may be NULL. */
int32_t esp_dl_add_broadcast_s8_esp32s3_scratch(const esp_dl_broadcast_t *p);
int32_t esp_dl_sub_broadcast_s8_esp32s3_scratch(const esp_dl_broadcast_t *p);
int32_t esp_dl_mul_broadcast_s8_esp32s3_scratch(const esp_dl_broadcast_t *p);
int32_t esp_dl_maximum_s8_esp32s3_scratch(const esp_dl_broadcast_t *p);
int32_t esp_dl_minimum_s8_esp32s3_scratch(const esp_dl_broadcast_t *p);
int32_t esp_dl_prelu_s8_esp32s3_scratch(const esp_dl_prelu_t *p);

/* Any function of one value. In place. table: 4, 0, then f(0), f(1) .. f(127), f(-128) .. f(-1) as unsigned bytes. */
void esp_dl_lookup_s8_esp32s3(const int8_t *x, int32_t count, const int32_t table[258], int8_t *output);

/*
 * Float to int8, and back, from int16 too, by the floating-point unit, which a task keeps as it does the vector
 * registers. exponent: -126..126 (back: 120, of int16 112), else as the plain kernels; buffers may lie anywhere.
 */
void esp_dl_quantize_s8_esp32s3(const float *input, int32_t count, int32_t exponent, int32_t zero_point,
                                int8_t *output);
void esp_dl_dequantize_s8_esp32s3(const int8_t *input, int32_t count, int32_t exponent, float *output);
void esp_dl_dequantize_s16_esp32s3(const int16_t *input, int32_t count, int32_t exponent, float *output);
void esp_dl_quantize_s8_nhwc_esp32s3(const float *input, const esp_dl_quantize_nhwc_t *p, int8_t *output);

/* Softmax from int8 to int8 by the floating-point unit: as the plain kernel, in place too; exponent: -20..0. */
void esp_dl_softmax_s8_esp32s3(const int8_t *input, const esp_dl_softmax_t *p, int8_t *output);

/* A copy, with vectors where its blocks and where they go are multiples of 16, from wherever they come. */
void esp_dl_copy_esp32s3(const void *input, const esp_dl_copy_t *p, void *output);

#ifdef __cplusplus
}
#endif

#endif /* ESP_DL_ESP32S3_H */
