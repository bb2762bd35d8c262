/*
 * Faster kernels: each gives the same bytes as the plain kernel of the same operator in esp_dl.h.
 *
 * They have the parameters of the plain kernel, with weights in their own layout.
 * tools/esp_tvm/compile/kernels/portable.py chooses among them by shape, packs the weights and folds the corrections
 * for a layout into the bias; it also computes how much scratch memory each needs. Their shifts are never negative
 * unless it is said below, and at most ESP_DL_COMPARED_SHIFT: otherwise the plain kernel is used.
 *
 * Unlike with the plain kernels, the output may overlap the input, if it starts enough bytes before the input that
 * nothing is overwritten before it is read; portable.py computes this distance (`overlap_distance`).
 */
#ifndef ESP_DL_FAST_H
#define ESP_DL_FAST_H

#include "esp_dl.h"
#include "esp_dl_esp32.h"
#include "esp_dl_esp32s3.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Convolution, six pixels by two output channels (groups = 1).
 * weights: a byte (int8) that is subtracted from every input value, so that the values are centred on 0 and lanes can
 * hold more of them; then for every two output channels (a last single one is paired with zeros) the K = kernel_h *
 * kernel_w * input.c weights of both, interleaved [K][2] and with K made even by a zero, in pieces whose sums of
 * products are in -(2^15 - 1)..2^15, the range of half a word that starts at ESP_DL_HALF_START. A piece is a byte
 * (uint8) with its length in units of two values of K, then its weights; a byte 0 ends the two channels. bias:
 * corrected for the subtraction, and less the lanes' starting value for every piece. scratch: aligned to 4.
 */
void esp_dl_conv2d_s8_6x2(const int8_t *input, const esp_dl_conv2d_t *p, void *scratch, int8_t *output);

/* The same with an addend, as esp_dl_conv2d_add_s8. In place: the output may be the addend. */
void esp_dl_conv2d_add_s8_6x2(const int8_t *input, const int8_t *addend, const esp_dl_conv2d_add_t *p, void *scratch,
                              int8_t *output);

/* Bytes of scratch memory that they need. */
int32_t esp_dl_conv2d_s8_6x2_scratch(const esp_dl_conv2d_t *p);
int32_t esp_dl_conv2d_add_s8_6x2_scratch(const esp_dl_conv2d_add_t *p);

/*
 * The same, six pixels of a row at a time that lie far apart, so that each input row is laid out for a whole row of
 * output: faster where windows overlap and outputs are few. output.c even, output.w at least 6, dilation_w 1. Pixels
 * may be computed twice where output.w is no multiple of 6. weights: the filters are [kernel_w][input.c][kernel_h].
 */
void esp_dl_conv2d_s8_6x2_apart(const int8_t *input, const esp_dl_conv2d_t *p, void *scratch, int8_t *output);

/* Bytes of scratch memory that it needs. */
int32_t esp_dl_conv2d_s8_6x2_apart_scratch(const esp_dl_conv2d_t *p);

/*
 * Convolution of windows of one pixel with stride 1 (groups = 1, no padding), of ESP_DL_8X2_INPUTS input channels, to
 * an even number of output channels. weights: 32-bit words, aligned to 4, ten for every two output channels. Where the
 * shift of the first has ESP_DL_8X2_LANES added: the starting values of the sums of the first and of the last four
 * products, and for every input channel the weights; each word is of both channels, the second multiplied by 2^16, and
 * with them no sum leaves 0..2^16 - 1. Elsewhere: the int8 weights [2][8], and zeros. bias: less the starting values.
 * scratch: aligned to 4.
 */
void esp_dl_conv2d_s8_8x2(const int8_t *input, const esp_dl_conv2d_t *p, void *scratch, int8_t *output);

/* Bytes of scratch memory that it needs. */
int32_t esp_dl_conv2d_s8_8x2_scratch(const esp_dl_conv2d_t *p);

/*
 * Convolution of 3x3 windows with stride and dilation 1 (groups = 1), by minimal filtering: a quarter of the
 * multiplications. A sum of products must be in -2^25..2^25 - 1 and input.c at most 2304. weights: a byte (uint8) with
 * the number of input channels whose weights are transformed at a time; then [ceil(output.c / 4)][input.c][4][3][3],
 * with zeros beyond the last output channel. bias: as for the plain kernel. scratch: aligned to 4.
 */
