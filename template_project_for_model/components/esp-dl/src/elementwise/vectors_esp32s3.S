/*
 * Elementwise operators for the vector unit of the ESP32-S3: products grow in lanes of 20 bits, which hold them always.
 * vectors_esp32s3.c is the same in C.
 */
#include "common/esp32s3.inc"

/* Fields of esp_dl_vectors_t. */
#define A 0
#define B 4
#define OUTPUT 8
#define VECTORS 12
#define SHIFT 16
#define FACTOR_A 20
#define FACTOR_B 21
#define HALF_A 22
#define HALF_B 23
#define MIN 24
#define MAX 25

    .macro fill to, field
    addi a7, a2, \field
    ee.vldbc.8 \to, a7
    .endm

    /* q0 a, q1 b, q2 result and product of halves, q3 min, q4 factor of a, q5 factor of b, q6 half, q7 max */
    .macro begin
    l32i a3, a2, A
    l32i a4, a2, B
    l32i a5, a2, OUTPUT
    l32i a6, a2, VECTORS
    l32i a8, a2, SHIFT
    addi a9, a2, HALF_B
    fill q3, MIN
    fill q7, MAX
    ee.vld.128.ip q0, a3, 16
    ee.vld.128.ip q1, a4, 16
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
    ee.vst.128.ip q2, a5, 16
    .endm

    function esp_dl_add_vectors_esp32s3
    begin
    fill q4, FACTOR_A
    fill q5, FACTOR_B
    fill q6, HALF_A
    loopnez a6, 1f
    fill_half
    ee.vmulas.s8.qacc.ld.ip q0, a3, 16, q0, q4
    ee.vmulas.s8.qacc.ld.ip q1, a4, 16, q1, q5
    finish
1:
    return
    .size esp_dl_add_vectors_esp32s3, . - esp_dl_add_vectors_esp32s3

    function esp_dl_mul_vectors_esp32s3
    begin
    fill q6, HALF_A
    loopnez a6, 1f
    fill_half
    ee.vmulas.s8.qacc.ld.ip q0, a3, 16, q0, q1
    ee.vld.128.ip q1, a4, 16
    finish
1:
    return
    .size esp_dl_mul_vectors_esp32s3, . - esp_dl_mul_vectors_esp32s3
