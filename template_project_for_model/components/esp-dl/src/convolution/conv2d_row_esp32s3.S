/*
 * Rows of a convolution for the vector unit of the ESP32-S3. What they compute, and the data they read, is said in
 * esp_dl_esp32s3.h; conv2d_row_esp32s3.c is the same in C.
 */
#include "common/lanes_esp32s3.inc"
#include "convolution/conv2d_row_esp32s3.h"

/*
 * Lanes of 20 bits. Every instruction multiplies the weights of sixteen channels by one value of the input and loads
 * the weights after the next, so that none waits for a load. The two vectors that are loaded in vain at the end are the
 * first two masks.
 *
 * a2 row, a3 offset of the window, a4 weights, a5 output, a6 end of the segments, a7 segment, a8 input, a9 blocks of 16
 * bytes in a segment, a10 entry for the tail, a11 channels left, a12 head, a15 pixels left; a7, a13 and a14 free
 * at the end.
 * q0, q1 weights; q2 result; q3 input; q4, q5 stream of unaligned input; q6 min; q7 max.
 */

/* Sixteen values of the input in q3. */
    .macro sixteen unaligned
    ee.vsmulas.s8.qacc.ld.incp q0, a4, q0, q3, 0
    ee.vsmulas.s8.qacc.ld.incp q1, a4, q1, q3, 1
    .if \unaligned
    ee.vld.128.ip q5, a8, 16
    .endif
    .irp i, 2, 4, 6, 8, 10, 12, 14
    ee.vsmulas.s8.qacc.ld.incp q0, a4, q0, q3, \i
    ee.vsmulas.s8.qacc.ld.incp q1, a4, q1, q3, \i + 1
    .endr
    .endm

/*
 * Between segments: remember whether a sum is so large that the next segment could take it out of its lane. q4 and q5
 * hold the most and the least of the sums' upper bits yet.
 */
    .macro watch
    l32i a13, a2, CONV2D_AT_SUMS
    ee.st.qacc_l.l.128.ip a13, 16
    ee.st.qacc_h.l.128.ip a13, 16
    ee.st.qacc_l.h.32.ip a13, 4
    ee.st.qacc_h.h.32.ip a13, -36
    ee.srcmb.s8.qacc q2, a10, 0
    ee.ld.qacc_l.l.128.ip a13, 16
    ee.ld.qacc_h.l.128.ip a13, 16
    ee.ld.qacc_l.h.32.ip a13, 4
    ee.ld.qacc_h.h.32.ip a13, 4
    ee.vmax.s8 q4, q4, q2
    ee.vmin.s8 q5, q5, q2
    .endm

/* a14 in all of a vector register. */
    .macro spread to
    .irp i, 0, 1, 2, 3
    ee.movi.32.q \to, a14, \i
    .endr
    .endm

/* a2: not 0 if a sum was too large. */
    .macro check_sums
    movi a14, 0x7e7e7e7e
    spread q2
    ee.vcmp.gt.s8 q4, q4, q2
    movi a14, 0x81818181
    spread q2
    ee.vcmp.lt.s8 q5, q5, q2
    ee.orq q4, q4, q5
    ee.movi.32.a q4, a2, 0
    .irp i, 1, 2, 3
    ee.movi.32.a q4, a14, \i
    or a2, a2, a14
    .endr
    .endm

/*
 * All pixels. whole: segments are multiples of 16 bytes and all at multiples of 16. watching: 1 or 2 segments from one
 * look at the sums to the next, a10 their bits; where segments are listed begins at a multiple of 16.
 */
    .macro lanes whole, watching=0
    .if \watching
    l32i a10, a2, CONV2D_AT_CHECK_BITS
    ee.zero.q q4
    ee.zero.q q5
    .endif
1:  /* a pixel */
    l32i a4, a2, CONV2D_AT_WEIGHTS
    l32i a11, a2, CONV2D_AT_CHANNELS
