/*
 * Rows of a depthwise convolution of 5x5 for the vector unit of the ESP32-S3, all at multiples of 16: sixteen channels of
 * several rows of pixels, then the next, as windows of 3x3 in depthwise_conv2d_row_esp32s3.S.
 *
 * Shifts and masks are held, masks are bounds (esp_dl_esp32s3.h), and so are the first weights where registers are left:
 * every other tap takes two instructions, the load of a weight and the product, which loads the input of the tap after
 * the next.
 *
 * a2 the greatest value, or a shift that is not held, a3 bytes from tap to tap, a4 weights, a5 output, a6 head, a7 from a
 * row's last tap to the next window's first, a8..a12 rows, a13, a14 shifts, a15 bytes to the next pixel's output; q0, q1
 * input, q2, q3 weights, result.
 */
#include "common/lanes_esp32s3.inc"
#include "convolution/depthwise_conv2d_row_esp32s3.h"

#define STACK_ROWS 16
#define STACK_NEXT_ROW 20
#define STACK_ROWS_END 24
#define STACK_OFFSET 28 /* of the channels in a row */
#define STACK_OUTPUT 32
#define STACK_CHANNELS 36
#define STACK_PIXELS 40
#define STACK_LIST_STEP 44
#define STACK_MAX 48
#define TAPS 25
#define WEIGHTS_BYTES (TAPS * 16)

/* The weight of a tap that no register holds when a pixel begins; `held` of them are. */
    .macro five_weight tap, held
    .if (\tap) > \held
    .if ((\tap) - \held) & 1
    ee.vld.128.ip q2, a4, 16
    .else
    ee.vld.128.ip q3, a4, 16
    .endif
    .endif
    .endm

    .macro five_multiply tap, weight, row, step
    .if \tap > TAPS - 2
    .if \tap & 1
    /* Back to the first weight that is not held, or on to the masks that are not. */
    ee.vmulas.s8.qacc.ld.ip q1, a4, \step, q0, \weight
    .else
    ee.vmulas.s8.qacc q1, \weight
    .endif
    .elseif \tap & 1
    ee.vmulas.s8.qacc.ld.xp q0, \row, \step, q0, \weight
    .else
    ee.vmulas.s8.qacc.ld.xp q1, \row, \step, q1, \weight
    .endif
    .endm

/* The product of a tap; own: the register that holds its weight, if one does; row, step: to load the tap after the next. */
    .macro five_tap tap, held, own, row, step
    .if \tap < TAPS
    five_weight (\tap + 1), \held
    .endif
    .if \tap <= \held
    five_multiply \tap, \own, \row, \step
    .elseif (\tap - \held) & 1
    five_multiply \tap, q2, \row, \step
    .else
    five_multiply \tap, q3, \row, \step
    .endif
    .endm

/* What a shift more makes of the sums, in q2. */
    .macro five_shift at, shift, mask
    ee.srcmb.s8.qacc q3, \shift, 0
    ee.vmax.s8 q3, q3, \mask
    ee.vmin.s8 q2, q2, q3
    .endm

/* held: weights in registers, w1 to w3; max: the register of the greatest value, if it is below 127 and one is left. */
    .macro five shifts, capped, max, held, w1, w2, w3
    bnei a13, \shifts, 3f
    l8ui a13, a6, HEAD_SHIFTS
    .if \shifts > 1
    l8ui a14, a6, HEAD_SHIFTS + 1
    movi a4, 48 + WEIGHTS_BYTES
    add a4, a4, a6
    ee.vld.128.ip q4, a4, 16
    ee.vld.128.ip q5, a4, 16
    .if \shifts > 2
    ee.vld.128.ip q6, a4, 16
    .endif
    .if \shifts == 4
    ee.vld.128.ip q7, a4, 16
    .endif
    .else
    l32i a4, a1, STACK_MAX
    addi a4, a4, -16
    ee.vld.128.ip q4, a4, 0 /* the lower bound */
    .endif
    .if \capped && \shifts < 4
    l32i a4, a1, STACK_MAX
    ee.vld.128.ip \max, a4, 0
    .endif
    addi a4, a6, 48
    .set .Lheld, 0
    .irp weight, \w1, \w2, \w3
    .if .Lheld < \held
    ee.vld.128.ip \weight, a4, 16
    .set .Lheld, .Lheld + 1
    .endif
    .endr
    l32i a8, a1, STACK_ROWS
