/*
 * Rows of a convolution for the vector unit of the ESP32-S3, as conv2d_row_esp32s3.S: sixteen channels of all pixels
 * after the other, in lanes of 20 bits, their shifts and masks held in registers. Sums are not checked.
 */
#include "common/lanes_esp32s3.inc"
#include "convolution/conv2d_row_esp32s3.h"

/* The bias of the head a6, which stays. */
    .macro load_bias
    ee.ld.qacc_l.l.128.ip a6, 16
    ee.ld.qacc_h.l.128.ip a6, 16
    ee.ld.qacc_l.h.32.ip a6, 4
    ee.ld.qacc_h.h.32.ip a6, -36
    .endm

/* What is added to the sums. */
#define STACK_ADDEND 48       /* bytes from the output to it */
#define STACK_FACTORS 52      /* vectors of factors, as in conv2d_row_esp32s3.S, behind every head */
#define STACK_FACTOR_BYTES 56 /* of these */
#define STACK_BODY 60         /* where the body of `span` is entered */

/* to is behind the factors. temp changes. */
    .macro skip_factors to, temp
    .if ESP_DL_ADDED
    l32i \temp, a1, STACK_FACTOR_BYTES
    add \to, \to, \temp
    .endif
    .endm

/* After the bias: what is added to sixteen sums, to the output at a5; a6 head. Then q0 and q1 hold the first weights,
 * and a4 is behind them. a11, q2, q3 change. */
    .macro add_addend
    .if ESP_DL_ADDED
    l32i a11, a1, STACK_ADDEND
    addi a4, a6, 48
    add a11, a11, a5
    ee.vld.128.ip q2, a11, 0
    l32i a11, a1, STACK_FACTORS
    ee.vld.128.ip q3, a4, 16
    ee.notq q2, q2
    loop a11, .Ladded\@
    ee.vmulas.s8.qacc.ld.ip q3, a4, 16, q2, q3
.Ladded\@:
    ee.vld.128.ip q1, a4, 16
    ee.orq q0, q3, q3
    .endif
    .endm

/*
 * The products of the last 16 or 8 bytes of a window, in q3; the weights of 8 lie backwards, as in a tail. The weights
 * of sixteen channels begin at \first: the first two are loaded again with the last two products.
 */
    .macro last_products bytes, first=a9
    .if \bytes == 16
    .irp i, 0, 2, 4, 6, 8, 10, 12
    ee.vsmulas.s8.qacc.ld.incp q0, a4, q0, q3, \i
    ee.vsmulas.s8.qacc.ld.incp q1, a4, q1, q3, \i + 1
    .endr
    mov a4, \first
    ee.vsmulas.s8.qacc.ld.incp q0, a4, q0, q3, 14
    ee.vsmulas.s8.qacc.ld.incp q1, a4, q1, q3, 15
    .else
    .irp i, 7, 5, 3
    ee.vsmulas.s8.qacc.ld.incp q0, a4, q0, q3, \i
    ee.vsmulas.s8.qacc.ld.incp q1, a4, q1, q3, \i - 1
    .endr
    mov a4, \first
    ee.vsmulas.s8.qacc.ld.incp q0, a4, q0, q3, 1
    ee.vsmulas.s8.qacc.ld.incp q1, a4, q1, q3, 0
    .endif
    .endm

/* a4: how far it is to the next sixteen channels' head, over \weights bytes and the masks. */
    .macro to_next_head shifts, weights
    .if \shifts > 1
    movi a4, 48 + \weights + 16 * \shifts
    .else
    movi a4, 48 + \weights
    .endif
    skip_factors a4, a11
    .endm

/*
 * Windows of 8 to 64 bytes, a multiple of 8, at multiples of that, sixteen channels of all pixels after the other: the
 * input stays in q3, shifts and masks are held. The first two weights are loaded again with the last two products.
 *
 * a2 as for shift_held, a3 step, a4 weights, a5 output, a6 head, a7 masks that are not held, a8 input, a9 where the
 * weights begin, a10 pixels, a11 number of shifts, a12 bytes to the next
 * pixel's output.
 */