2:  /* sixteen channels */
    mov a12, a4
    l32i a7, a2, CONV2D_AT_SEGMENTS
    load_head
    ee.vld.128.ip q0, a4, 16
    ee.vld.128.ip q1, a4, 16
3:  /* a segment */
    l32i a8, a7, 0
    addi a7, a7, 4
    add a8, a8, a3
    .if \whole
    loop a9, 4f
    ee.vld.128.ip q3, a8, 16
    sixteen 0
4:
    .else
    ee.ld.128.usar.ip q4, a8, 16
    ee.vld.128.ip q5, a8, 16
    loopnez a9, 4f
    ee.src.q.qup q3, q4, q5
    sixteen 1
4:
    ee.src.q q3, q4, q5
    jx a10
    .irp i, 15, 13, 11, 9, 7, 5, 3, 1
    ee.vsmulas.s8.qacc.ld.incp q0, a4, q0, q3, \i
    ee.vsmulas.s8.qacc.ld.incp q1, a4, q1, q3, \i - 1
    .endr
.Ltail_end:
    .endif
    .if \watching
    beq a7, a6, 7f
    .if \watching == 2
    bbsi a7, 2, 3b
    .endif
    watch
    j 3b
7:
    .else
    bne a7, a6, 3b
    .endif
    shift_lanes q3
    ee.vmin.s8 q2, q2, q7
    .if \whole
    bltui a11, 16, 5f
    ee.vst.128.ip q2, a5, 16
    addi a11, a11, -16
    bnez a11, 2b
    j 6f
5:
    .endif
    store_some
    addi a11, a11, -16
    bgei a11, 1, 2b
6:
    l32i a14, a2, CONV2D_AT_STEP
    addi a15, a15, -1
    add a3, a3, a14
    bnez a15, 1b
    .endm

/* What a row in lanes starts with, whole or in parts. */
    .macro begin_row
    movi a3, 0
    l32i a5, a2, CONV2D_AT_OUTPUT
    l32i a6, a2, CONV2D_AT_SEGMENT_COUNT
    l32i a7, a2, CONV2D_AT_SEGMENTS
    addx4 a6, a6, a7
    l32i a15, a2, CONV2D_AT_PIXELS
    addi a8, a2, CONV2D_AT_MIN
    ee.vldbc.8 q6, a8
    addi a8, a2, CONV2D_AT_MAX
    ee.vldbc.8 q7, a8
    .endm

    function esp_dl_conv2d_row_lanes_esp32s3
    begin_row
    l32i a14, a2, CONV2D_AT_SEGMENT_BYTES
    srli a9, a14, 4
    /* Is everything a multiple of 16? */
    l32i a8, a2, CONV2D_AT_STEP
    or a8, a8, a14
    l32i a12, a2, CONV2D_AT_CHANNELS
    or a8, a8, a12
    or a8, a8, a5
10:
    l32i a12, a7, 0
    addi a7, a7, 4
    or a8, a8, a12
    bne a7, a6, 10b
    extui a8, a8, 0, 4
    beqz a8, .Lwhole
    /* The tail is entered so that just its bytes, made even, remain. */
    extui a14, a14, 0, 4
    addi a14, a14, 1
    srli a14, a14, 1
    slli a14, a14, 3
    movi a10, .Ltail_end
    sub a10, a10, a14
    lanes 0
    movi a2, 0
    return
.Lwhole:
    l32i a14, a2, CONV2D_AT_CHECK_BITS
    bnez a14, .Lwatched
    lanes 1
    movi a2, 0
    return
.Lwatched:
    l32i a14, a2, CONV2D_AT_CHECK_EVERY
    beqi a14, 2, .Lwatched_by_two
    lanes 1, 1
    check_sums
    return
.Lwatched_by_two:
    lanes 1, 2
    check_sums
    return
    .size esp_dl_conv2d_row_lanes_esp32s3, . - esp_dl_conv2d_row_lanes_esp32s3