1:  /* a row of pixels, whose rows a8 lists */
    l32i a2, a1, STACK_LIST_STEP
    l32i a9, a8, 4
    add a2, a2, a8
    l32i a10, a8, 8
    s32i a2, a1, STACK_NEXT_ROW
    l32i a2, a1, STACK_OFFSET
    l32i a11, a8, 12
    l32i a12, a8, 16
    l32i a8, a8, 0
    add a9, a9, a2
    add a10, a10, a2
    add a11, a11, a2
    add a12, a12, a2
    add a8, a8, a2
    l32i a2, a1, STACK_PIXELS
    loop a2, 2f
    ee.vld.128.xp q0, a8, a3
    ee.ld.qacc_l.l.128.ip a6, 16
    ee.ld.qacc_h.l.128.ip a6, 16
    ee.ld.qacc_l.h.32.ip a6, 4
    ee.ld.qacc_h.h.32.ip a6, -36
    five_weight 1, \held
    ee.vld.128.xp q1, a8, a3
    five_tap 1, \held, \w1, a8, a3
    five_tap 2, \held, \w2, a8, a3
    five_tap 3, \held, \w3, a8, a7
    five_tap 4, \held, q2, a9, a3
    five_tap 5, \held, q2, a9, a3
    five_tap 6, \held, q2, a9, a3
    five_tap 7, \held, q2, a9, a3
    five_tap 8, \held, q2, a9, a7
    five_tap 9, \held, q2, a10, a3
    five_tap 10, \held, q2, a10, a3
    five_tap 11, \held, q2, a10, a3
    five_tap 12, \held, q2, a10, a3
    five_tap 13, \held, q2, a10, a7
    five_tap 14, \held, q2, a11, a3
    five_tap 15, \held, q2, a11, a3
    five_tap 16, \held, q2, a11, a3
    five_tap 17, \held, q2, a11, a3
    five_tap 18, \held, q2, a11, a7
    five_tap 19, \held, q2, a12, a3
    five_tap 20, \held, q2, a12, a3
    five_tap 21, \held, q2, a12, a3
    five_tap 22, \held, q2, a12, a3
    five_tap 23, \held, q2, a12, a7
    five_tap 24, \held, q2
    .if \shifts < 5
    five_tap 25, \held, q2, a4, (16 * (\held - TAPS))
    .else
    five_tap 25, \held, q2, a4, (16 * 3)
    .endif
    ee.srcmb.s8.qacc q2, a13, 0
    ee.vmax.s8 q2, q2, q4
    .if \shifts > 1
    five_shift 1, a14, q5
    .endif
    .if \shifts > 2
    l8ui a2, a6, HEAD_SHIFTS + 2
    five_shift 2, a2, q6
    .endif
    .irp at, 3, 4, 5, 6
    .if \shifts > \at
    l8ui a2, a6, HEAD_SHIFTS + \at
    .if \shifts == \at + 1 && \shifts > 4
    ee.vld.128.ip q7, a4, -16 * (TAPS + \at) /* back to the weights */
    .elseif \shifts > 4
    ee.vld.128.ip q7, a4, 16
    .endif
    five_shift \at, a2, q7
    .endif
    .endr
    .if \capped
    .if \shifts < 4
    ee.vmin.s8 q2, q2, \max
    .else
    l32i a2, a1, STACK_MAX
    ee.vld.128.ip q3, a2, 0
    ee.vmin.s8 q2, q2, q3
    .endif
    .endif
    ee.vst.128.xp q2, a5, a15
2:
    l32i a8, a1, STACK_NEXT_ROW
    l32i a2, a1, STACK_ROWS_END
    bne a8, a2, 1b
    .if \shifts > 1
    movi a13, 48 + WEIGHTS_BYTES + 16 * \shifts
    .else
    movi a13, 48 + WEIGHTS_BYTES
    .endif
    j 9b
3:
    .endm

    .macro fives capped
9:  /* sixteen channels are done; a13: from their head to the next */
    l32i a8, a1, STACK_OFFSET
    l32i a10, a1, STACK_CHANNELS
    l32i a5, a1, STACK_OUTPUT
    addi a8, a8, 16
    beq a8, a10, .Lfive_done
    s32i a8, a1, STACK_OFFSET
    add a5, a5, a8
    add a6, a6, a13
8:
    l8ui a13, a6, HEAD_COUNT
    .if \capped
    five 1, 1, q5, 2, q6, q7, q2
    five 2, 1, q6, 1, q7, q2, q2
    five 3, 1, q7, 0, q2, q2, q2
    .else
    five 1, 0, q2, 3, q5, q6, q7
    five 2, 0, q2, 2, q6, q7, q2
    five 3, 0, q2, 1, q7, q2, q2
    .endif
    .irp shifts, 4, 5, 6, 7
    five \shifts, \capped, q2, 0, q2, q2, q2
    .endr
    .endm

    function esp_dl_depthwise_conv2d_rows_5x5_esp32s3
    l32i a4, a2, DEPTHWISE_AT_ROWS
    l32i a13, a2, DEPTHWISE_AT_PIXEL_ROWS
    l32i a5, a2, DEPTHWISE_AT_OUTPUT
    l32i a10, a2, DEPTHWISE_AT_CHANNELS
    l32i a14, a2, DEPTHWISE_AT_PIXELS
    l32i a15, a2, DEPTHWISE_AT_LIST_STEP
    l32i a8, a2, DEPTHWISE_AT_CLAMP
    movi a9, 0
    mull a13, a13, a15
    s32i a15, a1, STACK_LIST_STEP
    add a13, a13, a4
    addi a8, a8, 16
    s32i a4, a1, STACK_ROWS
    s32i a13, a1, STACK_ROWS_END
    s32i a9, a1, STACK_OFFSET
    s32i a5, a1, STACK_OUTPUT
    s32i a10, a1, STACK_CHANNELS
    s32i a14, a1, STACK_PIXELS
    s32i a8, a1, STACK_MAX
    l32i a3, a2, DEPTHWISE_AT_FIRST_STEP
    l32i a7, a2, DEPTHWISE_AT_SECOND_STEP
    l32i a15, a2, DEPTHWISE_AT_OUTPUT_STEP
    l32i a6, a2, DEPTHWISE_AT_WEIGHTS
    l32i a13, a2, DEPTHWISE_AT_CAPPED
    bnez a13, .Lfive_capped
    j 8f
    fives 0
.Lfive_capped:
    j 8f
    fives 1
.Lfive_done:
    return
    .size esp_dl_depthwise_conv2d_rows_5x5_esp32s3, . - esp_dl_depthwise_conv2d_rows_5x5_esp32s3