#define STACK_PIXELS 16
#define STACK_INPUT 20
#define STACK_OUTPUT 24 /* bytes from the last pixel to the first's next channels */
#define STACK_END 28

    .macro one shifts, open, bytes
    bnei a11, \shifts, 3f
    movi a4, 48 + 16 * \bytes
    addi a9, a6, 48
    add a4, a4, a6
    skip_factors a4, a11
    hold_shifts \shifts, \open, a6
    mov a7, a4
    mov a4, a9
    ee.vld.128.ip q0, a4, 16
    ee.vld.128.ip q1, a4, 16
    l32i a8, a1, STACK_INPUT
    .if ESP_DL_ADDED
    l32i a10, a1, STACK_PIXELS
4:
    load_bias
    add_addend
    .else
    loop a10, 2f
    .endif
    .if \bytes == 16
    ee.vld.128.xp q3, a8, a3
    .else
    ee.vld.l.64.xp q3, a8, a3
    .endif
    .ifeq ESP_DL_ADDED
    load_bias
    .endif
    last_products \bytes
    shift_held \shifts, \open, q3, a6, a7
    ee.vst.128.xp q2, a5, a12
    .if ESP_DL_ADDED
    addi a10, a10, -1
    bnez a10, 4b
    .endif
2:
    to_next_head \shifts, 16 * \bytes
    j 1b
3:
    .endm

/*
 * The same of 24 to 64 bytes, a multiple of 8: of a long body just the end is computed. halves: the last 8 bytes are half
 * a vector, and windows lie at multiples of 8. a3: from the last load to the next window, a11 where the body is entered.
 */
#define STACK_WEIGHTS 32 /* bytes of the weights of sixteen channels */
#define STACK_BEFORE 36  /* bytes of code from there to the last vector */
#define BLOCK_CODE (16 * 4 + 3) /* bytes of code for sixteen products and their load */
#define HALVES_CODE (16 * 4 + 6)

    .macro span shifts, open, halves
    bnei a11, \shifts, 3f
    l32i a14, a1, STACK_WEIGHTS
    addi a9, a6, 48
    add a4, a9, a14
    skip_factors a4, a14
    hold_shifts \shifts, \open, a6
    mov a7, a4
    movi a11, 4f
    l32i a8, a1, STACK_BEFORE
    sub a11, a11, a8
    mov a4, a9
    ee.vld.128.ip q0, a4, 16
    ee.vld.128.ip q1, a4, 16
    l32i a8, a1, STACK_INPUT
    .if ESP_DL_ADDED
    s32i a11, a1, STACK_BODY
    l32i a10, a1, STACK_PIXELS
5:
    load_bias
    add_addend
    l32i a11, a1, STACK_BODY
    .else
    loop a10, 2f
    wsr.lbeg a11 /* from here on the loop begins where the body is entered */
    isync
    load_bias
    .endif
    jx a11
    .rept 3
    .if \halves
    ee.vld.l.64.ip q3, a8, 8
    ee.vld.h.64.ip q3, a8, 8
    .else
    ee.vld.128.ip q3, a8, 16
    .endif
    sixteen 0
    .endr
4:
    .if \halves
    ee.vld.l.64.xp q3, a8, a3
    last_products 8
    .else
    ee.vld.128.xp q3, a8, a3
    last_products 16
    .endif
    shift_held \shifts, \open, q3, a6, a7
    ee.vst.128.xp q2, a5, a12
    .if ESP_DL_ADDED
    addi a10, a10, -1
    bnez a10, 5b
    .else
    load_bias
    .endif
2:
    l32i a14, a1, STACK_WEIGHTS
    to_next_head \shifts, 0
    add a4, a4, a14
    j 1b
3:
    .endm

/* kind: one, span or three_rows. */
    .macro ones kind, open, option, end=.Lone_end
    j 5f
1:  /* sixteen channels are done; a4: how far to the next head */
    l32i a14, a1, STACK_OUTPUT
    l32i a15, a1, STACK_END
    add a6, a6, a4
    add a5, a5, a14
    beq a5, a15, \end
5:
    l8ui a11, a6, HEAD_COUNT
    .irp shifts, 1, 2, 3, 4, 5, 6, 7
    \kind \shifts, \open, \option
    .endr
    .endm