/*
 * Sums that may leave their lanes, in two parts: of a value x of the input first x & 15 is multiplied, then x >> 4. In
 * between the lanes are shifted to the right by 4, so what stays to be shifted is 4 less. Twice the instructions, and
 * sums of a sixteenth. All is at multiples of 16.
 *
 * Registers as for lanes, but q2 input that is loaded ahead, q4 masks of 15, q5 ones; SAR is 4.
 */

/* The products of one part of the window. a4: its weights; then 32 bytes behind them. */
    .macro part upper
    l32i a7, a2, CONV2D_AT_SEGMENTS
    ee.vld.128.ip q0, a4, 16
    ee.vld.128.ip q1, a4, 16
3:  /* a segment */
    l32i a8, a7, 0
    addi a7, a7, 4
    add a8, a8, a3
    .if \upper
    ee.vld.128.ip q2, a8, 16
    loop a9, 4f
    ee.vmul.s8.ld.incp q2, a8, q3, q2, q5
    .else
    loop a9, 4f
    ee.vld.128.ip q3, a8, 16
    ee.andq q3, q3, q4
    .endif
    sixteen 0
4:
    bne a7, a6, 3b
    .endm

    function esp_dl_conv2d_row_parts_esp32s3
    begin_row
    l32i a9, a2, CONV2D_AT_SEGMENT_BYTES
    srli a9, a9, 4
    movi a14, 0x0f0f0f0f
    spread q4
    movi a14, 0x01010101
    spread q5
    ssai 4
1:  /* a pixel */
    l32i a4, a2, CONV2D_AT_WEIGHTS
    l32i a11, a2, CONV2D_AT_CHANNELS
2:  /* sixteen channels */
    mov a12, a4
    load_head
    part 0
    movi a14, 4
    addi a4, a12, 48
    ee.srcmb.s8.qacc q2, a14, 0
    part 1
    shift_lanes q3, 4
    ee.vmin.s8 q2, q2, q7
    addi a11, a11, -16
    ee.vst.128.ip q2, a5, 16
    bnez a11, 2b
    l32i a14, a2, CONV2D_AT_STEP
    addi a15, a15, -1
    add a3, a3, a14
    bnez a15, 1b
    return
    .size esp_dl_conv2d_row_parts_esp32s3, . - esp_dl_conv2d_row_parts_esp32s3

/*
 * Windows of 8 to 64 bytes, a multiple of 8, at multiples of that, sixteen channels of all pixels after the other: the input stays
 * in q3, shifts and masks are held. The first two weights are loaded again with the last two products.
 *
 * a2 as for shift_held, a3 step, a4 weights, a5 output, a6 head, a7 masks that are not held, a8 input, a9 where the
 * weights begin, a10 pixels, a11 number of shifts, a12 channels.
 */
#define STACK_PIXELS 16
#define STACK_INPUT 20
#define STACK_OUTPUT 24 /* bytes from the last pixel to the first's next channels */
#define STACK_END 28

    .macro one shifts, relu, bytes
    bnei a11, \shifts, 3f
    .if \relu
    movi a4, 48 + 16 * \bytes + 16
    .else
    movi a4, 48 + 16 * \bytes
    .endif
    addi a9, a6, 48
    add a4, a4, a6
    hold_shifts \shifts, \relu, a6
    mov a7, a4
    mov a4, a9
    ee.vld.128.ip q0, a4, 16
    ee.vld.128.ip q1, a4, 16
    l32i a8, a1, STACK_INPUT
    loop a10, 2f
    .if \bytes == 16
    ee.vld.128.xp q3, a8, a3
    .else
    ee.vld.l.64.xp q3, a8, a3
    .endif
    ee.ld.qacc_l.l.128.ip a6, 16
    ee.ld.qacc_h.l.128.ip a6, 16
    ee.ld.qacc_l.h.32.ip a6, 4
    ee.ld.qacc_h.h.32.ip a6, -36
    .if \bytes == 16
    .irp i, 0, 2, 4, 6, 8, 10, 12
    ee.vsmulas.s8.qacc.ld.incp q0, a4, q0, q3, \i
    ee.vsmulas.s8.qacc.ld.incp q1, a4, q1, q3, \i + 1
    .endr
    mov a4, a9
    ee.vsmulas.s8.qacc.ld.incp q0, a4, q0, q3, 14
    ee.vsmulas.s8.qacc.ld.incp q1, a4, q1, q3, 15
    .else
    /* As a tail: backwards. */
    .irp i, 7, 5, 3
    ee.vsmulas.s8.qacc.ld.incp q0, a4, q0, q3, \i
    ee.vsmulas.s8.qacc.ld.incp q1, a4, q1, q3, \i - 1
    .endr
    mov a4, a9
    ee.vsmulas.s8.qacc.ld.incp q0, a4, q0, q3, 1
    ee.vsmulas.s8.qacc.ld.incp q1, a4, q1, q3, 0
    .endif
    shift_held \shifts, \relu, q3, a6, a7
    ee.vst.128.xp q2, a5, a12
