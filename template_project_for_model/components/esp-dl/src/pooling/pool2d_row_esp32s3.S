/*
 * Rows of pooling layers for the vector unit of the ESP32-S3: sixteen channels of all pixels, then the next.
 * pool2d_row_esp32s3.c is the same in C.
 */
#include "common/lanes_esp32s3.inc"
#include "pooling/pool2d_row_esp32s3.h"

#define STACK_PIXELS 16

/*
 * Windows of any size. whole: channels are in sixteens; bits: of a value, with 16 of them channels are halves of those.
 *
 * a2 row, a3 offset of the window, a4 reciprocal or 0, a5 output, a6 start of the sums, a7 row of the window, a8 input,
 * a9 taps, a10 bytes to the next tap, a11 channels left, a14 rows left; a12, a13, a15 free.
 * q0, q1 input, q2 result, q3 factor, q6 least, q7 greatest value.
 */
    .macro windows whole, average, bits=8
1:  /* sixteen channels */
    l32i a14, a2, POOL2D_AT_CHANNELS
    l32i a5, a2, POOL2D_AT_OUTPUT
    l32i a15, a2, POOL2D_AT_OFFSET
    sub a3, a14, a11
    add a5, a5, a3
    add a3, a3, a15
    l32i a15, a2, POOL2D_AT_PIXELS
2:  /* a pixel */
    s32i a15, a1, STACK_PIXELS
    .if \average
    mov a12, a6
    ee.ld.qacc_l.l.128.ip a12, 16
    ee.ld.qacc_h.l.128.ip a12, 16
    ee.ld.qacc_l.h.32.ip a12, 4
    ee.ld.qacc_h.h.32.ip a12, 12
    .else
    ee.orq q2, q6, q6
    .endif
    l32i a7, a2, POOL2D_AT_ROWS
    l32i a14, a2, POOL2D_AT_ROW_COUNT
3:  /* a row of the window */
    l32i a8, a7, 0
    addi a14, a14, -1
    add a8, a8, a3
    addi a7, a7, 4
    .if \whole && \average
    addi a12, a9, -1
    ee.vld.128.xp q0, a8, a10
    loopnez a12, 4f
    ee.vmulas.s8.qacc.ld.xp q0, a8, a10, q0, q3
4:
    ee.vmulas.s8.qacc q0, q3
    .else
    loop a9, 4f
    .if \whole
    ee.vld.128.xp q0, a8, a10
    .else
    ee.ld.128.usar.ip q0, a8, 16
    ee.vld.128.xp q1, a8, a10
    ee.src.q q0, q0, q1
    .endif
    .if \average
    ee.vmulas.s8.qacc q0, q3
    .else
    ee.vmax.s\bits q2, q2, q0
    .endif
4:
    .endif
    bnez a14, 3b
    .if \average
    bnez a4, 5f
    l32i a12, a2, POOL2D_AT_SHIFT
    ee.srcmb.s8.qacc q2, a12, 0
    j 6f
5:
    divide
6:
    ee.vmax.s8 q2, q2, q6
    .endif
    end_pixel \whole, POOL2D_AT_CHANNELS, POOL2D_AT_STEP, \bits
    l32i a15, a1, STACK_PIXELS
    addi a15, a15, -1
    bnez a15, 2b
    addi a11, a11, -16
    bgei a11, 1, 1b
    return
    .endm

/* The sum at the lower end of \sum, sixteen times less what was added, to the next byte at a15. */
    .macro divide_one sum, masked=0
    .if \masked == 0
    and \sum, \sum, a12
    .endif
    muluh \sum, \sum, a4
    sub \sum, \sum, a13
    clamps \sum, \sum, 7
    s8i \sum, a15, 0
    addi a15, a15, 1
    .endm

