/*
 * Elementwise operators for the vector unit of the ESP32-S3: products grow in lanes of 20 bits, which hold them always.
 * vectors_esp32s3.c is the same in C.
 */
#include "common/esp32s3.inc"
#include "elementwise/vectors_esp32s3.h"

    .macro fill to, field
    addi a7, a2, \field
    ee.vldbc.8 \to, a7
    .endm

    /* q0 a, q1 b, q2 result and product of halves, q3 min, q4 factor of a, q5 factor of b, q6 half, q7 max */
    .macro begin
    l32i a3, a2, VECTORS_AT_A
    l32i a4, a2, VECTORS_AT_B
    l32i a5, a2, VECTORS_AT_OUTPUT
    l32i a6, a2, VECTORS_AT_VECTORS
    l32i a8, a2, VECTORS_AT_SHIFT
    addi a9, a2, VECTORS_AT_HALF_B
    fill q3, VECTORS_AT_MIN
    fill q7, VECTORS_AT_MAX
    l32i a10, a2, VECTORS_AT_STEP_A
    l32i a11, a2, VECTORS_AT_STEP_B
    l32i a12, a2, VECTORS_AT_STEP_Y
    .endm

    .macro load_first
    ee.vld.128.xp q0, a3, a10
    ee.vld.128.xp q1, a4, a11
    .endm

    /* Half of what is shifted out: the product of two, as it may have more than 8 bits. */
    .macro fill_half
    ee.zero.qacc
    ee.vldbc.8 q2, a9
    ee.vmulas.s8.qacc q6, q2
    .endm

    .macro finish
    ee.srcmb.s8.qacc q2, a8, 0
    ee.vmax.s8 q2, q2, q3
    ee.vmin.s8 q2, q2, q7
    ee.vst.128.xp q2, a5, a12
    .endm

/* Where the upper bound is 127 nothing is to be cut off above: q7 holds the other factor of the half instead. */
    .macro if_open place
    l8ui a7, a2, VECTORS_AT_MAX
    addi a7, a7, -127
    bnez a7, 9f
    ee.vldbc.8 q7, a9
    j \place
9:
    .endm

    .macro finish_open
    ee.srcmb.s8.qacc q2, a8, 0
    ee.vmax.s8 q2, q2, q3
    ee.vst.128.xp q2, a5, a12
    .endm

    function esp_dl_add_vectors_esp32s3
    begin
    fill q4, VECTORS_AT_FACTOR_A
    fill q5, VECTORS_AT_FACTOR_B
    fill q6, VECTORS_AT_HALF_A
    load_first
    if_open 2f
    loopnez a6, 1f
    fill_half
    ee.vmulas.s8.qacc.ld.xp q0, a3, a10, q0, q4
    ee.vmulas.s8.qacc.ld.xp q1, a4, a11, q1, q5
    finish
1:
    return
2:
    loopnez a6, 3f
    ee.zero.qacc
    ee.vmulas.s8.qacc q6, q7
    ee.vmulas.s8.qacc.ld.xp q0, a3, a10, q0, q4
    ee.vmulas.s8.qacc.ld.xp q1, a4, a11, q1, q5
    finish_open
3:
    return
    .size esp_dl_add_vectors_esp32s3, . - esp_dl_add_vectors_esp32s3

    function esp_dl_mul_vectors_esp32s3
    begin
    fill q6, VECTORS_AT_HALF_A
    load_first
    if_open 2f
    loopnez a6, 1f
    fill_half
    ee.vmulas.s8.qacc.ld.xp q0, a3, a10, q0, q1
    ee.vld.128.xp q1, a4, a11
    finish
1:
    return
2:
    loopnez a6, 3f
    ee.zero.qacc
    ee.vmulas.s8.qacc q6, q7
    ee.vmulas.s8.qacc.ld.xp q0, a3, a10, q0, q1
    ee.vld.128.xp q1, a4, a11
    finish_open
3:
    return
    .size esp_dl_mul_vectors_esp32s3, . - esp_dl_mul_vectors_esp32s3

    .macro choose_vectors which
    begin
    loopnez a6, 1f
    load_first
    ee.v\which\().s8 q2, q0, q1
    ee.vmax.s8 q2, q2, q3
    ee.vmin.s8 q2, q2, q7
    ee.vst.128.xp q2, a5, a12