2:
    .if \shifts > 1
    movi a4, 48 + 16 * \bytes + 16 * \shifts
    .else
    movi a4, 48 + 16 * \bytes
    .endif
    j 1b
3:
    .endm

/*
 * The same of 24 to 64 bytes, a multiple of 8: of a long body just the end is computed. halves: the last 8 bytes are half
 * a vector, and windows lie at multiples of 8. a3: from the last load to the next window, a11 where the body is entered.
 */
#define STACK_WEIGHTS 32 /* bytes of the weights of sixteen channels */
#define STACK_BEFORE 36  /* bytes of code from there to the last vector */
#define STACK_ENTRY 40
#define BLOCK_CODE (16 * 4 + 3) /* bytes of code for sixteen products and their load */
#define HALVES_CODE (16 * 4 + 6)

    .macro span shifts, relu, halves
    bnei a11, \shifts, 3f
    l32i a14, a1, STACK_WEIGHTS
    addi a9, a6, 48
    add a4, a9, a14
    .if \relu
    addi a4, a4, 16
    .endif
    hold_shifts \shifts, \relu, a6
    mov a7, a4
    movi a11, 4f
    l32i a8, a1, STACK_BEFORE
    sub a11, a11, a8
    .if \shifts > 3
    s32i a11, a1, STACK_ENTRY
    .endif
    mov a4, a9
    ee.vld.128.ip q0, a4, 16
    ee.vld.128.ip q1, a4, 16
    l32i a8, a1, STACK_INPUT
    loop a10, 2f
    ee.ld.qacc_l.l.128.ip a6, 16
    ee.ld.qacc_h.l.128.ip a6, 16
    ee.ld.qacc_l.h.32.ip a6, 4
    ee.ld.qacc_h.h.32.ip a6, -36
    .if \shifts > 3
    l32i a11, a1, STACK_ENTRY
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
    .irp i, 7, 5, 3
    ee.vsmulas.s8.qacc.ld.incp q0, a4, q0, q3, \i
    ee.vsmulas.s8.qacc.ld.incp q1, a4, q1, q3, \i - 1
    .endr
    mov a4, a9
    ee.vsmulas.s8.qacc.ld.incp q0, a4, q0, q3, 1
    ee.vsmulas.s8.qacc.ld.incp q1, a4, q1, q3, 0
    .else
    ee.vld.128.xp q3, a8, a3
    .irp i, 0, 2, 4, 6, 8, 10, 12
    ee.vsmulas.s8.qacc.ld.incp q0, a4, q0, q3, \i
    ee.vsmulas.s8.qacc.ld.incp q1, a4, q1, q3, \i + 1
    .endr
    mov a4, a9
    ee.vsmulas.s8.qacc.ld.incp q0, a4, q0, q3, 14
    ee.vsmulas.s8.qacc.ld.incp q1, a4, q1, q3, 15
    .endif
    shift_held \shifts, \relu, q3, a6, a7
    ee.vst.128.xp q2, a5, a12
