/* Int8 to float by the floating-point unit of the ESP32-S3; dequantize_s8_esp32s3.c says what it is elsewhere. */
#include "common/esp32s3.inc"

/*
 * esp_dl_dequantize_values_esp32s3(const int8_t *x, int32_t count, uint32_t scale, float *y)
 *
 * y = x * scale, exact; scale: the bits of a float that is a power of two.
 */
    function esp_dl_dequantize_values_esp32s3
    wfr f15, a4
    srli a8, a3, 2
    loopnez a8, 1f
    l8ui a9, a2, 0
    l8ui a10, a2, 1
    l8ui a11, a2, 2
    l8ui a12, a2, 3
    .irp register, a9, a10, a11, a12
    sext \register, \register, 7
    .endr
    float.s f0, a9, 0
    float.s f1, a10, 0
    float.s f2, a11, 0
    float.s f3, a12, 0
    .irp value, f0, f1, f2, f3
    mul.s \value, \value, f15
    .endr
    .irp value, f0, f1, f2, f3
    ssip \value, a5, 4
    .endr
    addi a2, a2, 4
1:
    extui a8, a3, 0, 2
    loopnez a8, 2f
    l8ui a9, a2, 0
    addi a2, a2, 1
    sext a9, a9, 7
    float.s f0, a9, 0
    mul.s f0, f0, f15
    ssip f0, a5, 4
2:
    return
    .size esp_dl_dequantize_values_esp32s3, . - esp_dl_dequantize_values_esp32s3