/* What both ways begin with: all but a2. */
    .macro begin_held
    l32i a10, a2, CONV2D_AT_PIXELS
    l32i a12, a2, CONV2D_AT_OUTPUT_STEP
    l32i a11, a2, CONV2D_AT_CHANNELS
    l32i a5, a2, CONV2D_AT_OUTPUT
    l32i a6, a2, CONV2D_AT_WEIGHTS
    mull a14, a10, a12
    movi a15, 16
    sub a14, a15, a14
    add a15, a5, a11
    s32i a14, a1, STACK_OUTPUT
    s32i a15, a1, STACK_END
    .if ESP_DL_ADDED
    l32i a14, a2, CONV2D_AT_ADDEND
    l32i a15, a2, CONV2D_AT_FACTORS
    s32i a10, a1, STACK_PIXELS
    s32i a14, a1, STACK_ADDEND
    s32i a15, a1, STACK_FACTORS
    slli a15, a15, 4
    s32i a15, a1, STACK_FACTOR_BYTES
    .endif
    l32i a11, a2, CONV2D_AT_OPEN
    .endm

    function ESP_DL_ROW(one)
    begin_held
    l32i a14, a2, CONV2D_AT_SEGMENTS
    l32i a3, a2, CONV2D_AT_STEP
    l32i a14, a14, 0
    l32i a7, a2, CONV2D_AT_SEGMENT_BYTES
    s32i a14, a1, STACK_INPUT
    l32i a2, a2, CONV2D_AT_CLAMP
    movi a14, 24
    bge a7, a14, .Lspan
    beqz a11, .Lone_clamp
    bnei a7, 8, .Lone_16_open
    ones one, 1, 8
.Lone_clamp:
    bnei a7, 8, .Lone_16
    ones one, 0, 8
.Lone_16_open:
    ones one, 1, 16
.Lone_16:
    ones one, 0, 16
.Lspan:
    slli a13, a7, 4
    s32i a13, a1, STACK_WEIGHTS
    sub a3, a3, a7
    srli a13, a7, 4
    bbsi a7, 3, .Lspan_halves
    addi a3, a3, 16
    addi a13, a13, -1
    movi a14, BLOCK_CODE
    mull a13, a13, a14
    s32i a13, a1, STACK_BEFORE
    beqz a11, .Lspan_clamp
    ones span, 1, 0
.Lspan_clamp:
    ones span, 0, 0
.Lspan_halves:
    addi a3, a3, 8
    movi a14, HALVES_CODE
    mull a13, a13, a14
    s32i a13, a1, STACK_BEFORE
    beqz a11, .Lspan_halves_clamp
    ones span, 1, 1
.Lspan_halves_clamp:
    ones span, 0, 1
.Lone_end:
    return
    .size ESP_DL_ROW(one), . - ESP_DL_ROW(one)

/*
 * Windows of three rows of \bytes bytes (9 or 15) at any address, sixteen channels of all pixels after the other, shifts
 * and masks held. The last of an even number of weights meets nothing.
 *
 * a2 as for shift_held, a3 from the second vector of a row to the next window's first, a4 weights, a5 output, a6 head,
 * a7 masks that are not held, a8 to a10 rows, a11 number of shifts, or free, a12 channels.
 */
#define STACK_ROW(number) (36 + 4 * (number)) /* where the first window's rows lie */

/* The product of byte \at. */
    .macro row_product at
    .if .Lodd
    ee.vsmulas.s8.qacc.ld.incp q1, a4, q1, q3, \at
    .else
    ee.vsmulas.s8.qacc.ld.incp q0, a4, q0, q3, \at
    .endif
    .set .Lodd, !.Lodd
    .endm

#if !ESP_DL_ADDED
    .macro three_rows shifts, open, bytes
    bnei a11, \shifts, 3f
    movi a4, 48 + 16 * (3 * \bytes + 1)
    add a4, a4, a6
    hold_shifts \shifts, \open, a6
    mov a7, a4
    addi a4, a6, 48
    ee.vld.128.ip q0, a4, 16
    ee.vld.128.ip q1, a4, 16
    l32i a11, a1, STACK_PIXELS
    l32i a8, a1, STACK_ROW(0)
    l32i a9, a1, STACK_ROW(1)
    l32i a10, a1, STACK_ROW(2)
    loop a11, 2f
    load_bias
    .set .Lodd, 0
    .irp row, a8, a9, a10
    ee.ld.128.usar.ip q2, \row, 16
    ee.vld.128.xp q3, \row, a3
    ee.src.q q3, q2, q3
    .irp at, 0, 1, 2, 3, 4, 5, 6, 7
    row_product \at
    .endr
    .if \bytes == 15
    .irp at, 8, 9, 10, 11, 12, 13
    row_product \at
    .endr
    .endif
    .ifnc \row, a10
    row_product \bytes - 1
    .endif
    .endr
    addi a4, a6, 48
    row_product \bytes - 1
    row_product \bytes
    shift_held \shifts, \open, q3, a6, a7
    ee.vst.128.xp q2, a5, a12
