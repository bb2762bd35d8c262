/* A row of a fully connected layer by the accumulator of 40 bits; dense_s16_esp32s3.c is the same in C. */
#include "common/esp32s3.inc"
#include "dense/dense_row_esp32s3.h"

/*
 * a2 row, a3 input, a4 weights, a5 output, a6 outputs left, a7 vectors, a8 input, a9 weights again, a10 least, a11 greatest
 * value, a12 sum, a13 another, a14 shift; q0 input, q1 weights.
 */
    .macro begin_outputs
    l32i a3, a2, DENSE_AT_INPUT
    l32i a4, a2, DENSE_AT_WEIGHTS
    l32i a5, a2, DENSE_AT_OUTPUT
    l32i a6, a2, DENSE_AT_OUTPUTS
    l32i a7, a2, DENSE_AT_VECTORS
    l32i a10, a2, DENSE_AT_MIN
    l32i a11, a2, DENSE_AT_MAX
    .endm

/* The bias to the accumulator, the shift to a14; a4 moves on to the weights. */
    .macro begin_sum
    ee.ld.accx.ip a4, 8
    l8ui a14, a4, 0
    addi a4, a4, 8
    .endm

/* The products of the weights and the input at a8; both move on, to a vector behind what was multiplied. */
    .macro products weights
    ee.vld.128.ip q1, \weights, 16
    loop a7, 2f
    ee.vmulas.s8.accx.ld.ip q0, a8, 16, q0, q1
    ee.vld.128.ip q1, \weights, 16
2:
    .endm

/* The sum in a12, shifted by SAR, becomes the next output; `again` computes the one behind it. */
    .macro end_output again
    addi a4, a4, -16
    sra a12, a12
    addi a6, a6, -1
    max a12, a12, a10
    min a12, a12, a11
    s16i a12, a5, 0
    addi a5, a5, 2
    bnez a6, \again
    return
    .endm

    function esp_dl_dense_row_s16_esp32s3
    begin_outputs
1:  /* an output */
    begin_sum
    mov a8, a3
    ee.vld.128.ip q0, a8, 16
    ssr a14
    products a4
    rur.accx_0 a12
    end_output 1b
    .size esp_dl_dense_row_s16_esp32s3, . - esp_dl_dense_row_s16_esp32s3

/* esp_dl_split_s16_esp32s3(const int16_t *x, int32_t vectors, const int8_t *halves, int8_t *upper, int8_t *lower) */
    function esp_dl_split_s16_esp32s3
    ee.vld.128.ip q2, a4, 0
    loop a3, 1f
    ee.vld.128.ip q0, a2, 16
    ee.vld.128.ip q1, a2, 16
    ee.vunzip.8 q0, q1
    ee.xorq q0, q0, q2
    ee.vst.128.ip q1, a5, 16
    ee.vst.128.ip q0, a6, 16
1:
    return
    .size esp_dl_split_s16_esp32s3, . - esp_dl_split_s16_esp32s3

/* 256 times the sum of the upper bytes is added to that of the lower ones, which follow them: q0 holds their first. */
    function esp_dl_dense_row_wide_esp32s3
    begin_outputs
1:  /* an output */
    ee.zero.accx
    addi a9, a4, 16
    mov a8, a3
    ee.vld.128.ip q0, a8, 16
    products a9
    rur.accx_0 a12
    begin_sum
    slli a12, a12, 8
    products a4
    rur.accx_0 a13
    ssr a14
    add a12, a12, a13
    end_output 1b
    .size esp_dl_dense_row_wide_esp32s3, . - esp_dl_dense_row_wide_esp32s3
