/*
 * Elementwise operators with values of 16 bits for the vector unit of the ESP32-S3, sixteen values at a time in two
 * halves: lanes of 40 bits hold what is added and multiplied. vectors_s16_esp32s3.c is the same in C.
 */
#include "common/esp32s3.inc"
#include "elementwise/vectors_s16_esp32s3.h"

    .macro fill to, field
    addi a7, a2, \field
    ee.vldbc.16 \to, a7
    .endm

/* a3 a, a4 b, a5 output, a6 vectors, a8 shift, a9 the place of the upper bound; q4, q5 factors or, of products, halves,
 * q6 the half of sums, q7 the lower bound: of bytes if the output has them. */
    .macro begin product, wide_y
    l32i a3, a2, VECTORS_S16_AT_A
    l32i a4, a2, VECTORS_S16_AT_B
    l32i a5, a2, VECTORS_S16_AT_OUTPUT
    l32i a6, a2, VECTORS_S16_AT_VECTORS
    l32i a8, a2, VECTORS_S16_AT_SHIFT
    addi a9, a2, VECTORS_S16_AT_MAX
    .if \product
    fill q4, VECTORS_S16_AT_HALF_A
    fill q5, VECTORS_S16_AT_HALF_B
    .else
    fill q4, VECTORS_S16_AT_FACTOR_A
    fill q5, VECTORS_S16_AT_FACTOR_B
    fill q6, VECTORS_S16_AT_HALF_A
    .endif
    addi a7, a2, VECTORS_S16_AT_MIN
    .if \wide_y
    ee.vldbc.16 q7, a7
    .else
    ee.vldbc.8 q7, a7
    .endif
    .endm

/* Sixteen bytes as values of 16 bits: the first eight in \first, the others in \second. */
    .macro widen first, second, from
    ee.zero.q \second
    ee.vld.128.ip \first, \from, 16
    ee.vcmp.lt.s8 \second, \first, \second
    ee.vzip.8 \first, \second
    .endm

/* Eight results in \y. What is wide of a and b is in q0 and q1, where the next eight are loaded. */
    .macro eight product, a, wide_a, b, wide_b, y
    .if \product
    ee.zero.qacc
    ee.vmulas.s16.qacc q4, q5
    .if \wide_a
    ee.vmulas.s16.qacc.ld.ip \a, a3, 16, \a, \b
    .else
    ee.vmulas.s16.qacc \a, \b
    .endif
    .if \wide_b
    ee.vld.128.ip \b, a4, 16
    .endif
    .else
    ee.mov.s16.qacc q6
    .if \wide_a
    ee.vmulas.s16.qacc.ld.ip \a, a3, 16, \a, q4
    .else
    ee.vmulas.s16.qacc \a, q4
    .endif
    .if \wide_b
    ee.vmulas.s16.qacc.ld.ip \b, a4, 16, \b, q5
    .else
    ee.vmulas.s16.qacc \b, q5
    .endif
    .endif
    ee.srcmb.s16.qacc \y, a8, 0
    .endm

    .macro store y, max
    ee.vmax.s16 \y, \y, q7
    ee.vmin.s16 \y, \y, \max
    ee.vst.128.ip \y, a5, 16
    .endm

/* The upper bytes of sixteen results in q2 and q3. */
    .macro store_bytes
    ee.vunzip.8 q2, q3
    ee.vldbc.8 q2, a9
    ee.vmax.s8 q3, q3, q7
    ee.vmin.s8 q3, q3, q2
    ee.vst.128.ip q3, a5, 16
    .endm

