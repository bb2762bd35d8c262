/* Bytes from any address to a multiple of 16: esp_dl_copy_bytes_esp32s3(int8_t *to, const int8_t *from, int count) */
#include "common/esp32s3.inc"

    function esp_dl_copy_bytes_esp32s3
    extui a6, a3, 0, 4
    srli a5, a4, 4
    extui a4, a4, 0, 4
    bnez a6, 3f
    srli a6, a5, 1
    loopnez a6, 1f
    ee.vld.128.ip q0, a3, 16
    ee.vld.128.ip q1, a3, 16
    ee.vst.128.ip q0, a2, 16
    ee.vst.128.ip q1, a2, 16
1:
    bbci a5, 0, 2f
    ee.vld.128.ip q0, a3, 16
    ee.vst.128.ip q0, a2, 16
2:
    bnez a4, 5f
    return
3:
    ee.ld.128.usar.ip q0, a3, 16
    loopnez a5, 4f
    ee.vld.128.ip q1, a3, 16
    ee.src.q.qup q2, q0, q1
    ee.vst.128.ip q2, a2, 16
4:
    addi a3, a3, -16
5:
    or a6, a3, a4
    extui a6, a6, 0, 2
    bnez a6, 7f
    srli a4, a4, 2
    loopnez a4, 6f
    l32i a6, a3, 0
    addi a3, a3, 4
    s32i a6, a2, 0
    addi a2, a2, 4
6:
    return
7:
    loopnez a4, 8f
    l8ui a6, a3, 0
    addi a3, a3, 1
    s8i a6, a2, 0
    addi a2, a2, 1
8:
    return
    .size esp_dl_copy_bytes_esp32s3, . - esp_dl_copy_bytes_esp32s3

/* Vectors of one value: esp_dl_fill_vectors_esp32s3(int8_t *to, const int8_t *value, int count) */
    function esp_dl_fill_vectors_esp32s3
    ee.vldbc.8 q0, a3
    loopnez a4, 1f
    ee.vst.128.ip q0, a2, 16
1:
    return
    .size esp_dl_fill_vectors_esp32s3, . - esp_dl_fill_vectors_esp32s3

/*
 * Blocks of vectors from any address to multiples of 16: esp_dl_copy_blocks_esp32s3(int8_t *to, const int8_t *from,
 * int vectors, int blocks, int to_step, int from_step)
 */
    function esp_dl_copy_blocks_esp32s3
    or a8, a3, a7
    extui a8, a8, 0, 4
    bnez a8, 6f
    bnei a4, 1, 2f
    loopnez a5, 1f
    ee.vld.128.xp q0, a3, a7
    ee.vst.128.xp q0, a2, a6
1:
    return
2:
    srli a11, a4, 1
3:  /* a block, two vectors at a time */
    mov a8, a2
    mov a9, a3
    loopnez a11, 4f
    ee.vld.128.ip q0, a9, 16
    ee.vld.128.ip q1, a9, 16
    ee.vst.128.ip q0, a8, 16
    ee.vst.128.ip q1, a8, 16
4:
    bbci a4, 0, 5f
    ee.vld.128.ip q0, a9, 16
    ee.vst.128.ip q0, a8, 16
5:
    addi a5, a5, -1
    add a2, a2, a6
    add a3, a3, a7
    bnez a5, 3b
    return
6:  /* a block from any address */
    mov a8, a2
    mov a9, a3
    ee.ld.128.usar.ip q0, a9, 16
    loopnez a4, 7f
    ee.vld.128.ip q1, a9, 16
    ee.src.q.qup q2, q0, q1
    ee.vst.128.ip q2, a8, 16
7:
    addi a5, a5, -1
    add a2, a2, a6
    add a3, a3, a7
    bnez a5, 6b
    return
    .size esp_dl_copy_blocks_esp32s3, . - esp_dl_copy_blocks_esp32s3

/*
 * Blocks of `bytes` bytes, a multiple of 4, from places `from_step` bytes apart at multiples of 16 to one behind the other:
 * esp_dl_pack_pixels_esp32s3(int8_t *to, const int8_t *from, int bytes, int from_step, int blocks)
 */
    function esp_dl_pack_pixels_esp32s3
    srli a8, a4, 4
    bbsi a4, 2, 5f
    bnei a8, 1, 2f
    loopnez a6, 1f
    ee.vld.128.ip q0, a3, 16
    ee.vld.l.64.ip q1, a3, -16
    ee.vst.l.64.ip q0, a2, 8
    add a3, a3, a5
    ee.vst.h.64.ip q0, a2, 8
    ee.vst.l.64.ip q1, a2, 8
1:
    return
2:  /* a block, sixteen bytes at a time, then eight */
    mov a9, a3
    loopnez a8, 3f
    ee.vld.128.ip q0, a9, 16
    ee.vst.l.64.ip q0, a2, 8
    ee.vst.h.64.ip q0, a2, 8
3:
    ee.vld.l.64.ip q0, a9, 8
    addi a6, a6, -1
    add a3, a3, a5
    ee.vst.l.64.ip q0, a2, 8
    bnez a6, 2b
    return
5:  /* words */
    srli a8, a4, 2
6:
    mov a9, a3
    loop a8, 7f
    l32i a10, a9, 0
    addi a9, a9, 4
    s32i a10, a2, 0
    addi a2, a2, 4
7:
    addi a6, a6, -1
    add a3, a3, a5
    bnez a6, 6b
    return
    .size esp_dl_pack_pixels_esp32s3, . - esp_dl_pack_pixels_esp32s3