2:
    to_next_head \shifts, 16 * (3 * \bytes + 1)
    j 1b
3:
    .endm

    function ESP_DL_ROW(three)
    begin_held
    s32i a10, a1, STACK_PIXELS
    l32i a14, a2, CONV2D_AT_SEGMENTS
    l32i a3, a2, CONV2D_AT_STEP
    l32i a7, a2, CONV2D_AT_SEGMENT_BYTES
    .irp number, 0, 1, 2
    l32i a13, a14, 4 * \number
    s32i a13, a1, STACK_ROW(\number)
    .endr
    addi a3, a3, -16
    addi a7, a7, -9
    l32i a2, a2, CONV2D_AT_CLAMP
    beqz a11, .Lthree_clamp
    bnez a7, .Lthree_15_open
    ones three_rows, 1, 9, .Lthree_end
.Lthree_clamp:
    bnez a7, .Lthree_15
    ones three_rows, 0, 9, .Lthree_end
.Lthree_15_open:
    ones three_rows, 1, 15, .Lthree_end
.Lthree_15:
    ones three_rows, 0, 15, .Lthree_end
.Lthree_end:
    return
    .size ESP_DL_ROW(three), . - ESP_DL_ROW(three)
#endif

/*
 * Windows of any size, all at multiples of 16, sixteen channels of all pixels after the other, shifts and masks held.
 *
 * a2 as for shift_held, a3 offset of the window, a4 weights, a5 output, a6 head, a7 segment, a8 input, a9 blocks of 16
 * bytes in a segment, a10 pixels left, a11 end of the segments, number of shifts, or free, a12 channels.
 */
#define STACK_SEGMENTS 36
#define STACK_SEGMENTS_END 40
#define STACK_STEP 44

    .macro held shifts, open
    bnei a11, \shifts, 5f
    l32i a10, a1, STACK_WEIGHTS
    addi a4, a6, 48
    add a4, a4, a10
    skip_factors a4, a10
    hold_shifts \shifts, \open, a6
    movi a3, 0
    l32i a10, a1, STACK_PIXELS
2:  /* a pixel */
    load_bias
    l32i a7, a1, STACK_SEGMENTS
    .if ESP_DL_ADDED
    add_addend
    l32i a11, a1, STACK_SEGMENTS_END
    .else
    addi a4, a6, 48
    ee.vld.128.ip q0, a4, 16
    l32i a11, a1, STACK_SEGMENTS_END
    ee.vld.128.ip q1, a4, 16
    .endif
3:  /* a segment */
    l32i a8, a7, 0
    addi a7, a7, 4
    add a8, a8, a3
    loop a9, 4f
    ee.vld.128.ip q3, a8, 16
    sixteen 0
4:
    bne a7, a11, 3b
    /* Two vectors behind the weights were loaded. */
    .if \shifts > 4
    addi a4, a4, 16 /* to the fourth */
    .endif
    shift_held \shifts, \open, q3, a6, a4
    l32i a11, a1, STACK_STEP
    ee.vst.128.xp q2, a5, a12
    addi a10, a10, -1
    add a3, a3, a11
    bnez a10, 2b
    to_next_head \shifts, 0
    j 1b
5:
    .endm

    .macro helds open
    j 7f
1:  /* sixteen channels are done; a4: how far to the next head, but for the weights */
    l32i a14, a1, STACK_OUTPUT
    l32i a15, a1, STACK_END
    l32i a10, a1, STACK_WEIGHTS
    add a6, a6, a4
    add a5, a5, a14
    add a6, a6, a10
    beq a5, a15, .Lheld_end
