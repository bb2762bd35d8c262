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
    loopnez a4, 6f
    l8ui a6, a3, 0
    addi a3, a3, 1
    s8i a6, a2, 0
    addi a2, a2, 1
6:
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
