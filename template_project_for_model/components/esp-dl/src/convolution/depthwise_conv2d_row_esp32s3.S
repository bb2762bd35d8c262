/*
 * Rows of a depthwise convolution for the vector unit of the ESP32-S3: sixteen channels of all pixels, then the next.
 * What they compute, and the data they read, is said in esp_dl_esp32s3.h; depthwise_conv2d_row_esp32s3.c is the same in
 * C.
 */
#include "common/lanes_esp32s3.inc"

/* Fields of esp_dl_depthwise_row_t. */
#define ROWS 0
#define ROW_COUNT 4
#define TAPS 8
#define TAP_STEP 12
#define STEP 16
#define WEIGHTS 20
#define OUTPUT 24
#define PIXELS 28
#define CHANNELS 32
#define MIN 36
#define MAX 40

/*
 * Windows of any size. whole: all is at multiples of 16.
 *
 * a2 row, a3 offset of the window, a4 weights, a5 output, a6 head, a7 row of the window, a8 input, a9 taps, a10 bytes to
 * the next tap, a11 channels left, a12 head, a14 rows left, a15 pixels left.
 */
    .macro any_window whole
1:  /* sixteen channels */
    l32i a14, a2, CHANNELS
    l32i a5, a2, OUTPUT
    sub a3, a14, a11
    add a5, a5, a3
    l32i a15, a2, PIXELS
2:  /* a pixel */
    mov a4, a6
    mov a12, a6
    load_head
    l32i a7, a2, ROWS
    l32i a14, a2, ROW_COUNT
3:  /* a row of the window */
    l32i a8, a7, 0
    addi a14, a14, -1
    add a8, a8, a3
    addi a7, a7, 4
    loop a9, 4f
    .if \whole
    ee.vld.128.xp q0, a8, a10
    ee.vld.128.ip q2, a4, 16
    .else
    ee.ld.128.usar.ip q0, a8, 16
    ee.vld.128.xp q1, a8, a10
    ee.vld.128.ip q2, a4, 16
    ee.src.q q0, q0, q1
    .endif
    ee.vmulas.s8.qacc q0, q2
4:
    bnez a14, 3b
    ee.vld.128.ip q0, a4, 16
    ee.vld.128.ip q1, a4, 16
    shift_lanes q5
    ee.vmin.s8 q2, q2, q7
    mov a7, a5
    .if \whole
    ee.vst.128.ip q2, a5, 16
    .else
    store_some
    .endif
    l32i a14, a2, CHANNELS
    l32i a12, a2, STEP
    addi a15, a15, -1
    add a5, a7, a14
    add a3, a3, a12
    bnez a15, 2b
    mov a6, a4
    addi a11, a11, -16
    bgei a11, 1, 1b
    return
    .endm

/*
 * Windows of 3x3, all at multiples of 16: the pointers walk through the rows.
 *
 * a2 row, a3 bytes to the next tap, a4 weights, a5 output, a6 head, a7 bytes from the last tap to the next window's
 * first, a8..a10 rows, a12 channels, a13, a14 the first shifts, q4, q5 their masks, a11 number of shifts or a further
 * one; on the stack the channels done.
 */