/* Eight sums, the upper bits of which lie at \high: a7 and a14 hold words that follow each other. */
    .macro divide_half low, high
    l32i a7, a8, \low
    mov a14, a7
    divide_one a14
    l32i a14, a8, \low + 4
    ssai 20
    src a7, a14, a7
    divide_one a7
    srli a7, a14, 8
    divide_one a7
    l32i a7, a8, \low + 8
    ssai 28
    src a14, a7, a14
    divide_one a14
    l32i a14, a8, \low + 12
    ssai 16
    src a7, a14, a7
    divide_one a7
    srli a7, a14, 4
    divide_one a7
    l32i a7, a8, \high
    ssai 24
    src a14, a7, a14
    divide_one a14
    srli a7, a7, 12
    divide_one a7, 1
    .endm

/* All sums, divided, to q2. */
    .macro divide
    l32i a8, a2, POOL2D_AT_SCRATCH
    movi a12, 0xfffff
    l32i a13, a2, POOL2D_AT_OFFSET_RESULT
    addi a15, a8, 48
    ee.st.qacc_l.l.128.ip a8, 16
    ee.st.qacc_h.l.128.ip a8, 16
    ee.st.qacc_l.h.32.ip a8, 4
    ee.st.qacc_h.h.32.ip a8, -36
    divide_half 0, 32
    divide_half 16, 36
    addi a15, a15, -16
    ee.vld.128.ip q2, a15, 16
    .endm

    .macro begin_windows
    l32i a9, a2, POOL2D_AT_TAPS
    l32i a10, a2, POOL2D_AT_TAP_STEP
    l32i a11, a2, POOL2D_AT_CHANNELS
    l32i a8, a2, POOL2D_AT_CLAMP
    extui a7, a11, 0, 4
    ee.vld.128.ip q6, a8, 16
    ee.vld.128.ip q7, a8, 16
    .endm

    function esp_dl_max_pool2d_row_esp32s3
    begin_windows
    bnez a7, .Lmax_some
    windows 1, 0
.Lmax_some:
    addi a10, a10, -16
    windows 0, 0
    .size esp_dl_max_pool2d_row_esp32s3, . - esp_dl_max_pool2d_row_esp32s3

    function esp_dl_max_pool2d_s16_row_esp32s3
    begin_windows
    bnez a7, .Lmax_some_s16
    windows 1, 0, 16
.Lmax_some_s16:
    addi a10, a10, -16
    windows 0, 0, 16
    .size esp_dl_max_pool2d_s16_row_esp32s3, . - esp_dl_max_pool2d_s16_row_esp32s3

    function esp_dl_average_pool2d_row_esp32s3
    begin_windows
    addi a8, a2, POOL2D_AT_FACTOR
    ee.vldbc.8 q3, a8
    l32i a4, a2, POOL2D_AT_RECIPROCAL
    l32i a6, a2, POOL2D_AT_START
    bnez a7, .Laverage_some
    windows 1, 1
.Laverage_some:
    addi a10, a10, -16
    windows 0, 1
    .size esp_dl_average_pool2d_row_esp32s3, . - esp_dl_average_pool2d_row_esp32s3

/* a4 input, a5 sums, a9 taps after the first, a10 bytes to the next tap, a11 channels left; a8, a12 free. */
    function esp_dl_average_pool2d_sums_esp32s3
    l32i a4, a2, POOL2D_AT_ROWS
    l32i a5, a2, POOL2D_AT_START
    l32i a9, a2, POOL2D_AT_TAPS
    l32i a10, a2, POOL2D_AT_TAP_STEP
    l32i a11, a2, POOL2D_AT_CHANNELS
    addi a8, a2, POOL2D_AT_FACTOR
    l32i a4, a4, 0
    ee.vldbc.8 q3, a8
    addi a9, a9, -1
1:  /* sixteen channels */
    mov a12, a5
    ee.ld.qacc_l.l.128.ip a12, 16
    ee.ld.qacc_h.l.128.ip a12, 16
    ee.ld.qacc_l.h.32.ip a12, 4
    ee.ld.qacc_h.h.32.ip a12, 12
    mov a8, a4
    ee.vld.128.xp q0, a8, a10
    loopnez a9, 2f
    ee.vmulas.s8.qacc.ld.xp q0, a8, a10, q0, q3
