/* Softmax of a row by the floating-point unit of the ESP32-S3; softmax_s8_esp32s3.c calls it. */
#include "common/esp32s3.inc"

/* esp_dl_softmax_largest_esp32s3(const int8_t *x, int32_t count): the largest of a row */
    function esp_dl_softmax_largest_esp32s3
    movi a4, -128
    loop a3, 1f
    l8ui a5, a2, 0
    addi a2, a2, 1
    sext a5, a5, 7
    max a4, a4, a5
1:
    mov a2, a4
    return
    .size esp_dl_softmax_largest_esp32s3, . - esp_dl_softmax_largest_esp32s3

/* The power of the value at a2, which moves on, in f0. a4: where the power of 0 lies; a9 changes. */
    .macro power
    l8ui a9, a2, 0
    addi a2, a2, 1
    sext a9, a9, 7
    slli a9, a9, 2
    sub a9, a4, a9
    lsi f0, a9, 0
    .endm

/* esp_dl_softmax_sum_esp32s3(const int8_t *x, int32_t count, const float *powers): the bits of their sum, in order */
    function esp_dl_softmax_sum_esp32s3
    movi a9, 0
    wfr f1, a9
    loop a3, 1f
    power
    add.s f1, f1, f0
1:
    rfr a2, f1
    return
    .size esp_dl_softmax_sum_esp32s3, . - esp_dl_softmax_sum_esp32s3

/*
 * esp_dl_softmax_values_esp32s3(const int8_t *x, int32_t count, const float *powers, const float *bounds, int8_t *y)
 *
 * y = floor(power * bound + 1/2), at most 127, as long as both bounds give the same; returns how many values that were.
 * floor.s doubles before it rounds.
 */
    function esp_dl_softmax_values_esp32s3
    lsi f14, a5, 0
    lsi f15, a5, 4
    mov a8, a6
    movi a12, 127
    loop a3, 1f
    power
    mul.s f1, f0, f14
    mul.s f2, f0, f15
    floor.s a10, f1, 1
    floor.s a11, f2, 1
    addi a10, a10, 1
    addi a11, a11, 1
    srai a10, a10, 1
    srai a11, a11, 1
    bne a10, a11, 2f
    min a10, a10, a12
    s8i a10, a6, 0
    addi a6, a6, 1
1:
2:
    sub a2, a6, a8
    return
    .size esp_dl_softmax_values_esp32s3, . - esp_dl_softmax_values_esp32s3
