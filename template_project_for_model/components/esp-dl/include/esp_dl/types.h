/*
 * Shared by all kernels: shapes, windows, and the rules that apply to each of them.
 *
 * Kernels compute with int8 values q with the real value q * 2^e, the same bytes on every chip and host. Beside each
 * kernel is its rule, with the Python function that defines its result: the kernel gives the same bytes as
 * arithmetic.<name> of tools/esp_tvm, which docs/arithmetic.md describes and tests/test_kernels.py compares it with. In
 * the rules:
 *
 * - sat8(v) clamps v to [-128, 127], sat16(v) to [-32768, 32767];
 * - rshift(v, s) is (v + 2^(s-1)) >> s with an arithmetic shift for s > 0 (round half up), v * 2^-s for s <= 0;
 * - clamp is the fused relu, relu6 or clip: the result is limited to [min, max]; without one, the bounds of its type.
 *
 * For all kernels:
 * - Images are in memory as NHWC, without gaps. Sizes are counts of elements and at least 1.
 * - int8 data needs no alignment; int16_t, int32_t and float data that of its type.
 * - Parameters are not checked: the exporter writes them and has checked that no sum can exceed int32, and that
 * constant indices are in range. Sums that are shifted are limited to 2^31 - 1 including the half that rounding adds.
 * - Nothing can fail at run time, so kernels return nothing; the function `..._scratch` of a kernel returns a number of
 *   bytes.
 * - No kernel uses the heap or static memory; each may run in several tasks, on several cores at a time.
 * - Output and inputs must not overlap, except for kernels marked "in place": there the output may be the memory of
 *   the named input (the same address, not a partial overlap).
 *
 * Kernels `..._s16` compute with int16 activations, for the few layers that need them. They have the parameters of the
 * int8 kernel; each tensor is int8 or int16 independently, as given by `input_s16`, `output_s16` (for a sum: `a_s16`,
 * `b_s16`), which the int8 kernels do not read. Weights stay int8, sums int32. If the result is int16, its rule has
 * sat16 instead of sat8, and left shifts are at most 16.
 */
#ifndef ESP_DL_TYPES_H
#define ESP_DL_TYPES_H

#include "esp_dl/limits.h"

#include <stdbool.h>
#include <stdint.h>

/* Shape of an image tensor: batch, height, width, channels, in the order of memory. */
typedef struct {
    int32_t n, h, w, c;
} esp_dl_shape_t;

/*
 * How a window moves over an image. Tap (i, j) of the window of output (y, x) reads the input at
 * (y * stride_h + i * dilation_h - pad_top, x * stride_w + j * dilation_w - pad_left). Taps outside the image add
 * nothing, or in a convolution what its `pad_value` says; their number at the bottom and the right follows from the
 * shape of the output.
 */
typedef struct {
    int32_t kernel_h, kernel_w;     /* taps, >= 1 */
    int32_t stride_h, stride_w;     /* >= 1 */
    int32_t dilation_h, dilation_w; /* >= 1 */
    int32_t pad_top, pad_left;      /* >= 0; pad_top of a convolution < 0: its first window starts further down */
} esp_dl_window_t;

#endif /* ESP_DL_TYPES_H */