2:
    l32i a14, a1, STACK_WEIGHTS
    .if \shifts > 1
    movi a4, 48 + 16 * \shifts
    .else
    movi a4, 48
    .endif
    add a4, a4, a14
    j 1b
3:
    .endm

/* kind: one or span. */
    .macro ones kind, relu, option, end=.Lone_end
    j 5f
1:  /* sixteen channels are done; a4: how far to the next head */
    l32i a14, a1, STACK_OUTPUT
    l32i a15, a1, STACK_END
    add a6, a6, a4
    add a5, a5, a14
    beq a5, a15, \end
5:
    l8ui a11, a6, HEAD_COUNT
    .irp shifts, 3, 2, 4, 1, 5, 6, 7
    \kind \shifts, \relu, \option
    .endr
    .endm

/* What both ways begin with: all but a2. */
    .macro begin_held
    l32i a10, a2, CONV2D_AT_PIXELS
    l32i a12, a2, CONV2D_AT_CHANNELS
    l32i a5, a2, CONV2D_AT_OUTPUT
    l32i a6, a2, CONV2D_AT_WEIGHTS
    mull a14, a10, a12
    movi a15, 16
    sub a14, a15, a14
    add a15, a5, a12
    s32i a14, a1, STACK_OUTPUT
    s32i a15, a1, STACK_END
    l32i a11, a2, CONV2D_AT_MIN_MASKS
    .endm

    function esp_dl_conv2d_row_one_esp32s3
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
    movi a2, 0
    bnei a7, 8, .Lone_16_relu
    ones one, 1, 8
.Lone_clamp:
    bnei a7, 8, .Lone_16
    ones one, 0, 8
.Lone_16_relu:
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
    movi a2, 0
    ones span, 1, 0
.Lspan_clamp:
    ones span, 0, 0
.Lspan_halves:
    addi a3, a3, 8
    movi a14, HALVES_CODE
    mull a13, a13, a14
    s32i a13, a1, STACK_BEFORE
    beqz a11, .Lspan_halves_clamp
    movi a2, 0
    ones span, 1, 1
.Lspan_halves_clamp:
    ones span, 0, 1
.Lone_end:
    return
    .size esp_dl_conv2d_row_one_esp32s3, . - esp_dl_conv2d_row_one_esp32s3

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

    .macro three_rows shifts, relu, bytes
    bnei a11, \shifts, 3f
    .if \relu
    movi a4, 48 + 16 * (3 * \bytes + 1) + 16
    .else
    movi a4, 48 + 16 * (3 * \bytes + 1)
    .endif
    add a4, a4, a6
    hold_shifts \shifts, \relu, a6
    mov a7, a4
    addi a4, a6, 48
    ee.vld.128.ip q0, a4, 16
    ee.vld.128.ip q1, a4, 16
    l32i a11, a1, STACK_PIXELS
    l32i a8, a1, STACK_ROW(0)
    l32i a9, a1, STACK_ROW(1)
    l32i a10, a1, STACK_ROW(2)
    loop a11, 2f
    ee.ld.qacc_l.l.128.ip a6, 16
    ee.ld.qacc_h.l.128.ip a6, 16
    ee.ld.qacc_l.h.32.ip a6, 4
    ee.ld.qacc_h.h.32.ip a6, -36
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
    shift_held \shifts, \relu, q3, a6, a7
    ee.vst.128.xp q2, a5, a12
2:
    .if \shifts > 1
    movi a4, 48 + 16 * (3 * \bytes + 1) + 16 * \shifts
    .else
    movi a4, 48 + 16 * (3 * \bytes + 1)
    .endif
    j 1b
3:
    .endm

    function esp_dl_conv2d_row_three_esp32s3
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
    movi a2, 0
    bnez a7, .Lthree_15_relu
    ones three_rows, 1, 9, .Lthree_end
.Lthree_clamp:
    bnez a7, .Lthree_15
    ones three_rows, 0, 9, .Lthree_end
