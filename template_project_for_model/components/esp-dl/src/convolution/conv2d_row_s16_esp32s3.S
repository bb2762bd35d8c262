/*
 * Rows of convolutions of 16-bit values for the vector unit of the ESP32-S3: eight channels of all pixels, in lanes of 40
 * bits, then the next. What they compute, and the data they read, is said in esp_dl_esp32s3.h; conv2d_row_s16_esp32s3.c
 * is the same in C. With ESP_DL_ADDED what is added to the sums comes along (conv2d_row_add_s16_esp32s3.S).
 */
#include "common/lanes_esp32s3.inc"
#include "convolution/conv2d_row_s16_esp32s3.h"

#define STACK_OUTPUT 16  /* of the eight channels */
#define STACK_CHANNEL 20 /* bytes before their input, depthwise */
#define STACK_ADDEND 24  /* of the eight channels */

/*
 * a2 row, a3 offset of the window, a4 weights, a5 output, a6 head, a7 next segment, a8 input, a9 vectors or taps of a
 * segment, a10 bytes to the next tap, a11 to the next window, a12 shift, a13 blocks left, a14 segments left, a15 pixels
 * left; q0, q1 weights, q3 input, q6 min, q7 max. With an addend, a10 is its place.
 */
    .macro begin_row
    l32i a6, a2, ROW_S16_AT_WEIGHTS
    l32i a9, a2, ROW_S16_AT_COUNT
    l32i a10, a2, ROW_S16_AT_TAP_STEP
    l32i a11, a2, ROW_S16_AT_STEP
    l32i a13, a2, ROW_S16_AT_BLOCKS
    l32i a5, a2, ROW_S16_AT_OUTPUT
    movi a3, 0
    addi a8, a2, ROW_S16_AT_CLAMP
    ee.vldbc.16 q6, a8
    addi a8, a8, 2
    ee.vldbc.16 q7, a8
    s32i a5, a1, STACK_OUTPUT
    s32i a3, a1, STACK_CHANNEL
    .endm

    .macro begin_block
    l32i a3, a1, STACK_CHANNEL
    l32i a5, a1, STACK_OUTPUT
    l32i a15, a2, ROW_S16_AT_PIXELS
    l8ui a12, a6, ROW_S16_HEAD_SHIFT
    .endm

    .macro begin_pixel
    mov a4, a6
    l32i a7, a2, ROW_S16_AT_ROWS
    load_head
    l32i a14, a2, ROW_S16_AT_SEGMENTS
    .endm

    .macro begin_segment
    l32i a8, a7, 0
    addi a14, a14, -1
    add a8, a8, a3
    addi a7, a7, 4
    .endm

/* Eight sums to the output; then the next pixel. narrow: to int8 */
    .macro end_sums narrow, again
    ee.srcmb.s16.qacc q2, a12, 0
    l32i a14, a2, ROW_S16_AT_OUTPUT_STEP
    ee.vmax.s16 q2, q2, q6
    ee.vmin.s16 q2, q2, q7
    addi a15, a15, -1
    add a3, a3, a11
    .if \narrow
    ee.vunzip.8 q2, q4
    ee.vst.l.64.xp q2, a5, a14
    .else
    ee.vst.128.xp q2, a5, a14
    .endif
    bnez a15, \again
    .endm

/* a4: behind the weights of a block; narrow, channels: as above, whether input channels follow each other */
    .macro end_block narrow, channels, again
    mov a6, a4
    l32i a5, a1, STACK_OUTPUT
    addi a13, a13, -1
    .if \narrow
    addi a5, a5, 8
    .else
    addi a5, a5, 16
    .endif
    s32i a5, a1, STACK_OUTPUT
    .if \channels
    l32i a3, a1, STACK_CHANNEL
    addi a3, a3, 16
    s32i a3, a1, STACK_CHANNEL
    .endif
    bnez a13, \again
    .endm

    .macro eight
    ee.vsmulas.s16.qacc.ld.incp q0, a4, q0, q3, 0
    ee.vsmulas.s16.qacc.ld.incp q1, a4, q1, q3, 1
    ee.vsmulas.s16.qacc.ld.incp q0, a4, q0, q3, 2
    ee.vsmulas.s16.qacc.ld.incp q1, a4, q1, q3, 3
    ee.vsmulas.s16.qacc.ld.incp q0, a4, q0, q3, 4
    ee.vsmulas.s16.qacc.ld.incp q1, a4, q1, q3, 5
    ee.vsmulas.s16.qacc.ld.incp q0, a4, q0, q3, 6
    ee.vsmulas.s16.qacc.ld.incp q1, a4, q1, q3, 7
    .endm