2:
    ee.vmulas.s8.qacc q0, q3
    ee.st.qacc_l.l.128.ip a5, 16
    ee.st.qacc_h.l.128.ip a5, 16
    ee.st.qacc_l.h.32.ip a5, 4
    ee.st.qacc_h.h.32.ip a5, 12
    addi a4, a4, 16
    addi a11, a11, -16
    bgei a11, 1, 1b
    return
    .size esp_dl_average_pool2d_sums_esp32s3, . - esp_dl_average_pool2d_sums_esp32s3

/* The average of the sum at the lower end of \sum, to the next value at a4. */
    .macro average_one sum
    slli \sum, \sum, 12
    srai \sum, \sum, 12
    mull \sum, \sum, a8
    add \sum, \sum, a9
    quou \sum, \sum, a10
    sub \sum, \sum, a11
    max \sum, \sum, a12
    min \sum, \sum, a13
    s16i \sum, a4, 0
    addi a4, a4, 2
    .endm

/* Eight of them, the upper bits of which lie at \high: a7 and a14 hold words that follow each other. */
    .macro average_half low, high
    l32i a7, a2, \low
    mov a14, a7
    average_one a14
    l32i a14, a2, \low + 4
    ssai 20
    src a7, a14, a7
    average_one a7
    srli a7, a14, 8
    average_one a7
    l32i a7, a2, \low + 8
    ssai 28
    src a14, a7, a14
    average_one a14
    l32i a14, a2, \low + 12
    ssai 16
    src a7, a14, a7
    average_one a7
    srli a7, a14, 4
    average_one a7
    l32i a7, a2, \high
    ssai 24
    src a14, a7, a14
    average_one a14
    srli a7, a7, 12
    average_one a7
    .endm

/* a2 sums, a3 how, a4 output */
    function esp_dl_average_s16_esp32s3
    l32i a8, a3, AVERAGE_AT_FACTOR
    l32i a9, a3, AVERAGE_AT_OFFSET
    l32i a10, a3, AVERAGE_AT_DIVISOR
    l32i a11, a3, AVERAGE_AT_OFFSET_RESULT
    l32i a12, a3, AVERAGE_AT_MIN
    l32i a13, a3, AVERAGE_AT_MAX
    average_half 0, 32
    average_half 16, 36
    return
    .size esp_dl_average_s16_esp32s3, . - esp_dl_average_s16_esp32s3

/* Four sums of 40 bits, their lower 32 bits at \place in place of them; the upper bits of all lie at \high. */
    .macro four_sums place, high
    l32i a9, a5, \place + 4
    l32i a10, a5, \place + 8
    l32i a11, a5, \place + 12
    l32i a12, a5, \high
    ssai 8
    src a9, a10, a9
    s32i a9, a5, \place + 4
    ssai 16
    src a10, a11, a10
    s32i a10, a5, \place + 8
    ssai 24
    src a11, a12, a11
    s32i a11, a5, \place + 12
    .endm

/* a2 input, a3 pixels, a4 bytes from one to the next, a5 sums */
    function esp_dl_average_pool2d_sums_s16_esp32s3
    movi a6, 1
    s32i a6, a5, 0
    ee.vldbc.16 q1, a5
    addi a3, a3, -1
    ee.zero.qacc
    ee.vld.128.xp q0, a2, a4
    loopnez a3, 1f
    ee.vmulas.s16.qacc.ld.xp q0, a2, a4, q0, q1
1:
    ee.vmulas.s16.qacc q0, q1
    mov a8, a5
    ee.st.qacc_l.l.128.ip a8, 16
    ee.st.qacc_h.l.128.ip a8, 16
    ee.st.qacc_l.h.32.ip a8, 4
    ee.st.qacc_h.h.32.ip a8, -36
    four_sums 0, 32
    four_sums 16, 36
    return
    .size esp_dl_average_pool2d_sums_s16_esp32s3, . - esp_dl_average_pool2d_sums_s16_esp32s3

