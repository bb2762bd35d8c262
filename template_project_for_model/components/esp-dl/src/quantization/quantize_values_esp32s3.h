/* Float to int8 by the floating-point unit of the ESP32-S3: what quantize_values_esp32s3.S computes. */
#ifndef ESP_DL_QUANTIZATION_QUANTIZE_VALUES_ESP32S3_H
#define ESP_DL_QUANTIZATION_QUANTIZE_VALUES_ESP32S3_H

#include <stdint.h>

/*
 * `count` values: y = sat8(floor(x * scale + 1/2) + zero_point), NaN is taken for 0. scale: the bits of a float that is
 * a power of two; zero_point: -128..128. The results are `step` bytes apart.
 */
void esp_dl_quantize_values_esp32s3(const float *x, int32_t count, uint32_t scale, int8_t *y, int32_t step,
                                    int32_t zero_point);

#endif