#ifdef ESP_DL_ADDED
/* Eight values at a10 times their factors at a4. */
    .macro add_eight wide
    ee.vld.128.ip q3, a4, 16
    l32i a14, a2, ROW_S16_AT_ADDEND_STEP
    .if \wide
    ee.vld.128.xp q5, a10, a14
    .else
    ee.vld.l.64.xp q4, a10, a14
    l8ui a14, a6, ROW_S16_HEAD_UPPER
    ee.zero.q q5
    beqz a14, 8f
    ee.vzip.8 q5, q4
    j 9f
8:
    ee.vcmp.lt.s8 q5, q4, q5
    ee.vzip.8 q4, q5
    ee.orq q5, q4, q4
9:
    .endif
    ee.vmulas.s16.qacc q3, q5
    .endm
#endif

/* added: 0 nothing, 1 int8, 2 int16 */
    .macro any_row aligned, narrow, added=0
1:  /* eight channels */
    begin_block
    .if \added
    l32i a10, a1, STACK_ADDEND
    .endif
2:  /* a pixel */
    begin_pixel
    .if \added
    add_eight \added - 1
    l32i a14, a2, ROW_S16_AT_SEGMENTS
    .endif
    ee.vld.128.ip q0, a4, 16
    ee.vld.128.ip q1, a4, 16
3:  /* a segment */
    begin_segment
    .if \aligned
    loop a9, 4f
    ee.vld.128.ip q3, a8, 16
    .else
    ee.ld.128.usar.ip q4, a8, 16
    loop a9, 4f
    ee.vld.128.ip q5, a8, 16
    ee.src.q.qup q3, q4, q5
    .endif
    eight
4:
    bnez a14, 3b
    end_sums \narrow, 2b
    addi a4, a4, -32
    .if \added
    l32i a10, a1, STACK_ADDEND
    addi a10, a10, 8 * \added
    s32i a10, a1, STACK_ADDEND
    .endif
    end_block \narrow, 0, 1b
    return
    .endm

#ifdef ESP_DL_ADDED
    function esp_dl_conv2d_row_add_s16_esp32s3
    begin_row
    l32i a10, a2, ROW_S16_AT_ADDEND
    l32i a14, a2, ROW_S16_AT_NARROW
    l32i a15, a2, ROW_S16_AT_ADDEND_S16
    s32i a10, a1, STACK_ADDEND
    bnez a14, .Lnarrow_added
    bnez a15, .Ladded_s16
    any_row 1, 0, 1
.Ladded_s16:
    any_row 1, 0, 2
.Lnarrow_added:
    bnez a15, .Lnarrow_added_s16
    any_row 1, 1, 1
.Lnarrow_added_s16:
    any_row 1, 1, 2
    .size esp_dl_conv2d_row_add_s16_esp32s3, . - esp_dl_conv2d_row_add_s16_esp32s3

#else
    function esp_dl_conv2d_row_s16_esp32s3
    begin_row
    l32i a14, a2, ROW_S16_AT_NARROW
    l32i a15, a2, ROW_S16_AT_ALIGNED
    bnez a14, .Lnarrow
    bnez a15, .Laligned
    any_row 0, 0
.Laligned:
    any_row 1, 0
.Lnarrow:
    bnez a15, .Lnarrow_aligned
    any_row 0, 1
.Lnarrow_aligned:
    any_row 1, 1
    .size esp_dl_conv2d_row_s16_esp32s3, . - esp_dl_conv2d_row_s16_esp32s3

    .macro any_depthwise aligned, narrow
1:  /* eight channels */
    begin_block
2:  /* a pixel */
    begin_pixel
    ee.vld.128.ip q1, a4, 16
