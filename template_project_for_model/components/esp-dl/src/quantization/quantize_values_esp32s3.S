/* Float to int8 by the floating-point unit of the ESP32-S3; quantize_s8_esp32s3.c says what it is elsewhere. */
#include "common/esp32s3.inc"

/*
 * floor(z + 1/2) + zero_point is (floor(2 z) + 1 + 2 zero_point) >> 1, and floor.s doubles z by itself. z = x * scale is
 * exact, or infinite, or so small that 0 and -1 alike become 0. floor.s saturates, and so does the sum where it did: it
 * is of values within 512. Of NaN floor.s gives what is replaced.
 *
 * a2 input, a5 output, a6 step, a7 what NaN becomes, a13 1 + 2 zero_point, f15 scale; a9 to a12, f0 to f3, b0 to b3
 * values on their way.
 */
    .macro quantize register, value, bit
    mul.s \value, \value, f15
    un.s \bit, \value, \value
    floor.s \register, \value, 1
    .endm

    .macro finish register, bit
    clamps \register, \register, 9
    add \register, \register, a13
    srai \register, \register, 1
    clamps \register, \register, 7
    movt \register, a7, \bit
    .endm

    function esp_dl_quantize_values_esp32s3
    wfr f15, a4
    slli a13, a7, 1
    addi a13, a13, 1
    clamps a7, a7, 7
    srli a8, a3, 2
    loopnez a8, 1f
    lsip f0, a2, 4
    lsip f1, a2, 4
    lsip f2, a2, 4
    lsip f3, a2, 4
    quantize a9, f0, b0
    quantize a10, f1, b1
    quantize a11, f2, b2
    quantize a12, f3, b3
    finish a9, b0
    finish a10, b1
    finish a11, b2
    finish a12, b3
    .irp register, a9, a10, a11, a12
    s8i \register, a5, 0
    add a5, a5, a6
    .endr
1:
    extui a8, a3, 0, 2
    loopnez a8, 2f
    lsip f0, a2, 4
    quantize a9, f0, b0
    finish a9, b0
    s8i a9, a5, 0
    add a5, a5, a6
2:
    return
    .size esp_dl_quantize_values_esp32s3, . - esp_dl_quantize_values_esp32s3
