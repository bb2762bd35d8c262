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
 * What is added to the sums: 16 values times a vector of factors, and another. The values are inverted, so that -128 is a
 * factor, too: ~x * -f is x * f + f, of which the bias is less f. a4: the factors; then their end. a13, a14, q2, q3
 * change.
 */
    .macro add_addend whole
    .if ESP_DL_ADDED
    l32i a14, a2, CONV2D_AT_ADDEND
    l32i a13, a2, CONV2D_AT_FACTORS
    add a14, a14, a5
    .if \whole
    ee.vld.128.ip q2, a14, 0
    .else
    ee.ld.128.usar.ip q2, a14, 16
    ee.vld.128.ip q3, a14, 0
    ee.src.q q2, q2, q3
    .endif
    ee.vld.128.ip q3, a4, 16
    ee.notq q2, q2
    loop a13, .Ladded\@
    ee.vmulas.s8.qacc.ld.ip q3, a4, 16, q2, q3
.Ladded\@:
    addi a4, a4, -16
    .endif
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
    add_addend \whole
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

    function ESP_DL_ROW(lanes)
    begin_row
    l32i a14, a2, CONV2D_AT_SEGMENT_BYTES
    srli a9, a14, 4
    /* Is everything a multiple of 16? */
    l32i a8, a2, CONV2D_AT_STEP
    or a8, a8, a14
    l32i a12, a2, CONV2D_AT_CHANNELS
    or a8, a8, a12
    or a8, a8, a5
    .if ESP_DL_ADDED
    l32i a12, a2, CONV2D_AT_ADDEND
    or a8, a8, a12
    .endif
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
    .size ESP_DL_ROW(lanes), . - ESP_DL_ROW(lanes)

/*
 * Sums that may leave their lanes, in two parts: of a value x of the input first x & 15 is multiplied, then x >> 4. In
 * between the lanes are shifted to the right by 4, so what stays to be shifted is 4 less. Twice the instructions, and
 * sums of a sixteenth. All is at multiples of 16.
 *
 * Registers as for lanes, but a10 4; q2 input that is loaded ahead, q4 masks of 15, q5 ones; SAR is 4.
 */

/* The products of one part of the segment at a8. */
    .macro part_of_segment upper
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
    .endm

/* The products of one part of the window, of three segments or any number. a4: its weights; then 32 bytes behind them. */
    .macro part upper, three
    l32i a7, a2, CONV2D_AT_SEGMENTS
    ee.vld.128.ip q0, a4, 16
    ee.vld.128.ip q1, a4, 16
    .if \three
    .irp number, 0, 1, 2
    l32i a8, a7, 4 * \number
    part_of_segment \upper
    .endr
    .else
3:  /* a segment */
    l32i a8, a7, 0
    addi a7, a7, 4
    part_of_segment \upper
    bne a7, a6, 3b
    .endif
    .endm

    .macro parts three
1:  /* a pixel */
    l32i a4, a2, CONV2D_AT_WEIGHTS
    l32i a11, a2, CONV2D_AT_CHANNELS
2:  /* sixteen channels */
    mov a12, a4
    load_head
    add_addend 1
    part 0, \three
    addi a4, a12, 48
    .if ESP_DL_ADDED
    l32i a13, a2, CONV2D_AT_FACTORS
    slli a13, a13, 4
    add a4, a4, a13
    .endif
    ee.srcmb.s8.qacc q2, a10, 0
    part 1, \three
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
    .endm

    function ESP_DL_ROW(parts)
    begin_row
    l32i a9, a2, CONV2D_AT_SEGMENT_BYTES
    srli a9, a9, 4
    movi a14, 0x0f0f0f0f
    spread q4
    movi a14, 0x01010101
    spread q5
    movi a10, 4
    ssai 4
    l32i a14, a2, CONV2D_AT_SEGMENT_COUNT
    beqi a14, 3, .Lthree_parts
    parts 0
.Lthree_parts:
    parts 1
    .size ESP_DL_ROW(parts), . - ESP_DL_ROW(parts)

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
    .if ESP_DL_ADDED
    l32i a10, a2, CONV2D_AT_SUMS
    .endif
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

    function ESP_DL_ROW(wide)
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
    .size ESP_DL_ROW(wide), . - ESP_DL_ROW(wide)