3:  /* a row of the window */
    begin_segment
    loop a9, 4f
    .if \aligned
    ee.vld.128.xp q3, a8, a10
    .else
    ee.ld.128.usar.ip q4, a8, 16
    ee.vld.128.xp q5, a8, a10
    ee.src.q q3, q4, q5
    .endif
    ee.vmulas.s16.qacc.ld.ip q1, a4, 16, q3, q1
4:
    bnez a14, 3b
    end_sums \narrow, 2b
    addi a4, a4, -16
    end_block \narrow, 1, 1b
    return
    .endm

    function esp_dl_depthwise_conv2d_row_s16_esp32s3
    begin_row
    l32i a14, a2, ROW_S16_AT_NARROW
    l32i a15, a2, ROW_S16_AT_ALIGNED
    bnez a15, .Leach_aligned
    addi a10, a10, -16
    bnez a14, .Leach_narrow
    any_depthwise 0, 0
.Leach_narrow:
    any_depthwise 0, 1
.Leach_aligned:
    bnez a14, .Leach_narrow_aligned
    any_depthwise 1, 0
.Leach_narrow_aligned:
    any_depthwise 1, 1
    .size esp_dl_depthwise_conv2d_row_s16_esp32s3, . - esp_dl_depthwise_conv2d_row_s16_esp32s3

/*
 * Windows of 3x3: the pointers walk through the rows. a6, a15: the weights and pixels of eight channels; a7 bytes from a
 * tap to the next, a11 from the last tap of a row to the next window's first, a8..a10 rows, a14 to the next pixel.
 */
    .macro three narrow
1:  /* eight channels */
    begin_block
    l32i a4, a2, ROW_S16_AT_ROWS
    l32i a14, a2, ROW_S16_AT_OUTPUT_STEP
    l32i a8, a4, 0
    l32i a9, a4, 4
    l32i a10, a4, 8
    add a8, a8, a3
    add a9, a9, a3
    add a10, a10, a3
    loop a15, 2f
    mov a4, a6
    load_head
    ee.vld.128.ip q1, a4, 16
    .irp row, a8, a9, a10
    ee.vld.128.xp q3, \row, a7
    ee.vmulas.s16.qacc.ld.ip q1, a4, 16, q3, q1
    ee.vld.128.xp q3, \row, a7
    ee.vmulas.s16.qacc.ld.ip q1, a4, 16, q3, q1
    ee.vld.128.xp q3, \row, a11
    ee.vmulas.s16.qacc.ld.ip q1, a4, 16, q3, q1
    .endr
    ee.srcmb.s16.qacc q2, a12, 0
    ee.vmax.s16 q2, q2, q6
    ee.vmin.s16 q2, q2, q7
    .if \narrow
    ee.vunzip.8 q2, q4
    ee.vst.l.64.xp q2, a5, a14
    .else
    ee.vst.128.xp q2, a5, a14
    .endif
2:
    addi a4, a4, -16
    end_block \narrow, 1, 1b
    return
    .endm

    function esp_dl_depthwise_conv2d_row_3x3_s16_esp32s3
    begin_row
    mov a7, a10
    sub a11, a11, a10
    sub a11, a11, a10
    l32i a14, a2, ROW_S16_AT_NARROW
    bnez a14, .Lthree_narrow
    three 0
.Lthree_narrow:
    three 1
    .size esp_dl_depthwise_conv2d_row_3x3_s16_esp32s3, . - esp_dl_depthwise_conv2d_row_3x3_s16_esp32s3

/* esp_dl_widen_esp32s3(const int8_t *from, int32_t vectors, int16_t *to) */
    function esp_dl_widen_esp32s3
    ee.zero.q q3
    ee.ld.128.usar.ip q0, a2, 16
    loopnez a3, 1f
    ee.vld.128.ip q1, a2, 16
    ee.src.q.qup q2, q0, q1
    ee.vcmp.lt.s8 q4, q2, q3
    ee.vzip.8 q2, q4
    ee.vst.128.ip q2, a4, 16
    ee.vst.128.ip q4, a4, 16
1:
    return
    .size esp_dl_widen_esp32s3, . - esp_dl_widen_esp32s3
#endif
