/*
 * Rows of a depthwise convolution for the vector unit of the ESP32-S3: sixteen channels of all pixels, then the next.
 * What they compute, and the data they read, is said in esp_dl_esp32s3.h; depthwise_conv2d_row_esp32s3.c is the same in
 * C.
 */
#include "common/lanes_esp32s3.inc"
#include "convolution/depthwise_conv2d_row_esp32s3.h"

/*
 * Windows of any size. whole: all is at multiples of 16.
 *
 * a2 row, a3 offset of the window, a4 weights, a5 output, a6 head, a7 row of the window, a8 input, a9 taps, a10 bytes to
 * the next tap, a11 channels left, a12 head, a14 rows left, a15 pixels left.
 */
    .macro any_window whole
    l32i a8, a2, DEPTHWISE_AT_CLAMP
    ee.vld.128.ip q6, a8, 16
    ee.vld.128.ip q7, a8, 16
1:  /* sixteen channels */
    l32i a14, a2, DEPTHWISE_AT_CHANNELS
    l32i a5, a2, DEPTHWISE_AT_OUTPUT
    sub a3, a14, a11
    add a5, a5, a3
    l32i a15, a2, DEPTHWISE_AT_PIXELS
2:  /* a pixel */
    mov a4, a6
    mov a12, a6
    load_head
    l32i a7, a2, DEPTHWISE_AT_ROWS
    l32i a14, a2, DEPTHWISE_AT_ROW_COUNT
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
    end_pixel \whole, DEPTHWISE_AT_CHANNELS, DEPTHWISE_AT_STEP
    addi a15, a15, -1
    bnez a15, 2b
    mov a6, a4
    addi a11, a11, -16
    bgei a11, 1, 1b
    return
    .endm

    function esp_dl_depthwise_conv2d_row_esp32s3
    l32i a6, a2, DEPTHWISE_AT_WEIGHTS
    l32i a9, a2, DEPTHWISE_AT_TAPS
    l32i a10, a2, DEPTHWISE_AT_TAP_STEP
    l32i a11, a2, DEPTHWISE_AT_CHANNELS
    l32i a14, a2, DEPTHWISE_AT_ROW_COUNT
    extui a8, a11, 0, 4
    beqz a8, .Lwhole
    addi a10, a10, -16
    any_window 0
.Lwhole:
    any_window 1
    .size esp_dl_depthwise_conv2d_row_esp32s3, . - esp_dl_depthwise_conv2d_row_esp32s3

/*
 * Windows of 3x3, all at multiples of 16: sixteen channels of several rows of pixels, then the next. A window and the
 * next one share a tap of each row (see the order of the taps in esp_dl_esp32s3.h): those of the last two rows stay in
 * q1 and q0 from one pixel to the next.
 *
 * Shifts and masks are held. The result is the least of all shifts' values, each not below its mask: the lower bound for
 * the channels that have this shift, 127 for others. With two to four shifts the first mask shares q4 with a weight. A
 * weight that has its register for itself is loaded once, others for every pixel, as far as they can together with
 * products, maxima and minima.
 *
 * a2 bounds, a3 and a7 bytes from tap to tap (a7 first), a4 weights, a5 output, a6 head, a8..a10 rows, a11 a shift that is not held,
 * a12 bytes to the next pixel's output, a13..a15 shifts; q0, q1 input, q2 result, q2, q3 weights.
 */
#define STACK_ROWS 16
#define STACK_NEXT_ROW 20
#define STACK_ROWS_END 24
#define STACK_OFFSET 28 /* of the channels */
#define STACK_SHARED 32 /* of their shared tap in a row */
#define STACK_OUTPUT 36
#define STACK_CHANNELS 40
#define STACK_PIXELS 44
#define STACK_LIST_STEP 48
#define WEIGHTS_BYTES (9 * 16)

/* The weight of a tap that no register holds when a pixel begins; `held` of them are. */
    .macro three_weight tap, held, to
    .if \tap > \held
    ee.vld.128.ip \to, a4, 16
    .endif
    .endm