.Lthree_15_relu:
    ones three_rows, 1, 15, .Lthree_end
.Lthree_15:
    ones three_rows, 0, 15, .Lthree_end
.Lthree_end:
    return
    .size esp_dl_conv2d_row_three_esp32s3, . - esp_dl_conv2d_row_three_esp32s3

/*
 * Windows of any size, all at multiples of 16, sixteen channels of all pixels after the other, shifts and masks held.
 *
 * a2 as for shift_held, a3 offset of the window, a4 weights, a5 output, a6 head, a7 segment, a8 input, a9 blocks of 16
 * bytes in a segment, a10 pixels left, a11 end of the segments, number of shifts, or free, a12 channels.
 */
#define STACK_SEGMENTS 36
#define STACK_SEGMENTS_END 40
#define STACK_STEP 44

    .macro held shifts, relu
    bnei a11, \shifts, 5f
    l32i a10, a1, STACK_WEIGHTS
    addi a4, a6, 48
    add a4, a4, a10
    .if \relu
    addi a4, a4, 16
    .endif
    hold_shifts \shifts, \relu, a6
    movi a3, 0
    l32i a10, a1, STACK_PIXELS
2:  /* a pixel */
    ee.ld.qacc_l.l.128.ip a6, 16
    ee.ld.qacc_h.l.128.ip a6, 16
    ee.ld.qacc_l.h.32.ip a6, 4
    ee.ld.qacc_h.h.32.ip a6, -36
    l32i a7, a1, STACK_SEGMENTS
    addi a4, a6, 48
    ee.vld.128.ip q0, a4, 16
    l32i a11, a1, STACK_SEGMENTS_END
    ee.vld.128.ip q1, a4, 16
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
    .if \shifts > 5 && \relu
    addi a4, a4, 32 /* to the fifth mask */
    .elseif \shifts > 4 && \relu == 0
    addi a4, a4, 16 /* to the fourth */
    .endif
    shift_held \shifts, \relu, q3, a6, a4
    l32i a11, a1, STACK_STEP
    ee.vst.128.xp q2, a5, a12
    addi a10, a10, -1
    add a3, a3, a11
    bnez a10, 2b
    .if \shifts > 1
    movi a4, 48 + 16 * \shifts
    .else
    movi a4, 48
    .endif
    j 1b
5:
    .endm

    .macro helds relu
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
    held 3, \relu
    held 2, \relu
    held 4, \relu
    held 1, \relu
    held 5, \relu
    held 6, \relu
    held 7, \relu
    .endm

    function esp_dl_conv2d_row_held_esp32s3
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
    movi a2, 0
    helds 1
.Lheld_clamp:
    helds 0
.Lheld_end:
    return
    .size esp_dl_conv2d_row_held_esp32s3, . - esp_dl_conv2d_row_held_esp32s3

/*
 * The accumulator of 40 bits: a piece of the window is held in registers while the weights of all channels stream by;
 * sums wait in memory between pieces.
 *
 * a2 row, a3 offset of the window, a4 weights, a5 output, a6 end of the segments, a7 segment, a8 input, a9 channels,
 * a10 sums to read, a11 sums to write, a12 bytes left in the segment, a13 shifts, a15 pixels left; a14 free.
 * q0..q5 input, q6 and q7 weights.
 */

