/* The energy of windows; window_energy_esp32s3.c is the same in C. */
#include "common/esp32s3.inc"
#include "convolution/window_energy_esp32s3.h"

/*
 * a2 the largest window, a3 vectors of a tap, a4 taps left, a5 input, a8 own, a9 the tap before, a10 both taps before,
 * a11 window.
 * q0 input, q1 half of it, q6 half of the zero, q7 ones; SAR is 1.
 */
    .macro sixteen_squares
    ee.vmul.s8.ld.incp q0, a5, q1, q0, q7
    ee.vsubs.s8 q1, q1, q6
    ee.vmulas.s8.accx q1, q1
    .endm

    .macro next_window is_wide
    rur.accx_0 a8
    .if \is_wide
    add a11, a10, a8
    max a2, a2, a11
    add a10, a9, a8
    mov a9, a8
    .else
    max a2, a2, a8
    .endif
    .endm

    .macro few_vectors vectors, is_wide
    bnei a3, \vectors, 3f
    loop a4, 2f
    ee.zero.accx
    .rept \vectors
    sixteen_squares
    .endr
    next_window \is_wide
2:
    return
3:
    .endm

    .macro energies is_wide
    few_vectors 1, \is_wide
    few_vectors 2, \is_wide
    few_vectors 4, \is_wide
1:
    ee.zero.accx
    loop a3, 2f
    sixteen_squares
2:
    next_window \is_wide
    addi a4, a4, -1
    bnez a4, 1b
    return
    .endm

    function esp_dl_window_energy_esp32s3
    addi a8, a2, ENERGY_AT_HALF_ZERO
    ee.vldbc.8 q6, a8
    movi a9, 0x01010101
    .irp i, 0, 1, 2, 3
    ee.movi.32.q q7, a9, \i
    .endr
    ssai 1
    l32i a5, a2, ENERGY_AT_INPUT
    l32i a3, a2, ENERGY_AT_VECTORS
    l32i a4, a2, ENERGY_AT_TAPS
    l32i a11, a2, ENERGY_AT_IS_WIDE
    movi a2, 0
    movi a9, 0
    movi a10, 0
    ee.vld.128.ip q0, a5, 16
    beqz a11, .Lnarrow
    energies 1
.Lnarrow:
    energies 0
    .size esp_dl_window_energy_esp32s3, . - esp_dl_window_energy_esp32s3