/* A function of two operands; b is wide only if a is. */
    .macro pairs name, product, wide_a, wide_b, wide_y
    function \name
    begin \product, \wide_y
    .if \wide_a
    ee.vld.128.ip q0, a3, 16
    .endif
    .if \wide_b
    ee.vld.128.ip q1, a4, 16
    .if \wide_y
    ee.vldbc.16 q3, a9
    loopnez a6, 1f
    eight \product, q0, 1, q1, 1, q2
    store q2, q3
    eight \product, q0, 1, q1, 1, q2
    store q2, q3
    .else
    loopnez a6, 1f
    eight \product, q0, 1, q1, 1, q2
    eight \product, q0, 1, q1, 1, q3
    store_bytes
    .endif
    .elseif \wide_a
    .if \wide_y
    ee.vldbc.16 q1, a9
    .endif
    loopnez a6, 1f
    widen q2, q3, a4
    eight \product, q0, 1, q2, 0, q2
    eight \product, q0, 1, q3, 0, q3
    .if \wide_y
    store q2, q1
    store q3, q1
    .else
    store_bytes
    .endif
    .else
    loopnez a6, 1f
    widen q2, q3, a4
    widen q0, q1, a3
    eight \product, q0, 0, q2, 0, q2
    eight \product, q1, 0, q3, 0, q3
    ee.vldbc.16 q0, a9
    store q2, q0
    store q3, q0
    .endif
1:
    return
    .size \name, . - \name
    .endm

    pairs esp_dl_add_16_16_to_16_esp32s3, 0, 1, 1, 1
    pairs esp_dl_add_16_8_to_16_esp32s3, 0, 1, 0, 1
    pairs esp_dl_add_8_8_to_16_esp32s3, 0, 0, 0, 1
    pairs esp_dl_add_16_16_to_8_esp32s3, 0, 1, 1, 0
    pairs esp_dl_add_16_8_to_8_esp32s3, 0, 1, 0, 0
    pairs esp_dl_mul_16_16_to_16_esp32s3, 1, 1, 1, 1
    pairs esp_dl_mul_16_8_to_16_esp32s3, 1, 1, 0, 1
    pairs esp_dl_mul_8_8_to_16_esp32s3, 1, 0, 0, 1
    pairs esp_dl_mul_16_16_to_8_esp32s3, 1, 1, 1, 0
    pairs esp_dl_mul_16_8_to_8_esp32s3, 1, 1, 0, 0

/* Eight results of one operand in \y; wide: it is in q0, where the next eight are loaded, else in \y. */
    .macro eight_alone wide, y
    ee.mov.s16.qacc q6
    .if \wide
    ee.vmulas.s16.qacc.ld.ip q0, a3, 16, q0, q4
    .else
    ee.vmulas.s16.qacc \y, q4
    .endif
    ee.srcmb.s16.qacc \y, a8, 0
    .endm

    function esp_dl_scale_16_to_16_esp32s3
    begin 0, 1
    ee.vldbc.16 q1, a9
    ee.vld.128.ip q0, a3, 16
    loopnez a6, 1f
    eight_alone 1, q2
    store q2, q1
    eight_alone 1, q2
    store q2, q1
1:
    return
    .size esp_dl_scale_16_to_16_esp32s3, . - esp_dl_scale_16_to_16_esp32s3

    function esp_dl_scale_8_to_16_esp32s3
    begin 0, 1
    ee.vldbc.16 q1, a9
    loopnez a6, 1f
    widen q2, q3, a3
    eight_alone 0, q2
    eight_alone 0, q3
    store q2, q1
    store q3, q1
1:
    return
    .size esp_dl_scale_8_to_16_esp32s3, . - esp_dl_scale_8_to_16_esp32s3

    function esp_dl_scale_16_to_8_esp32s3
    begin 0, 0
    ee.vld.128.ip q0, a3, 16
    loopnez a6, 1f
    eight_alone 1, q2
    eight_alone 1, q3
    store_bytes
1:
    return
    .size esp_dl_scale_16_to_8_esp32s3, . - esp_dl_scale_16_to_8_esp32s3

    function esp_dl_clamp_16_esp32s3
    begin 0, 1
    ee.vldbc.16 q1, a9
    loopnez a6, 1f
    ee.vld.128.ip q2, a3, 16
    ee.vld.128.ip q3, a3, 16
    store q2, q1
    store q3, q1
1:
    return
    .size esp_dl_clamp_16_esp32s3, . - esp_dl_clamp_16_esp32s3