7:
    l8ui a11, a6, HEAD_COUNT
    .irp shifts, 1, 2, 3, 4, 5, 6, 7
    held \shifts, \open
    .endr
    .endm

    function ESP_DL_ROW(held)
    begin_held
    l32i a14, a2, CONV2D_AT_SEGMENTS
    l32i a15, a2, CONV2D_AT_SEGMENT_COUNT
    l32i a9, a2, CONV2D_AT_SEGMENT_BYTES
    l32i a3, a2, CONV2D_AT_STEP
    s32i a10, a1, STACK_PIXELS
    s32i a14, a1, STACK_SEGMENTS
    addx4 a14, a15, a14
    mull a15, a15, a9
    s32i a14, a1, STACK_SEGMENTS_END
    slli a15, a15, 4
    srli a9, a9, 4
    s32i a3, a1, STACK_STEP
    s32i a15, a1, STACK_WEIGHTS
    l32i a2, a2, CONV2D_AT_CLAMP
    beqz a11, .Lheld_clamp
    helds 1
.Lheld_clamp:
    helds 0
.Lheld_end:
    return
    .size ESP_DL_ROW(held), . - ESP_DL_ROW(held)

/*
 * Windows of three rows of 48 bytes at multiples of 16: their nine vectors one after the other, without loops. The
 * products are there once; what follows depends on the shifts.
 *
 * a2 as for shift_held, a3 from the last vector of a row to the next window's first, a4 weights, a5 output, a6 head, a7
 * pixels left or, with more than three shifts, masks that are not held, a8 to a10 rows, a11 free, a12 channels.
 */
#define STACK_TAIL 20 /* what follows the products */
#define STACK_LEFT 32 /* pixels */
#define NINE_WEIGHTS (16 * 9 * 16)

    .macro nine shifts, open, option
    bnei a11, \shifts, 3f
    movi a4, 48 + NINE_WEIGHTS
    add a4, a4, a6
    skip_factors a4, a11
    hold_shifts \shifts, \open, a6
    movi a11, 4f
    s32i a11, a1, STACK_TAIL
    l32i a11, a1, STACK_PIXELS
    .if \shifts > 3
    mov a7, a4
    s32i a11, a1, STACK_LEFT
    .else
    mov a7, a11
    .endif
    addi a4, a6, 48
    ee.vld.128.ip q0, a4, 16
    ee.vld.128.ip q1, a4, 16
    l32i a8, a1, STACK_ROW(0)
    l32i a9, a1, STACK_ROW(1)
    l32i a10, a1, STACK_ROW(2)
    j .Lnine_products
4:
    shift_held \shifts, \open, q3, a6, a7
    ee.vst.128.xp q2, a5, a12
    .if \shifts > 3
    l32i a11, a1, STACK_LEFT
    addi a11, a11, -1
    s32i a11, a1, STACK_LEFT
    bnez a11, .Lnine_products
    .else
    addi a7, a7, -1
    bnez a7, .Lnine_products
    .endif
    to_next_head \shifts, NINE_WEIGHTS
    j 1b
3:
    .endm

    function ESP_DL_ROW(nine)
    begin_held
    s32i a10, a1, STACK_PIXELS
    l32i a14, a2, CONV2D_AT_SEGMENTS
    l32i a3, a2, CONV2D_AT_STEP
    .irp number, 0, 1, 2
    l32i a13, a14, 4 * \number
    s32i a13, a1, STACK_ROW(\number)
    .endr
    addi a3, a3, -32
    l32i a2, a2, CONV2D_AT_CLAMP
    beqz a11, .Lnine_clamp
    ones nine, 1, 0, .Lnine_end
.Lnine_clamp:
    ones nine, 0, 0, .Lnine_end
.Lnine_products:
    load_bias
    add_addend
    .irp row, a8, a9
    ee.vld.128.ip q3, \row, 16
    sixteen 0
    ee.vld.128.ip q3, \row, 16
    sixteen 0
    ee.vld.128.xp q3, \row, a3
    sixteen 0
    .endr
    ee.vld.128.ip q3, a10, 16
    sixteen 0
    ee.vld.128.ip q3, a10, 16
    sixteen 0
    ee.vld.128.xp q3, a10, a3
    addi a11, a6, 48
    last_products 16, a11
    l32i a11, a1, STACK_TAIL
    jx a11
.Lnine_end:
    return
    .size ESP_DL_ROW(nine), . - ESP_DL_ROW(nine)
