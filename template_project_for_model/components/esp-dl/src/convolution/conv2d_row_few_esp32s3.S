/*
 * A row of a convolution with few outputs by the accumulator of 40 bits; conv2d_few_esp32s3.c computes the same in C.
 *
 * a2 row, a3 offset of the window, a4 weights, a5 output, a6 outputs left, a7 next segment, a8 input, a9 vectors, a10
 * least, a11 greatest value, a12 sum, a13 bytes to the next window, a14 shift, segments left, a15 pixels left; q0 input,
 * q1 weights.
 */
#include "common/esp32s3.inc"
#include "convolution/conv2d_row_few_esp32s3.h"

    function esp_dl_conv2d_row_few_esp32s3
    l32i a5, a2, ROW_FEW_AT_OUTPUT
    l32i a9, a2, ROW_FEW_AT_VECTORS
    l32i a10, a2, ROW_FEW_AT_MIN
    l32i a11, a2, ROW_FEW_AT_MAX
    l32i a13, a2, ROW_FEW_AT_STEP
    l32i a15, a2, ROW_FEW_AT_PIXELS
    movi a3, 0
1:  /* a pixel */
    l32i a4, a2, ROW_FEW_AT_WEIGHTS
    l32i a6, a2, ROW_FEW_AT_OUTPUTS
2:  /* an output */
    ee.ld.accx.ip a4, 8
    l8ui a14, a4, 0
    addi a4, a4, 8
    l32i a7, a2, ROW_FEW_AT_ROWS
    ssr a14
    l32i a14, a2, ROW_FEW_AT_SEGMENTS
    ee.vld.128.ip q1, a4, 16
3:  /* a segment */
    l32i a8, a7, 0
    addi a14, a14, -1
    add a8, a8, a3
    addi a7, a7, 4
    ee.vld.128.ip q0, a8, 16
    loop a9, 4f
    ee.vmulas.s8.accx.ld.ip q0, a8, 16, q0, q1
    ee.vld.128.ip q1, a4, 16
4:
    bnez a14, 3b
    rur.accx_0 a12
    addi a4, a4, -16
    sra a12, a12
    addi a6, a6, -1
    max a12, a12, a10
    min a12, a12, a11
    s8i a12, a5, 0
    addi a5, a5, 1
    bnez a6, 2b
    addi a15, a15, -1
    add a3, a3, a13
    bnez a15, 1b
    return
    .size esp_dl_conv2d_row_few_esp32s3, . - esp_dl_conv2d_row_few_esp32s3