/* What a shift more makes of the sums, in q2. last: 1: the last one, q3 takes a weight of the next pixel; 2: without. */
    .macro three_shift at, last
    .if \at == 1
    ee.srcmb.s8.qacc q3, a14, 0
    ee.vmax.s8 q3, q3, q5
    .elseif \at == 2
    ee.srcmb.s8.qacc q3, a15, 0
    ee.vmax.s8 q3, q3, q6
    .else
    l8ui a11, a6, HEAD_SHIFTS + \at
    ee.srcmb.s8.qacc q3, a11, 0
    .if \last == 0
    ee.vmax.s8.ld.incp q7, a4, q3, q3, q7
    .else
    ee.vmax.s8 q3, q3, q7
    .if \at > 3
    addi a4, a4, -16 * (\at - 2)
    ee.vld.128.ip q7, a4, -16 * 12 /* the fourth mask again, and back to the weights */
    .endif
    .endif
    .endif
    .if \last == 1
    ee.vmin.s8.ld.incp q3, a4, q2, q2, q3
    .else
    ee.vmin.s8 q2, q2, q3
    .endif
    .endm

/*
 * held: weights that a register holds when a pixel begins, `kept` of them always. capped: the upper bound is below 127.
 */
    .macro three shifts, capped, kept, held, w1, w2, w3, w4, w5, w6, w7, w8, w9
    bnei a11, \shifts, 3f
    l8ui a13, a6, HEAD_SHIFTS
    .if \shifts > 1
    l8ui a14, a6, HEAD_SHIFTS + 1
    .if \shifts < 5
    movi a4, 48 + WEIGHTS_BYTES + 16
    add a4, a4, a6
    .else
    movi a4, 48 + WEIGHTS_BYTES
    add a4, a4, a6
    ee.vld.128.ip q4, a4, 16
    .endif
    ee.vld.128.ip q5, a4, 16
    .else
    ee.vld.128.ip q4, a2, -16
    ee.vld.128.ip q4, a2, 16 /* the lower bound */
    .endif
    .if \shifts > 2
    l8ui a15, a6, HEAD_SHIFTS + 2
    ee.vld.128.ip q6, a4, 16
    .endif
    .if \shifts > 3
    ee.vld.128.ip q7, a4, 16
    .endif
    addi a4, a6, 48
    .set .Lheld, 0
    .irp weight, \w1, \w2, \w3, \w4
    .if .Lheld < \held
    ee.vld.128.ip \weight, a4, 16
    .set .Lheld, .Lheld + 1
    .endif
    .endr
    l32i a11, a1, STACK_ROWS
1:  /* a row of pixels, whose rows a11 lists */
    l32i a10, a1, STACK_LIST_STEP
    l32i a8, a11, 0
    l32i a9, a11, 4
    add a10, a10, a11
    s32i a10, a1, STACK_NEXT_ROW
    l32i a10, a11, 8
    l32i a11, a1, STACK_SHARED
    add a8, a8, a11
    add a9, a9, a11
    add a10, a10, a11
    ee.vld.128.xp q0, a9, a7
    ee.vld.128.xp q1, a10, a7
    l32i a11, a1, STACK_PIXELS
    loop a11, 2f
    ee.ld.qacc_l.l.128.ip a6, 16
    ee.ld.qacc_h.l.128.ip a6, 16
    ee.ld.qacc_l.h.32.ip a6, 4
    ee.ld.qacc_h.h.32.ip a6, -36
    three_weight 2, \held, \w2
    ee.vmulas.s8.qacc.ld.xp q1, a8, a7, q1, \w1
    three_weight 3, \held, \w3
    ee.vmulas.s8.qacc.ld.xp q0, a8, a3, q0, \w2
    three_weight 4, \held, \w4
    ee.vmulas.s8.qacc.ld.ip q1, a8, 0, q1, \w3
    three_weight 5, \held, \w5
    ee.vmulas.s8.qacc.ld.xp q0, a9, a3, q0, \w4
    three_weight 6, \held, \w6
    ee.vmulas.s8.qacc.ld.xp q1, a10, a3, q1, \w5
    three_weight 7, \held, \w7
    ee.vmulas.s8.qacc.ld.xp q0, a9, a7, q0, \w6
    three_weight 8, \held, \w8
    ee.vmulas.s8.qacc.ld.xp q1, a10, a7, q1, \w7
    .if \shifts == 1
    ee.vmulas.s8.qacc.ld.ip \w9, a4, 16 * (\kept - 8), q0, \w8
    ee.vmulas.s8.qacc q1, \w9
    .elseif \shifts < 5
    ee.vmulas.s8.qacc.ld.ip \w9, a4, 16, q0, \w8
    ee.vmulas.s8.qacc.ld.ip q4, a4, 16 * (\kept - 9), q1, \w9
    .else
    ee.vmulas.s8.qacc.ld.ip \w9, a4, 16 * 5, q0, \w8
    ee.vmulas.s8.qacc q1, \w9
    .endif
    ee.srcmb.s8.qacc q2, a13, 0
    .if \shifts == 1 && \capped == 0
    ee.vmax.s8.ld.incp q3, a4, q2, q2, q4
    .elseif \shifts > 1 && \shifts < 5
    ee.vmax.s8.ld.incp q4, a4, q2, q2, q4
    .else
    ee.vmax.s8 q2, q2, q4
    .endif
    .irp at, 1, 2, 3, 4, 5, 6
    .if \at < \shifts - 1
    three_shift \at, 0
    .elseif \at == \shifts - 1
    three_shift \at, 1 + \capped
    .endif
    .endr
    .if \capped
    ee.vld.128.ip q3, a2, 0
    ee.vmin.s8.ld.incp q3, a4, q2, q2, q3
    .endif
    ee.vst.128.xp q2, a5, a12