/* Input of a piece. */
    .macro load_piece vectors
    ee.ld.128.usar.ip q0, a8, 16
    ee.vld.128.ip q1, a8, 16
    ee.vld.128.ip q2, a8, 16
    ee.src.q q0, q0, q1
    .if \vectors > 2
    ee.vld.128.ip q3, a8, 16
    ee.src.q q1, q1, q2
    ee.vld.128.ip q4, a8, 16
    ee.src.q q2, q2, q3
    .if \vectors > 4
    ee.vld.128.ip q5, a8, 16
    ee.src.q q3, q3, q4
    ee.vld.128.ip q6, a8, 16
    ee.src.q q4, q4, q5
    ee.src.q q5, q5, q6
    .else
    ee.src.q q3, q3, q4
    .endif
    .else
    ee.src.q q1, q1, q2
    .endif
    addi a8, a8, -16
    ee.vld.128.ip q6, a4, 16
    ee.vld.128.ip q7, a4, 16
    .endm

    .macro multiply_piece vectors
    ee.ld.accx.ip a10, 8
    ee.vmulas.s8.accx.ld.ip q6, a4, 16, q6, q0
    ee.vmulas.s8.accx.ld.ip q7, a4, 16, q7, q1
    .if \vectors > 2
    ee.vmulas.s8.accx.ld.ip q6, a4, 16, q6, q2
    ee.vmulas.s8.accx.ld.ip q7, a4, 16, q7, q3
    .endif
    .if \vectors > 4
    ee.vmulas.s8.accx.ld.ip q6, a4, 16, q6, q4
    ee.vmulas.s8.accx.ld.ip q7, a4, 16, q7, q5
    .endif
    .endm

    .macro wide vectors
1:  /* a pixel */
    l32i a10, a2, CONV2D_AT_WEIGHTS
    addi a14, a9, 1
    srli a14, a14, 1
    slli a14, a14, 4
    add a4, a10, a14
    l32i a7, a2, CONV2D_AT_SEGMENTS
2:  /* a segment */
    l32i a8, a7, 0
    l32i a12, a2, CONV2D_AT_SEGMENT_BYTES
    addi a7, a7, 4
    add a8, a8, a3
3:  /* a piece */
    load_piece \vectors
    addi a12, a12, -16 * \vectors
    l32i a11, a2, CONV2D_AT_SUMS
    bgei a12, 1, 4f
    beq a7, a6, 6f
4:
    loop a9, 5f
    multiply_piece \vectors
    ee.st.accx.ip a11, 8
5:
    addi a4, a4, -32
    l32i a10, a2, CONV2D_AT_SUMS
    bgei a12, 1, 3b
    j 2b
6:  /* the last */
    mov a8, a13
    l32i a11, a2, CONV2D_AT_MIN
    l32i a12, a2, CONV2D_AT_MAX
    loop a9, 7f
    multiply_piece \vectors
    l8ui a14, a8, 0
    addi a8, a8, 1
    ssr a14
    rur.accx_0 a14
    sra a14, a14
    max a14, a14, a11
    min a14, a14, a12
    s8i a14, a5, 0
    addi a5, a5, 1
7:
    l32i a14, a2, CONV2D_AT_STEP
    addi a15, a15, -1
    add a3, a3, a14
    bnez a15, 1b
    return
    .endm

    function esp_dl_conv2d_row_wide_esp32s3
    movi a3, 0
    l32i a5, a2, CONV2D_AT_OUTPUT
    l32i a6, a2, CONV2D_AT_SEGMENT_COUNT
    l32i a7, a2, CONV2D_AT_SEGMENTS
    l32i a9, a2, CONV2D_AT_CHANNELS
    l32i a15, a2, CONV2D_AT_PIXELS
    /* The shifts lie behind the weights. */
    l32i a14, a2, CONV2D_AT_VECTORS
    slli a14, a14, 4
    l32i a12, a2, CONV2D_AT_SEGMENT_BYTES
    movi a13, 0
10:
    add a13, a13, a14
    blt a13, a12, 10b
    mull a13, a13, a6
    mull a13, a13, a9
    addi a12, a9, 1
    srli a12, a12, 1
    slli a12, a12, 4
    add a13, a13, a12
    l32i a12, a2, CONV2D_AT_WEIGHTS
    add a13, a13, a12
    addx4 a6, a6, a7
    beqi a14, 64, .Lfour
    bltui a14, 64, .Ltwo
    wide 6
.Ltwo:
    wide 2
.Lfour:
    wide 4
    .size esp_dl_conv2d_row_wide_esp32s3, . - esp_dl_conv2d_row_wide_esp32s3