1:
    return
    .endm

    function esp_dl_max_vectors_esp32s3
    choose_vectors max
    .size esp_dl_max_vectors_esp32s3, . - esp_dl_max_vectors_esp32s3

    function esp_dl_min_vectors_esp32s3
    choose_vectors min
    .size esp_dl_min_vectors_esp32s3, . - esp_dl_min_vectors_esp32s3

/*
 * Of every value what is positive and what is negative is multiplied and shifted by itself; the other one is 0.
 *
 * q0 x, q1 slope, q2, q3 the parts, q4 factor and q5 half of the positive one, q6 and q7 half of the negative one; a9 its
 * shift.
 */
    function esp_dl_prelu_vectors_esp32s3
    begin
    l32i a9, a2, VECTORS_AT_SHIFT_NEGATIVE
    fill q4, VECTORS_AT_FACTOR_A
    fill q5, VECTORS_AT_HALF_A
    fill q6, VECTORS_AT_NEGATIVE_A
    fill q7, VECTORS_AT_NEGATIVE_B
    load_first
    loopnez a6, 1f
    ee.zero.qacc
    ee.zero.q q3
    ee.vmulas.s8.qacc q5, q4
    ee.vmax.s8 q2, q0, q3
    ee.vmin.s8 q3, q0, q3
    ee.vmulas.s8.qacc q2, q4
    ee.srcmb.s8.qacc q2, a8, 0
    ee.zero.qacc
    ee.vmulas.s8.qacc q6, q7
    ee.vmulas.s8.qacc.ld.xp q0, a3, a10, q3, q1
    ee.vld.128.xp q1, a4, a11
    ee.srcmb.s8.qacc q3, a9, 0
    ee.orq q2, q2, q3
    ee.vst.128.xp q2, a5, a12
1:
    return
    .size esp_dl_prelu_vectors_esp32s3, . - esp_dl_prelu_vectors_esp32s3

/* The same where what is positive stays as it is. q0 x, q1 slope, q2, q3 the parts, q4 zero; the rest as above. */
    function esp_dl_prelu_kept_vectors_esp32s3
    begin
    l32i a9, a2, VECTORS_AT_SHIFT_NEGATIVE
    fill q6, VECTORS_AT_NEGATIVE_A
    fill q7, VECTORS_AT_NEGATIVE_B
    ee.zero.q q4
    load_first
    loopnez a6, 1f
    ee.zero.qacc
    ee.vmin.s8 q3, q0, q4
    ee.vmulas.s8.qacc q6, q7
    ee.vmax.s8 q2, q0, q4
    ee.vmulas.s8.qacc.ld.xp q0, a3, a10, q3, q1
    ee.vld.128.xp q1, a4, a11
    ee.srcmb.s8.qacc q3, a9, 0
    ee.orq q2, q2, q3
    ee.vst.128.xp q2, a5, a12
1:
    return
    .size esp_dl_prelu_kept_vectors_esp32s3, . - esp_dl_prelu_kept_vectors_esp32s3

/*
 * A word for every value: sixteen indexed loads, of which only the lowest bytes are kept.
 *
 * a2 input, a3 table, a4 output, a5 vectors; q0, q1 indices of 16 bits.
 */
    function esp_dl_lookup_vectors_esp32s3
    movi a6, 1
    ee.zero.q q0
    ee.movi.32.q q0, a6, 0
    ee.ldxq.32 q1, q0, a3, 0, 0
    ee.movi.32.a q1, a6, 0
    add a3, a3, a6
    addi a3, a3, 8
    loopnez a5, 1f
    ee.vld.128.ip q0, a2, 16
    ee.zero.q q1
    ee.vzip.8 q0, q1
    .irp i, 0, 1, 2, 3
    ee.ldxq.32 q2, q0, a3, \i, \i
    .endr
    .irp i, 0, 1, 2, 3
    ee.ldxq.32 q3, q0, a3, \i, \i + 4
    .endr
    .irp i, 0, 1, 2, 3
    ee.ldxq.32 q4, q1, a3, \i, \i
    .endr
    .irp i, 0, 1, 2, 3
    ee.ldxq.32 q5, q1, a3, \i, \i + 4
    .endr
    ee.vunzip.8 q2, q3
    ee.vunzip.8 q4, q5
    ee.vunzip.8 q2, q4
    ee.vst.128.ip q2, a4, 16
1:
    return
    .size esp_dl_lookup_vectors_esp32s3, . - esp_dl_lookup_vectors_esp32s3
