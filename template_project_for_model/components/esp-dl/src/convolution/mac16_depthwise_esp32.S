/* Depthwise convolution by MAC16; mac16_depthwise_esp32.c is the same in C. */
#include "common/esp32s3.inc"
#include "convolution/mac16_depthwise_esp32.h"

/* a3 from, a4 to, a5 channels, a6 to the next row, a7 rows left, a8 step, a9 leads, a10 pairs, a11 trails, a12 0x80,
 * a13 0x800080, a14 and a15 values; the row's first word is at a1 + 16. */
    function esp_dl_mac16_columns_esp32
    l32i a3, a2, COLUMNS_AT_FROM
    l32i a4, a2, COLUMNS_AT_TO
    l32i a5, a2, COLUMNS_AT_CHANNELS
    l32i a6, a2, COLUMNS_AT_ROW_BYTES
    l32i a7, a2, COLUMNS_AT_ROWS
    l32i a8, a2, COLUMNS_AT_STEP
    l32i a9, a2, COLUMNS_AT_LEADS
    l32i a10, a2, COLUMNS_AT_PAIRS
    l32i a11, a2, COLUMNS_AT_TRAILS
    movi a12, 128
    slli a13, a12, 16
    or a13, a13, a12
    mov a2, a4
1:
    beqz a9, 2f
    l8ui a14, a3, 0
    add a3, a3, a5
    xor a14, a14, a12
    s16i a14, a4, 2
    add a4, a4, a8
2:
    loopnez a10, 3f
    l8ui a14, a3, 0
    add a3, a3, a5
    l8ui a15, a3, 0
    add a3, a3, a5
    slli a15, a15, 16
    or a14, a14, a15
    xor a14, a14, a13
    s32i a14, a4, 0
    add a4, a4, a8
3:
    beqz a11, 4f
    l8ui a14, a3, 0
    add a3, a3, a5
    xor a14, a14, a12
    s16i a14, a4, 0
4:
    addi a2, a2, 4
    mov a4, a2
    add a3, a3, a6
    addi a7, a7, -1
    bnez a7, 1b
    return
    .size esp_dl_mac16_columns_esp32, . - esp_dl_mac16_columns_esp32

/* Where the next window begins in the lower half of a word: its rows' words at a13, those beside them at a15. */
    .macro even_pixel
    wsr.acclo a10
    l32i a2, a13, 0
    l32i a14, a13, 4
    mula.aa.ll a2, a5
    mula.aa.hh a2, a5
    l32i a2, a13, 8
    mula.aa.ll a14, a6
    mula.aa.hh a14, a6
    l32i a14, a15, 0
    mula.aa.ll a2, a7
    mula.aa.hh a2, a7
    l32i a2, a15, 4
    mula.aa.ll a14, a8
    l32i a14, a15, 8
    mula.aa.lh a2, a8
    mula.aa.ll a14, a9
    store
    .endm

/* The pixel beside it: the same words backwards, the last one of which is in a14. */
    .macro odd_pixel
    wsr.acclo a10
    l32i a2, a15, 4
    mula.aa.lh a14, a7
    mula.aa.hl a14, a9
    l32i a14, a15, 0
    mula.aa.lh a2, a6
    mula.aa.hh a2, a8
    l32i a2, a13, 8
    mula.aa.lh a14, a5
    mula.aa.hl a14, a8
    l32i a14, a13, 4
    mula.aa.hl a2, a7
    l32i a2, a13, 0
    mula.aa.hl a14, a6
    mula.aa.hl a2, a5
    store
    .endm

    .macro store
    rsr.acclo a2
    sra a2, a2
    max a2, a2, a11
    min a2, a2, a12
    s8i a2, a3, 0
    add a3, a3, a4
    .endm

    .macro next_words
    l32i a2, a1, 28
    mov a13, a15
    add a15, a15, a2
    .endm

/*
 * a13 input, a3 output, a4 step, a5 to a7 weights of the rows' first two columns, a8 those of the third column of two
 * rows, a9 of the last one, a10 bias, a11 min, a12 max, a2 and a14 words, a15 the words beside a13; at a1 + 16 the
 * parameters, at a1 + 20 the row's first word, at a1 + 24 rows left, at a1 + 28 from words to those beside them.
 */
    function esp_dl_mac16_depthwise_esp32
    s32i a2, a1, 16
    l32i a3, a2, DEPTHWISE_AT_WEIGHTS
    l32i a5, a3, 0
    l32i a6, a3, 4
    l32i a7, a3, 8
    l32i a8, a3, 12
    l32i a9, a3, 16
    l32i a3, a2, DEPTHWISE_AT_OUTPUT
    l32i a4, a2, DEPTHWISE_AT_STEP
    l32i a10, a2, DEPTHWISE_AT_BIAS
    l32i a11, a2, DEPTHWISE_AT_MIN
    l32i a12, a2, DEPTHWISE_AT_MAX
    l32i a13, a2, DEPTHWISE_AT_SHIFT
    ssr a13
    l32i a14, a2, DEPTHWISE_AT_ROWS
    l32i a15, a2, DEPTHWISE_AT_STEP_X
    l32i a13, a2, DEPTHWISE_AT_X
    s32i a14, a1, 24
    s32i a15, a1, 28
1:  /* a row */
    s32i a13, a1, 20
    l32i a14, a1, 28
    l32i a2, a1, 16
    add a15, a13, a14
    l32i a14, a2, DEPTHWISE_AT_PAIRS
    loopnez a14, 2f
    even_pixel
    odd_pixel
    next_words
2:
    l32i a2, a1, 16
    l32i a2, a2, DEPTHWISE_AT_SINGLES
    loopnez a2, 3f
    even_pixel
    next_words
3:
    l32i a2, a1, 16
    l32i a13, a1, 20
    l32i a2, a2, DEPTHWISE_AT_NEXT_ROW
    l32i a14, a1, 24
    add a13, a13, a2
    addi a14, a14, -1
    s32i a14, a1, 24
    bnez a14, 1b
    return
    .size esp_dl_mac16_depthwise_esp32, . - esp_dl_mac16_depthwise_esp32