2:
    l32i a11, a1, STACK_NEXT_ROW
    l32i a8, a1, STACK_ROWS_END
    bne a11, a8, 1b
    .if \shifts > 1
    movi a11, 48 + WEIGHTS_BYTES + 16 * \shifts
    .else
    movi a11, 48 + WEIGHTS_BYTES
    .endif
    j 9b
3:
    .endm

    .macro threes capped
9:  /* sixteen channels are done; a11: from their head to the next */
    l32i a8, a1, STACK_OFFSET
    l32i a9, a1, STACK_SHARED
    l32i a10, a1, STACK_CHANNELS
    l32i a5, a1, STACK_OUTPUT
    addi a8, a8, 16
    addi a9, a9, 16
    beq a8, a10, .Lthree_done
    s32i a8, a1, STACK_OFFSET
    s32i a9, a1, STACK_SHARED
    add a5, a5, a8
    add a6, a6, a11
8:
    l8ui a11, a6, HEAD_COUNT
    three 2, \capped, 2, 4, q6, q7, q4, q3, q2, q3, q2, q3, q2
    three 1, \capped, 3, 4, q5, q6, q7, q3, q2, q3, q2, q3, q2
    three 3, \capped, 1, 3, q7, q4, q3, q2, q3, q2, q3, q2, q3
    three 4, \capped, 0, 2, q4, q3, q2, q3, q2, q3, q2, q3, q2
    .irp shifts, 5, 6, 7
    three \shifts, \capped, 0, 1, q3, q2, q3, q2, q3, q2, q3, q2, q3
    .endr
    .endm

    function esp_dl_depthwise_conv2d_rows_3x3_esp32s3
    l32i a4, a2, DEPTHWISE_AT_ROWS
    l32i a13, a2, DEPTHWISE_AT_PIXEL_ROWS
    l32i a8, a2, DEPTHWISE_AT_SHARED
    l32i a5, a2, DEPTHWISE_AT_OUTPUT
    l32i a10, a2, DEPTHWISE_AT_CHANNELS
    l32i a14, a2, DEPTHWISE_AT_PIXELS
    l32i a15, a2, DEPTHWISE_AT_LIST_STEP
    movi a9, 0
    mull a13, a13, a15
    s32i a15, a1, STACK_LIST_STEP
    add a13, a13, a4
    s32i a4, a1, STACK_ROWS
    s32i a13, a1, STACK_ROWS_END
    s32i a9, a1, STACK_OFFSET
    s32i a8, a1, STACK_SHARED
    s32i a5, a1, STACK_OUTPUT
    s32i a10, a1, STACK_CHANNELS
    s32i a14, a1, STACK_PIXELS
    l32i a7, a2, DEPTHWISE_AT_FIRST_STEP
    l32i a3, a2, DEPTHWISE_AT_SECOND_STEP
    l32i a12, a2, DEPTHWISE_AT_OUTPUT_STEP
    l32i a6, a2, DEPTHWISE_AT_WEIGHTS
    l32i a13, a2, DEPTHWISE_AT_CAPPED
    l32i a2, a2, DEPTHWISE_AT_CLAMP
    addi a2, a2, 16
    bnez a13, .Lthree_capped
    j 8f
    threes 0
.Lthree_capped:
    j 8f
    threes 1
.Lthree_done:
    return
    .size esp_dl_depthwise_conv2d_rows_3x3_esp32s3, . - esp_dl_depthwise_conv2d_rows_3x3_esp32s3
