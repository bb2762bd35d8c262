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
 * Windows of 3x3, all at multiples of 16: the pointers walk through the rows.
 *
 * a2 as for shift_held, a3 bytes to the next tap, a4 weights, a5 output, a6 head, while pixels are computed the way back
 * to it, a7 bytes from the last tap to the next window's first, a8..a10 rows, a11 number of shifts, a12 channels; q0,
 * q1 input, q2, q3 weights. The first tap of the next window is loaded in vain at the end of a row.
 */
#define STACK_PIXELS 16
#define STACK_INPUT 20
#define STACK_OUTPUT 24
#define STACK_END 28
#define HEAD_AND_WEIGHTS (48 + 9 * 16)

/* The weight of tap \number, if it is read for every pixel: at the last one a4 goes back to the head, or on to masks. */
    .macro next_weight number, last, to, shifts, relu
    .if \number < \last
    ee.vld.128.ip \to, a4, 16
    .elseif \number == \last
    .if \shifts < 5
    ee.vld.128.xp \to, a4, a6
    .elseif \relu
    ee.vld.128.ip \to, a4, 16 * 5 /* to the fifth mask */
    .else
    ee.vld.128.ip \to, a4, 16 * 4 /* to the fourth */
    .endif
    .endif
    .endm

/* Weights of taps after `last` stay in registers that masks leave free. */
    .macro three shifts, relu, last=8, tap5=q3, tap6=q2, tap7=q3, tap8=q2
    bnei a11, \shifts, 3f
    .if \last < 8
    movi a4, 48 + 16 * (\last + 1)
    add a4, a4, a6
    .irp tap, \tap5, \tap6, \tap7, \tap8
    .ifnc \tap, q2
    .ifnc \tap, q3
    ee.vld.128.ip \tap, a4, 16
    .endif
    .endif
    .endr
    .if \relu
    addi a4, a4, 16
    .endif
    .else
    .if \relu
    movi a4, HEAD_AND_WEIGHTS + 16
    .else
    movi a4, HEAD_AND_WEIGHTS
    .endif
    add a4, a4, a6
    .endif
    hold_shifts \shifts, \relu, a6
    l32i a11, a1, STACK_PIXELS
    mov a4, a6
    .if \shifts < 5
    movi a6, -48 - 16 * \last
    .endif
    ee.vld.128.xp q0, a8, a3
    loop a11, 2f
    load_head
    ee.vld.128.ip q2, a4, 16
    ee.vld.128.ip q3, a4, 16
    ee.vmulas.s8.qacc.ld.xp q1, a8, a3, q0, q2
    ee.vld.128.ip q2, a4, 16
    ee.vmulas.s8.qacc.ld.xp q0, a8, a7, q1, q3
    ee.vld.128.ip q3, a4, 16
    ee.vmulas.s8.qacc.ld.xp q1, a9, a3, q0, q2
    next_weight 4, \last, q2, \shifts, \relu
    ee.vmulas.s8.qacc.ld.xp q0, a9, a3, q1, q3
    next_weight 5, \last, q3, \shifts, \relu
    ee.vmulas.s8.qacc.ld.xp q1, a9, a7, q0, q2
    next_weight 6, \last, q2, \shifts, \relu
    ee.vmulas.s8.qacc.ld.xp q0, a10, a3, q1, \tap5
    next_weight 7, \last, q3, \shifts, \relu
    ee.vmulas.s8.qacc.ld.xp q1, a10, a3, q0, \tap6
    next_weight 8, \last, q2, \shifts, \relu
    ee.vmulas.s8.qacc.ld.xp q0, a10, a7, q1, \tap7
    ee.vmulas.s8.qacc.ld.xp q0, a8, a3, q0, \tap8
    .if \shifts < 5
    shift_held \shifts, \relu, q3, a4, a4
    .else
    shift_held \shifts, \relu, q3, a6, a4
    mov a4, a6
    .endif
    ee.vst.128.xp q2, a5, a12
2:
    .if \shifts > 1
    movi a6, HEAD_AND_WEIGHTS + 16 * \shifts
    .else
    movi a6, HEAD_AND_WEIGHTS
    .endif
    j 1b
3:
    .endm