/* Another shift, by byte \at of the head, for the channels of the mask that is next. */
    .macro shift_further at
    l8ui a11, a6, HEAD_SHIFTS + \at
    ee.vld.128.ip q0, a4, 16
    ee.srcmb.s8.qacc q3, a11, 0
    ee.andq q3, q3, q0
    ee.orq q2, q2, q3
    .endm

    .macro three shifts
    bnei a11, \shifts, 3f
    .if \shifts > 1
    addi a4, a6, 48 + 72
    addi a4, a4, 72
    ee.vld.128.ip q4, a4, 16
    ee.vld.128.ip q5, a4, 16
    .endif
    mov a4, a6
    loop a15, 2f
    load_head
    ee.vld.128.xp q0, a8, a3
    ee.vld.128.ip q2, a4, 16
    ee.vld.128.ip q3, a4, 16
    ee.vmulas.s8.qacc.ld.xp q1, a8, a3, q0, q2
    ee.vld.128.ip q2, a4, 16
    ee.vmulas.s8.qacc.ld.xp q0, a8, a7, q1, q3
    ee.vld.128.ip q3, a4, 16
    ee.vmulas.s8.qacc.ld.xp q1, a9, a3, q0, q2
    ee.vld.128.ip q2, a4, 16
    ee.vmulas.s8.qacc.ld.xp q0, a9, a3, q1, q3
    ee.vld.128.ip q3, a4, 16
    ee.vmulas.s8.qacc.ld.xp q1, a9, a7, q0, q2
    ee.vld.128.ip q2, a4, 16
    ee.vmulas.s8.qacc.ld.xp q0, a10, a3, q1, q3
    ee.vld.128.ip q3, a4, 16
    ee.vmulas.s8.qacc.ld.xp q1, a10, a3, q0, q2
    ee.vld.128.ip q2, a4, 16
    ee.vmulas.s8.qacc.ld.xp q0, a10, a7, q1, q3
    ee.vmulas.s8.qacc q0, q2
    ee.srcmb.s8.qacc q2, a13, 0
    .if \shifts > 1
    ee.andq q2, q2, q4
    ee.srcmb.s8.qacc q3, a14, 0
    ee.andq q3, q3, q5
    ee.orq q2, q2, q3
    .endif
    .if \shifts > 2
    addi a4, a4, 32
    .endif
    .irp at, 2, 3, 4, 5, 6
    .if \shifts > \at
    shift_further \at
    .endif
    .endr
    ee.vmax.s8 q2, q2, q6
    ee.vmin.s8 q2, q2, q7
    mov a4, a6
    ee.vst.128.xp q2, a5, a12
2:
    .if \shifts > 1
    addi a6, a6, 16 * \shifts
    .endif
    j .Lnext
3:
    .endm

    function esp_dl_depthwise_conv2d_row_esp32s3
    l32i a6, a2, WEIGHTS
    l32i a9, a2, TAPS
    l32i a10, a2, TAP_STEP
    l32i a11, a2, CHANNELS
    l32i a7, a2, ROWS
    l32i a14, a2, ROW_COUNT
    addi a8, a2, MIN
    ee.vldbc.8 q6, a8
    addi a8, a2, MAX
    ee.vldbc.8 q7, a8
    /* Is everything a multiple of 16? */
    l32i a8, a2, OUTPUT
    l32i a15, a2, STEP
    or a8, a8, a10
    or a8, a8, a11
    or a8, a8, a15
    addx4 a12, a14, a7
10:
    l32i a3, a7, 0
    addi a7, a7, 4
    or a8, a8, a3
    bne a7, a12, 10b
    extui a8, a8, 0, 4
    beqz a8, .Lwhole
    addi a10, a10, -16
    any_window 0
.Lwhole:
    bnei a14, 3, .Lany
    bnei a9, 3, .Lany
    mov a3, a10
    mov a12, a11
    slli a7, a3, 1
    sub a7, a15, a7
    movi a15, 0
    s32i a15, a1, 16
.Lblock: /* sixteen channels */
    l32i a14, a2, ROWS
    l32i a15, a1, 16
    l32i a5, a2, OUTPUT
    l32i a8, a14, 0
    l32i a9, a14, 4
    l32i a10, a14, 8
    add a5, a5, a15
    add a8, a8, a15
    add a9, a9, a15
    add a10, a10, a15
    l8ui a13, a6, HEAD_SHIFTS
    l8ui a14, a6, HEAD_SHIFTS + 1
    l8ui a11, a6, HEAD_COUNT
    l32i a15, a2, PIXELS
    three 1
    three 2
    three 3
    three 4
    three 5
    three 6
    three 7
.Lnext: /* a6: the head, or the masks, of the block that is done */
    l32i a15, a1, 16
    addi a6, a6, 48 + 72
    addi a6, a6, 72
    addi a15, a15, 16
    s32i a15, a1, 16
    bge a15, a12, .Ldone
    j .Lblock
.Ldone:
    return
.Lany:
    any_window 1
    .size esp_dl_depthwise_conv2d_row_esp32s3, . - esp_dl_depthwise_conv2d_row_esp32s3
