/* From float to int8 and int16, and back. */
#ifndef ESP_DL_QUANTIZATION_H
#define ESP_DL_QUANTIZATION_H

#include "esp_dl/types.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * `count` values to int8: y = sat8(floor(x / 2^exponent + 1/2) + zero_point), exact for every float: denormals count,
 * infinities saturate, NaN is taken for 0. Integer instructions only. exponent: -149..127; zero_point: -128..128. As
 * arithmetic.quantize.
 */
void esp_dl_quantize_s8(const float *input, int32_t count, int32_t exponent, int32_t zero_point, int8_t *output);

/* Where the values lie as NCHW and become NHWC (esp_dl_fast.h). */
typedef struct {
    esp_dl_shape_t output;
    int32_t plane; /* elements from one channel of the input to the next: more than h * w where it has more rows */
    int32_t exponent, zero_point;
} esp_dl_quantize_nhwc_t;

/*
 * `count` values to float: y = x * 2^exponent, exact. As arithmetic.dequantize. Integer instructions only.
 * exponent: -149..127; beyond 120 the largest products leave the range of float and become infinite.
 */
void esp_dl_dequantize_s8(const int8_t *input, int32_t count, int32_t exponent, float *output);

/* The same of int16, with sat16 and without a zero point; as arithmetic.quantize_s16 and dequantize_s16. */
void esp_dl_quantize_s16(const float *input, int32_t count, int32_t exponent, int16_t *output);
void esp_dl_dequantize_s16(const int16_t *input, int32_t count, int32_t exponent, float *output);

/*
 * uint8 pixels to int8 by a table for each channel: y = table[c * 256 + x] of [outer][channels][inner]. As
 * arithmetic.pixels.
 */
typedef struct {
    int32_t outer, channels, inner;
    const int8_t *table; /* [channels][256] */
} esp_dl_pixels_t;

void esp_dl_pixels_s8(const uint8_t *input, const esp_dl_pixels_t *p, int8_t *output);

#ifdef __cplusplus
}
#endif

#endif /* ESP_DL_QUANTIZATION_H */
