/* Int8 and int16 to float by the floating-point unit of the ESP32-S3; dequantize_esp32s3.c says what it is elsewhere. */
#include "common/esp32s3.inc"

/* The value number \at from a2 on. */
    .macro load_value to, at, bytes
    .if \bytes == 1
    l8ui \to, a2, \at
    .else
    l16si \to, a2, 2 * \at
    .endif
    .endm

    .macro to_float to, from, bytes
    .if \bytes == 1
    sext \from, \from, 7
    .endif
    float.s \to, \from, 0
    .endm

/* a2 values of so many bytes, a3 count, a4 scale, a5 output. */
    .macro dequantize bytes
    wfr f15, a4
    srli a8, a3, 2
    loopnez a8, 1f
    load_value a9, 0, \bytes
    load_value a10, 1, \bytes
    load_value a11, 2, \bytes
    load_value a12, 3, \bytes
    to_float f0, a9, \bytes
    to_float f1, a10, \bytes
    to_float f2, a11, \bytes
    to_float f3, a12, \bytes
    .irp value, f0, f1, f2, f3
    mul.s \value, \value, f15
    .endr
    .irp value, f0, f1, f2, f3
    ssip \value, a5, 4
    .endr
    addi a2, a2, 4 * \bytes
1:
    extui a8, a3, 0, 2
    loopnez a8, 2f
    load_value a9, 0, \bytes
    addi a2, a2, \bytes
    to_float f0, a9, \bytes
    mul.s f0, f0, f15
    ssip f0, a5, 4
2:
    return
    .endm

/*
 * esp_dl_dequantize_values_esp32s3(const int8_t *x, int32_t count, uint32_t scale, float *y)
 *
 * y = x * scale, exact; scale: the bits of a float that is a power of two.
 */
    function esp_dl_dequantize_values_esp32s3
    dequantize 1
    .size esp_dl_dequantize_values_esp32s3, . - esp_dl_dequantize_values_esp32s3

/* The same of const int16_t *x. */
    function esp_dl_dequantize_words_esp32s3
    dequantize 2
    .size esp_dl_dequantize_words_esp32s3, . - esp_dl_dequantize_words_esp32s3
