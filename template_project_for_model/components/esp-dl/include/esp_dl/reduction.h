/* Sums, norms, extremes and their positions over axes. */
#ifndef ESP_DL_REDUCTION_H
#define ESP_DL_REDUCTION_H

#include "esp_dl/types.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Reduction: for every position of the kept axes, in their order, over all positions of the reduced axes. */
typedef struct {
    int32_t kept_rank;                                               /* 0..ESP_DL_MAX_RANK */
    int32_t kept_shape[ESP_DL_MAX_RANK], kept_step[ESP_DL_MAX_RANK]; /* steps in elements of the input */
    int32_t reduced_rank;                                            /* 0..ESP_DL_MAX_RANK */
    int32_t reduced_shape[ESP_DL_MAX_RANK], reduced_step[ESP_DL_MAX_RANK];
    int32_t divisor; /* mean: the elements of a sum; 1 otherwise */
    int8_t shift;    /* e_y - e_x, sum of squares: e_y - 2 e_x */
    int8_t min, max; /* clamp */
} esp_dl_reduce_t;

/* clamp(sat8(floor(sum * 2^-shift / divisor + 1/2))); of x, |x| and x^2; as arithmetic.reduce_sum (reduce_mean with a
 * divisor), reduce_l1, reduce_sum_square. */
void esp_dl_reduce_sum_s8(const int8_t *input, const esp_dl_reduce_t *p, int8_t *output);
void esp_dl_reduce_l1_s8(const int8_t *input, const esp_dl_reduce_t *p, int8_t *output);
void esp_dl_reduce_sum_square_s8(const int8_t *input, const esp_dl_reduce_t *p, int8_t *output);

/* clamp(sat8(floor(sqrt(sum of x^2) * 2^-shift + 1/2))), exact; shift: e_y - e_x, -8 to 8; as arithmetic.reduce_l2. */
void esp_dl_reduce_l2_s8(const int8_t *input, const esp_dl_reduce_t *p, int8_t *output);

/* The exponent stays; as arithmetic.reduce_max and reduce_min. */
void esp_dl_reduce_max_s8(const int8_t *input, const esp_dl_reduce_t *p, int8_t *output);
void esp_dl_reduce_min_s8(const int8_t *input, const esp_dl_reduce_t *p, int8_t *output);

/* The position of the largest (smallest) value: [outer][size][inner] -> [outer][inner]; as arithmetic.argmax. */
typedef struct {
    int32_t outer, size, inner;
    bool last; /* of equal values the last counts, otherwise the first */
    bool smallest;
} esp_dl_argmax_t;

void esp_dl_argmax_s8(const int8_t *input, const esp_dl_argmax_t *p, int64_t *output);

/* `one` at the first of the largest values along an axis, 0 elsewhere: [outer][size][inner]. Works in place. */
typedef struct {
    int32_t outer, size, inner;
    int8_t one; /* 1 at the exponent of the output */
} esp_dl_hardmax_t;

void esp_dl_hardmax_s8(const int8_t *input, const esp_dl_hardmax_t *p, int8_t *output);

/*
 * The k largest (smallest) values along an axis, the best first, of equal ones the one with the lower position:
 * [outer][size][inner] -> [outer][k][inner]. Values as float, exact; as arithmetic.topk and topk_indices.
 */
typedef struct {
    int32_t outer, size, inner;
    int32_t k; /* 1..size */
    bool smallest;
    int32_t exponent; /* e_x of int8 values */
} esp_dl_topk_t;

void esp_dl_topk_s8(const int8_t *input, const esp_dl_topk_t *p, float *output);
void esp_dl_topk_f32(const float *input, const esp_dl_topk_t *p, float *output);
void esp_dl_topk_indices_s8(const int8_t *input, const esp_dl_topk_t *p, int64_t *output);
void esp_dl_topk_indices_f32(const float *input, const esp_dl_topk_t *p, int64_t *output);

#ifdef __cplusplus
}
#endif

#endif /* ESP_DL_REDUCTION_H */
