/* Products of matrices: by constant weights, and of two activations. */
#ifndef ESP_DL_DENSE_H
#define ESP_DL_DENSE_H

#include "esp_dl/types.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Fully connected layer: input [rows][inputs], output [rows][outputs]. The rule is that of the convolution; as
 * arithmetic.dense.
 */
typedef struct {
    int32_t rows, inputs, outputs;
    const int8_t *weights;      /* [outputs][inputs] */
    const int32_t *bias;        /* [outputs], as for the convolution */
    const int8_t *shift;        /* [outputs], -8..31; -16..31 where the result is int16 */
    int16_t min, max;           /* clamp */
    bool input_s16, output_s16; /* read by the s16 kernel alone */
} esp_dl_dense_t;

void esp_dl_dense_s8(const int8_t *input, const esp_dl_dense_t *p, int8_t *output);

/* The same of int16; as arithmetic.dense_s16. */
void esp_dl_dense_s16(const void *input, const esp_dl_dense_t *p, void *output);

/*
 * Product of matrices: a [batch][rows][inner], b [batch][inner][columns], output [batch][rows][columns]; as
 * arithmetic.matmul.
 *   y = clamp(sat8(rshift(sum(a * b), shift))),  shift = e_y - e_a - e_b
 */
typedef struct {
    int32_t batch, rows, inner, columns;
    bool transpose_b; /* b is [batch][columns][inner] */
    int8_t shift;     /* -8..31 */
    int8_t min, max;  /* clamp */
} esp_dl_matmul_t;

void esp_dl_matmul_s8(const int8_t *a, const int8_t *b, const esp_dl_matmul_t *p, int8_t *output);

#ifdef __cplusplus
}
#endif

#endif /* ESP_DL_DENSE_H */