/* a4: the head of the block that is done, a6: how far from there to the next. */
    .macro next_block
    l32i a14, a1, STACK_OUTPUT
    l32i a13, a1, STACK_INPUT
    l32i a15, a1, STACK_END
    add a5, a5, a14
    sub a8, a8, a3
    beq a5, a15, .Lthree_done
    add a6, a4, a6
    add a8, a8, a13
    add a9, a9, a13
    add a10, a10, a13
    .endm

    function esp_dl_depthwise_conv2d_row_3x3_esp32s3
    l32i a4, a2, DEPTHWISE_AT_ROWS
    l32i a13, a2, DEPTHWISE_AT_PIXELS
    l32i a14, a2, DEPTHWISE_AT_NEXT_INPUT
    l32i a15, a2, DEPTHWISE_AT_NEXT_OUTPUT
    l32i a8, a4, 0
    l32i a9, a4, 4
    l32i a10, a4, 8
    l32i a12, a2, DEPTHWISE_AT_CHANNELS
    s32i a13, a1, STACK_PIXELS
    s32i a14, a1, STACK_INPUT
    s32i a15, a1, STACK_OUTPUT
    l32i a5, a2, DEPTHWISE_AT_OUTPUT
    l32i a3, a2, DEPTHWISE_AT_TAP_STEP
    add a15, a5, a12
    l32i a6, a2, DEPTHWISE_AT_WEIGHTS
    l32i a7, a2, DEPTHWISE_AT_BACK
    l32i a13, a2, DEPTHWISE_AT_MIN_MASKS
    s32i a15, a1, STACK_END
    l8ui a11, a6, HEAD_COUNT
    beqz a13, .Lclamp
    movi a2, 0
    j .Lrelu
1:
    next_block
    l8ui a11, a6, HEAD_COUNT
.Lrelu:
    three 1, 1, 4, q4, q5, q6, q7
    three 2, 1, 5, q3, q5, q6, q7
    three 3, 1, 6, q3, q2, q6, q7
    three 4, 1, 7, q3, q2, q3, q7
    three 5, 1
    three 6, 1
    three 7, 1
.Lclamp:
    l32i a2, a2, DEPTHWISE_AT_CLAMP
    j .Lclamped
1:
    next_block
    l8ui a11, a6, HEAD_COUNT
.Lclamped:
    three 1, 0, 6, q3, q2, q4, q5
    three 2, 0
    three 3, 0, 7, q3, q2, q3, q7
    three 4, 0
    three 5, 0
    three 6, 0
    three 7, 0
.Lthree_done:
    return
    .size esp_dl_depthwise_conv2d_row_3x3_esp32s3, . - esp_dl_depthwise_conv2d_row_3x3_esp32s3

/*
 * Windows of 3x3 and 8 channels, 8 bytes from one to the next: two pixels side by side are sixteen lanes. The first
 * taps of a pair lie at multiples of 16, or, where they are shifted, 8 behind one.
 *
 * a4 weights, a5 output, a8..a10 rows, a11 pairs left, a12 head; a7, a13, a14 change. q0, q1, q3 input, q4 weights.
 */

/* A row of the window. mask: where the last load, of what lies behind the weights of the row, goes. */
    .macro pair_row row, shifted, mask
    ee.vld.128.ip q0, \row, 16
    .if \shifted
    ee.vld.128.ip q1, \row, 16
    ee.vld.128.ip q3, \row, -16
    ee.src.q q0, q0, q1
    ee.vmulas.s8.qacc.ld.ip q4, a4, 16, q0, q4
    ee.src.q q3, q1, q3
    ee.vmulas.s8.qacc.ld.ip q4, a4, 16, q1, q4
    ee.vmulas.s8.qacc.ld.ip \mask, a4, 16, q3, q4
    .else
    ee.vld.128.ip q1, \row, 0
    ee.src.q q3, q0, q1
    ee.vmulas.s8.qacc.ld.ip q4, a4, 16, q0, q4
    ee.vmulas.s8.qacc.ld.ip q4, a4, 16, q3, q4
    ee.vmulas.s8.qacc.ld.ip \mask, a4, 16, q1, q4
    .endif
    .endm

    .macro pairs shifted
1:
    mov a4, a12
    load_head
    ee.vld.128.ip q4, a4, 16
    pair_row a8, \shifted, q4
    pair_row a9, \shifted, q4
    pair_row a10, \shifted, q0
    ee.vld.128.ip q1, a4, 16
    shift_lanes q3
    ee.vmin.s8 q2, q2, q7
    addi a11, a11, -1
    ee.vst.128.ip q2, a5, 16
    bnez a11, 1b
    return
    .endm

    function esp_dl_depthwise_conv2d_row_pairs_esp32s3
    l32i a4, a2, DEPTHWISE_AT_ROWS
    l32i a11, a2, DEPTHWISE_AT_PIXELS
    l32i a5, a2, DEPTHWISE_AT_OUTPUT
    l32i a12, a2, DEPTHWISE_AT_WEIGHTS
    l32i a7, a2, DEPTHWISE_AT_CLAMP
    l32i a8, a4, 0
    l32i a9, a4, 4
    l32i a10, a4, 8
    addi a13, a12, 8
    ee.ld.128.usar.ip q0, a13, 0 /* from here on what is put together begins in the middle */
    ee.vld.128.ip q6, a7, 16
    ee.vld.128.ip q7, a7, 16
    /* Rows that lie outside of the image are at multiples of 16. */
    or a7, a8, a9
    or a7, a7, a10
    bbsi a7, 3, .Lshifted
    pairs 0
.Lshifted:
    pairs 1
    .size esp_dl_depthwise_conv2d_row_pairs_esp32s3, . - esp_dl_depthwise_conv2d_row_pairs_esp32s3
