/* Softmax and its logarithm. */
#ifndef ESP_DL_SOFTMAX_H
#define ESP_DL_SOFTMAX_H

#include "esp_dl/types.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Softmax of every row: input and output [rows][columns]; as arithmetic.softmax.
 *   m = max(x);  y[i] = table[m - x[i]] / (table[m - x[0]] + table[m - x[1]] + ...)
 * added and divided in float32, in the order of the index. The int8 form quantizes y as esp_dl_quantize_s8 does and
 * works in place.
 */
typedef struct {
    int32_t rows, columns;
    const float *table; /* [256]: exp(-d * 2^e_x) for d = 0..255 */
    int32_t exponent;   /* e_y of the int8 output; not read by the float form */
} esp_dl_softmax_t;

void esp_dl_softmax_s8_f32(const int8_t *input, const esp_dl_softmax_t *p, float *output);
void esp_dl_softmax_s8(const int8_t *input, const esp_dl_softmax_t *p, int8_t *output);

/*
 * Logarithm of the softmax of every row: input and output [rows][columns]; as arithmetic.log_softmax. With m = max(x),
 * S = sum(powers[m - x]) and L = ln(S * 2^-places) at 2^-16 by the steps in docs/arithmetic.md: y = -(m - x) *
 * 2^(exponent + 16) - L  at 2^-16; the int8 form is sat8(rshift(y, output_exponent + 16)), in place
 */
typedef struct {
    int32_t rows, columns;
    const int32_t *powers;     /* [256]: exp(-d * 2^exponent) * 2^places for d = 0..255, rounded */
    const int32_t *logarithms; /* [257]: ln(1 + i / 256) * 2^24, rounded */
    int32_t places;            /* columns * 2^places < 2^31 */
    int32_t exponent;          /* e_x, -16..5 */
    int32_t output_exponent;   /* e_y of the int8 output, -24..14; not read by the float form */
} esp_dl_log_softmax_t;

void esp_dl_log_softmax_s8_f32(const int8_t *input, const esp_dl_log_softmax_t *p, float *output);
void esp_dl_log_softmax_s8(const int8_t *input, const esp_dl_log_softmax_t *p, int8_t *output);

/*
 * Softmax of int16, to float; as arithmetic.softmax_s16. With d = max(x) - x of the row, the power of a value is
 * coarse[d >> 8] * fine[d & 255]; powers are added and divided in float32, in the order of the index.
 */
typedef struct {
    int32_t rows, columns;
    const float *coarse; /* [256], exp(-256 i * 2^e_x) */
    const float *fine;   /* [256], exp(-i * 2^e_x); in both 0 for what is less than 2^-60 */
} esp_dl_softmax_s16_t;

void esp_dl_softmax_s16_f32(const int16_t *input, const esp_dl_softmax_s16_t *p, float *output);

#ifdef __cplusplus
}
#endif

#endif /* ESP_DL_SOFTMAX_H */