void esp_dl_conv2d_s8_winograd(const int8_t *input, const esp_dl_conv2d_t *p, void *scratch, int8_t *output);

/* The same with an addend, as esp_dl_conv2d_add_s8. In place: the output may be the addend. */
void esp_dl_conv2d_add_s8_winograd(const int8_t *input, const int8_t *addend, const esp_dl_conv2d_add_t *p,
                                   void *scratch, int8_t *output);

/* Bytes of scratch memory that they need. */
int32_t esp_dl_conv2d_s8_winograd_scratch(const esp_dl_conv2d_t *p);
int32_t esp_dl_conv2d_add_s8_winograd_scratch(const esp_dl_conv2d_add_t *p);

/*
 * Convolution, three pixels by four output channels (groups = 1), without scratch memory; output.c and input.c
 * multiples of 4, input.c at most 64, at most 25 taps. weights: 32-bit words, aligned to 4. For every four output
 * channels, for every tap, pieces that a lane can hold: a word with the number of words of weights in the piece, plus
 * 2^31 in the tap's first piece; the lanes' starting values; for every input channel the weights. Starting values and
 * weights are two words each, for channels 0 and 1 and for channels 2 and 3; the second of each pair is multiplied by
 * 2^16. A word 2^31 ends them all. bias: less the lanes' starting values.
 */
void esp_dl_conv2d_s8_3x4(const int8_t *input, const esp_dl_conv2d_t *p, int8_t *output);

/* The same with an addend, as esp_dl_conv2d_add_s8. In place: the output may be the addend. */
void esp_dl_conv2d_add_s8_3x4(const int8_t *input, const int8_t *addend, const esp_dl_conv2d_add_t *p, int8_t *output);

/*
 * Depthwise convolution with windows of 3x3: one filter per channel, dilation 1, stride_w 1 or 2, padding 0 or 1 before
 * the image, and after it at most so much that the middle of every window is in the image; input.w at least 2. weights:
 * [channels][3][3]; bias: as for the plain kernel; shifts may be negative where the sums so shifted fit 32 bits. Works
 * row by row, or channel by channel, two rows at a time, where the output does not overlap the input, or overlaps it by
 * whole pixels and leaves these rows alone.
 * shift + ESP_DL_3X3_LANES: of a channel with which two sums fit a word. Its bias is then
 * start + offset * 2^shift, stored as start + offset * 2^16 with start in 0..2^16 - 1: the sum of products and start is
 * in that range too, for every input and with any taps outside of the image. (min - offset) * 2^shift is less than
 * 2^16.
 */
void esp_dl_depthwise_conv2d_s8_3x3(const int8_t *input, const esp_dl_depthwise_conv2d_t *p, int8_t *output);

/*
 * Depthwise convolution with windows of any size, one filter per channel: four channels at a time. Weights and bias as
 * for the plain kernel.
 */
void esp_dl_depthwise_conv2d_s8_1x4(const int8_t *input, const esp_dl_depthwise_conv2d_t *p, int8_t *output);

/*
 * Fully connected layer, sixteen or eight outputs at a time; fast if many inputs have the same value.
 * weights: a byte (int8) with that value, which is subtracted from every input; then [inputs][16] for every sixteen
 *   outputs, with zeros beyond the last one; for the last ones, if they are eight at most, [inputs][8]. bias: corrected
 *   for the subtraction.
 */
void esp_dl_dense_s8_8(const int8_t *input, const esp_dl_dense_t *p, int8_t *output);

/* Average of whole planes: windows as large as the image, without padding; one output pixel. Four channels at a time.
 */
void esp_dl_average_pool2d_s8_global(const int8_t *input, const esp_dl_pool2d_t *p, int8_t *output);

/* Quantization of NCHW images, as esp_dl_quantize_s8, with an NHWC output. */
void esp_dl_quantize_s8_nhwc(const float *input, const esp_dl_quantize_nhwc_t *p, int8_t *output);

#ifdef __cplusplus
}
#endif

#endif /* ESP_DL_FAST_H */
