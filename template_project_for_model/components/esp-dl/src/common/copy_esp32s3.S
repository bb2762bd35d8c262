/* Vectors from any address to a multiple of 16: esp_dl_copy_vectors_esp32s3(int8_t *to, const int8_t *from, int count) */
#include "common/esp32s3.inc"

    function esp_dl_copy_vectors_esp32s3
    extui a5, a3, 0, 4
    beqz a5, 2f
    ee.ld.128.usar.ip q0, a3, 16
    loopnez a4, 1f
    ee.vld.128.ip q1, a3, 16
    ee.src.q.qup q2, q0, q1
    ee.vst.128.ip q2, a2, 16
1:
    return
2:
    srli a5, a4, 1
    loopnez a5, 3f
    ee.vld.128.ip q0, a3, 16
    ee.vld.128.ip q1, a3, 16
    ee.vst.128.ip q0, a2, 16
    ee.vst.128.ip q1, a2, 16
3:
    bbci a4, 0, 4f
    ee.vld.128.ip q0, a3, 16
    ee.vst.128.ip q0, a2, 16
4:
    return
    .size esp_dl_copy_vectors_esp32s3, . - esp_dl_copy_vectors_esp32s3