/*
 * Windows of 2x2 or 3x3: the pointers walk through the rows.
 *
 * a2 row, a3 bytes to the next tap, a5 output, a7 bytes from the last tap to the next window's first, a8..a10 rows,
 * a11 pixels, a12 channels, a13 and a14 to the next channels, a15 the end of the first pixel's channels.
 */
    .macro small_windows size, bits=8
    l32i a4, a2, POOL2D_AT_ROWS
    l32i a8, a2, POOL2D_AT_CLAMP
    l32i a3, a2, POOL2D_AT_TAP_STEP
    l32i a5, a2, POOL2D_AT_OUTPUT
    l32i a7, a2, POOL2D_AT_BACK
    ee.vld.128.ip q6, a8, 16
    ee.vld.128.ip q7, a8, 16
    l32i a8, a4, 0
    l32i a9, a4, 4
    .if \size == 3
    l32i a10, a4, 8
    .endif
    l32i a11, a2, POOL2D_AT_PIXELS
    l32i a12, a2, POOL2D_AT_CHANNELS
    l32i a13, a2, POOL2D_AT_NEXT_INPUT
    l32i a14, a2, POOL2D_AT_NEXT_OUTPUT
    add a15, a5, a12
1:  /* sixteen channels */
    loop a11, 2f
    ee.vld.128.xp q0, a8, a3
    .if \size == 2
    ee.vld.128.xp q1, a8, a7
    ee.vld.128.xp q2, a9, a3
    ee.vmax.s\bits q0, q0, q1
    ee.vld.128.xp q3, a9, a7
    ee.vmax.s\bits q0, q0, q2
    ee.vmax.s\bits q3, q3, q6
    ee.vmax.s\bits q0, q0, q3
    .else
    ee.vld.128.xp q1, a8, a3
    ee.vld.128.xp q2, a8, a7
    ee.vmax.s\bits q0, q0, q1
    ee.vld.128.xp q3, a9, a3
    ee.vmax.s\bits q0, q0, q2
    ee.vld.128.xp q1, a9, a3
    ee.vmax.s\bits q0, q0, q3
    ee.vld.128.xp q2, a9, a7
    ee.vmax.s\bits q0, q0, q1
    ee.vld.128.xp q3, a10, a3
    ee.vmax.s\bits q0, q0, q2
    ee.vld.128.xp q1, a10, a3
    ee.vmax.s\bits q0, q0, q3
    ee.vld.128.xp q2, a10, a7
    ee.vmax.s\bits q0, q0, q1
    ee.vmax.s\bits q2, q2, q6
    ee.vmax.s\bits q0, q0, q2
    .endif
    ee.vmin.s\bits q0, q0, q7
    ee.vst.128.xp q0, a5, a12
2:
    add a8, a8, a13
    add a9, a9, a13
    .if \size == 3
    add a10, a10, a13
    .endif
    add a5, a5, a14
    bne a5, a15, 1b
    return
    .endm

    function esp_dl_max_pool2d_row_2x2_esp32s3
    small_windows 2
    .size esp_dl_max_pool2d_row_2x2_esp32s3, . - esp_dl_max_pool2d_row_2x2_esp32s3

    function esp_dl_max_pool2d_row_3x3_esp32s3
    small_windows 3
    .size esp_dl_max_pool2d_row_3x3_esp32s3, . - esp_dl_max_pool2d_row_3x3_esp32s3

    function esp_dl_max_pool2d_s16_row_2x2_esp32s3
    small_windows 2, 16
    .size esp_dl_max_pool2d_s16_row_2x2_esp32s3, . - esp_dl_max_pool2d_s16_row_2x2_esp32s3

    function esp_dl_max_pool2d_s16_row_3x3_esp32s3
    small_windows 3, 16
    .size esp_dl_max_pool2d_s16_row_3x3_esp32s3, . - esp_dl_max_pool2d_s16_row_3x3_esp32s3
