/* The bytes of windows one behind the other; gather_windows_esp32s3.c is the same in C. */
#include "common/esp32s3.inc"
#include "convolution/gather_windows_esp32s3.h"

/*
 * Segments of up to \words words, which may lie anywhere; what is too much is written over by the next.
 *
 * a3 offset of the window, a4 where it goes, a5 segments, a6 bytes of one, a7 where they are listed, a8 segment, a9 where
 * it goes, a10 input, a11 word, a12 pixels left, a13 and a14 to the next pixel.
 */
    .macro gather words
    bnei a15, \words, 3f
1:  /* a pixel */
    mov a8, a7
    mov a9, a4
    addi a12, a12, -1
    loop a5, 2f
    l32i a10, a8, 0
    addi a8, a8, 4
    add a10, a10, a3
    .irp at, 0, 4, 8, 12, 16, 20
    .if 4 * \words > \at
    l32i a11, a10, \at
    s32i a11, a9, \at
    .endif
    .endr
    add a9, a9, a6
2:
    add a3, a3, a13
    add a4, a4, a14
    bnez a12, 1b
    return
3:
    .endm

    function esp_dl_gather_windows_esp32s3
    l32i a6, a2, WINDOWS_AT_SEGMENT_BYTES
    l32i a7, a2, WINDOWS_AT_SEGMENTS
    l32i a5, a2, WINDOWS_AT_SEGMENT_COUNT
    l32i a3, a2, WINDOWS_AT_OFFSET
    l32i a4, a2, WINDOWS_AT_TO
    l32i a12, a2, WINDOWS_AT_PIXELS
    l32i a13, a2, WINDOWS_AT_STEP
    l32i a14, a2, WINDOWS_AT_TO_STEP
    addi a15, a6, 3
    srli a15, a15, 2
    gather 1
    gather 2
    gather 3
    gather 4
    gather 5
    gather 6
    return
    .size esp_dl_gather_windows_esp32s3, . - esp_dl_gather_windows_esp32s3
