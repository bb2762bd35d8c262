/* Sums of products by MAC16; mac16_esp32.c is the same in C. */
#include "common/esp32s3.inc"
#include "convolution/mac16_esp32.h"

/* The products of a segment, whose first two values are in m0, its first two weights in m2. In the end m2 has the first
 * two of the next segment, or, as they are repeated behind the last ones, of the next pixel. A load adds 4 to its address
 * before it reads. */
    .macro segment
    loop a5, .Lend\@
    mula.dd.ll.ldinc m1, a2, m0, m2
    mula.dd.hh.ldinc m3, a3, m0, m2
    mula.dd.ll.ldinc m0, a2, m1, m3
    mula.dd.hh.ldinc m2, a3, m1, m3
.Lend\@:
    .endm

    .macro next_segment
    add a2, a2, a15
    ldinc m0, a2
    segment
    .endm

/* begun: a6 is where the sums' starts lie, else the one that all have. */
    .macro begin_pixel begun
    .if \begun
    l32i a3, a6, 0
    addi a6, a6, 4
    wsr.acclo a3
    .endif
    mov a3, a4
    ldinc m0, a2
    .ifeq \begun
    wsr.acclo a6
    .endif
    segment
    .endm

    /* The next one begins at \again; the last one of all rows returns. */
    .macro end_pixel again
    rsr.acclo a12
    add a2, a2, a11
    sra a12, a12
    max a12, a12, a7
    min a12, a12, a8
    s8i a12, a9, 0
    add a9, a9, a10
    bne a9, a13, \again
    l32i a3, a1, 16
    addi a14, a14, -1
    l32i a12, a3, MAC16_AT_NEXT_ROW
    l32i a3, a3, MAC16_AT_ROW_BYTES
    add a2, a2, a12
    add a13, a13, a3
    bnez a14, \again
    return
    .endm

/*
 * a2 input, a3 weights, a4 where they begin, their first word, which is in m2, a5 fours, a6 bias or starts, a7 min, a8 max, a9 output, a10 step, a11 to the next
 * pixel, a12 sum or segments left, a13 end of the row, a14 rows left, a15 to the next segment.
 */
    .macro pixels begun
    s32i a2, a1, 16
    l32i a4, a2, MAC16_AT_WEIGHTS
    addi a4, a4, -4
    l32i a5, a2, MAC16_AT_FOURS
    .if \begun
    l32i a6, a2, MAC16_AT_STARTS
    .else
    l32i a6, a2, MAC16_AT_BIAS
    .endif
    l32i a7, a2, MAC16_AT_MIN
    l32i a8, a2, MAC16_AT_MAX
    l32i a9, a2, MAC16_AT_OUTPUT
    l32i a10, a2, MAC16_AT_STEP
    l32i a11, a2, MAC16_AT_NEXT_PIXEL
    l32i a12, a2, MAC16_AT_SHIFT
    l32i a13, a2, MAC16_AT_ROW_BYTES
    l32i a14, a2, MAC16_AT_ROWS
    l32i a15, a2, MAC16_AT_NEXT_SEGMENT
    ssr a12
    add a13, a13, a9
    ldinc m2, a4
    addi a11, a11, -4
    addi a15, a15, -4
    l32i a12, a2, MAC16_AT_MORE
    l32i a2, a2, MAC16_AT_X
    addi a2, a2, -4
    beqz a12, 2f
    beqi a12, 2, 3f
    s32i a12, a1, 20
.Lany\@:
    l32i a12, a1, 20
    begin_pixel \begun
1:
    next_segment
    addi a12, a12, -1
    bnez a12, 1b
    end_pixel .Lany\@
2:  /* one segment */
    begin_pixel \begun
    end_pixel 2b
3:  /* three */
    begin_pixel \begun
    next_segment
    next_segment
    end_pixel 3b
    .endm

    function esp_dl_mac16_pixels_esp32
    pixels 0
    .size esp_dl_mac16_pixels_esp32, . - esp_dl_mac16_pixels_esp32

    function esp_dl_mac16_begun_pixels_esp32
    pixels 1
    .size esp_dl_mac16_begun_pixels_esp32, . - esp_dl_mac16_begun_pixels_esp32

    function esp_dl_mac16_inputs_esp32
    mov a9, a2
    movi a5, 128
    slli a6, a5, 8
    or a5, a5, a6
    slli a6, a5, 16
    or a5, a5, a6 /* 0x80808080 */
    movi a6, 255
    slli a7, a6, 16
    or a6, a6, a7 /* 0x00ff00ff */
    loop a4, 1f
    l32i a7, a9, 0
    addi a9, a9, 4
    xor a7, a7, a5
    and a8, a7, a6
    srli a7, a7, 8
    and a7, a7, a6
    s32i a8, a3, 0
    s32i a7, a3, 4
    addi a3, a3, 8
1:
    return
    .size esp_dl_mac16_inputs_esp32, . - esp_dl_mac16_inputs_esp32

    function esp_dl_mac16_weights_esp32
    mov a9, a2
    movi a5, 255
    slli a6, a5, 16
    or a5, a5, a6
    slli a5, a5, 8 /* 0xff00ff00 */
    loop a4, 1f
    l32i a6, a9, 0
    l32i a7, a9, 4
    addi a9, a9, 8
    and a8, a6, a5
    s32i a8, a3, 4
    slli a6, a6, 8
    and a6, a6, a5
    s32i a6, a3, 0
    and a8, a7, a5
    s32i a8, a3, 12
    slli a7, a7, 8
    and a7, a7, a5
    s32i a7, a3, 8
    addi a3, a3, 16
1:
    return
    .size esp_dl_mac16_weights_esp32, . - esp_dl_mac16_weights_esp32
