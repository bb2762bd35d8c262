/* Elementwise operators. */
#ifndef ESP_DL_ELEMENTWISE_H
#define ESP_DL_ELEMENTWISE_H

#include "esp_dl/types.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Scale and offset per channel: input and output [outer][channels][inner]. In place. As arithmetic.channelwise.
 *   y = clamp(sat8(rshift(x * multiplier[c] + bias[c], shift[c]))),  shift[c] = e_y - e_x - e_m[c]
 */
typedef struct {
    int32_t outer, channels, inner;
    const int8_t *multiplier; /* [channels] */
    const int32_t *bias;      /* [channels], at e_x + e_m; where shift > 0 with 2^(shift - 1) already added */
    const int8_t *shift;      /* [channels], -8..31 */
    int8_t min, max;          /* clamp */
} esp_dl_channelwise_t;

void esp_dl_channelwise_s8(const int8_t *input, const esp_dl_channelwise_t *p, int8_t *output);

/*
 * Two tensors of the same shape, with contiguous elements. In place: the output may be a, or b, or both (a == b is
 * allowed too). As arithmetic.add, sub, mul.
 *   add, sub:  y = clamp(sat8(rshift(a * 2^shift_a +- b * 2^shift_b, shift))),
 *              shift_a = e_a - f, shift_b = e_b - f, shift = e_y - f, f = min(e_a, e_b)
 *   mul:       y = clamp(sat8(rshift(a * b, shift))),  shift = e_y - e_a - e_b; shift_a and shift_b are not read
 */
typedef struct {
    int32_t count;                 /* elements */
    int8_t shift_a, shift_b;       /* 0..22; of int16 0..14 */
    int8_t shift;                  /* -8..30; -16..30 where the result is int16 */
    int16_t min, max;              /* clamp */
    bool a_s16, b_s16, output_s16; /* read only by the s16 kernel */
} esp_dl_binary_t;

void esp_dl_add_s8(const int8_t *a, const int8_t *b, const esp_dl_binary_t *p, int8_t *output);
void esp_dl_sub_s8(const int8_t *a, const int8_t *b, const esp_dl_binary_t *p, int8_t *output);
void esp_dl_mul_s8(const int8_t *a, const int8_t *b, const esp_dl_binary_t *p, int8_t *output);

/* Sum and product of int16; as arithmetic.add_s16 and mul_s16. In place of an input of the output's type. */
void esp_dl_add_s16(const void *a, const void *b, const esp_dl_binary_t *p, void *output);
void esp_dl_mul_s16(const void *a, const void *b, const esp_dl_binary_t *p, void *output);

/*
 * Another exponent, or a relu or clip that is not fused, of `count` values. In place. As arithmetic.requantize.
 *   y = clamp(sat8(rshift(x, shift))),  shift = e_y - e_x
 */
typedef struct {
    int8_t shift;               /* -8..30; of int16 -16..17 */
    int16_t min, max;           /* clamp */
    bool input_s16, output_s16; /* read by the s16 kernel alone */
} esp_dl_requantize_t;

void esp_dl_requantize_s8(const int8_t *input, int32_t count, const esp_dl_requantize_t *p, int8_t *output);

/* The same of int16, and from one width to the other; as arithmetic.requantize_s16. In place if both widths are equal.
 */
void esp_dl_requantize_s16(const void *input, int32_t count, const esp_dl_requantize_t *p, void *output);

/*
 * Any function of one value, as a table, of `count` values. In place. As arithmetic.lookup.
 *   y = table[x + 128]
 */
void esp_dl_lookup_s8(const int8_t *input, int32_t count, const int8_t table[256], int8_t *output);

/*
 * The same where input, output or both are int16. Of int8 values the table has an entry for each, [256]; of int16 ones
 * [513] every 128th, from -2^15 to 2^15, and values between two entries lie on a line; for an int8 output they are in
 * units of 2^(e_y - 8). In place if both widths are equal. As arithmetic.lookup_s16.
 */
typedef struct {
    const int16_t *table;
    bool input_s16, output_s16; /* at least one */
} esp_dl_lookup_t;

void esp_dl_lookup_s16(const void *input, int32_t count, const esp_dl_lookup_t *p, void *output);

/* Two tensors whose shapes broadcast: a step is 0 if one value is used for the whole axis. The output has no gaps. */
typedef struct {
    int32_t rank;                                             /* 1..ESP_DL_MAX_RANK */
    int32_t shape[ESP_DL_MAX_RANK];                           /* of the output */
    int32_t step_a[ESP_DL_MAX_RANK], step_b[ESP_DL_MAX_RANK]; /* elements from one index to the next */
    int8_t shift_a, shift_b; /* left shifts to the finer exponent f of the inputs, 0 to 22; 0 for mul, div */
    int8_t shift;            /* e_y - f (mul: e_y - e_a - e_b; div: e_y - e_a + e_b), -8 to 30 */
    int8_t min, max;         /* clamp; not read by comparisons */
} esp_dl_broadcast_t;

/* clamp(sat8(rshift((a << shift_a) + (b << shift_b), shift))), likewise the difference, the maximum and the minimum; as
 * arithmetic.add_broadcast, sub_broadcast, maximum, minimum. */
void esp_dl_add_broadcast_s8(const int8_t *a, const int8_t *b, const esp_dl_broadcast_t *p, int8_t *output);
void esp_dl_sub_broadcast_s8(const int8_t *a, const int8_t *b, const esp_dl_broadcast_t *p, int8_t *output);
void esp_dl_maximum_s8(const int8_t *a, const int8_t *b, const esp_dl_broadcast_t *p, int8_t *output);
void esp_dl_minimum_s8(const int8_t *a, const int8_t *b, const esp_dl_broadcast_t *p, int8_t *output);

/* clamp(sat8(rshift(a * b, shift))); as arithmetic.mul_broadcast. */
void esp_dl_mul_broadcast_s8(const int8_t *a, const int8_t *b, const esp_dl_broadcast_t *p, int8_t *output);

/* clamp(sat8(floor(a / b * 2^-shift + 1/2))), shift: -20 to 20; a / 0 saturates by the sign of a, 0 / 0 is 0; as
 * arithmetic.div. */
void esp_dl_div_s8(const int8_t *a, const int8_t *b, const esp_dl_broadcast_t *p, int8_t *output);

/* x >= 0: clamp(sat8(rshift(x, shift))); x < 0: clamp(sat8(rshift(x * slope, shift_negative))); as arithmetic.prelu. */
typedef struct {
    esp_dl_broadcast_t places; /* a: x, b: slope */
    int8_t shift_negative;     /* e_y - e_x - e_slope, -8 to 16 */
} esp_dl_prelu_t;

void esp_dl_prelu_s8(const int8_t *x, const int8_t *slope, const esp_dl_prelu_t *p, int8_t *output);

/* Where the condition (bytes, 0: it does not hold) clamp(sat8(rshift(a, shift_a))), elsewhere
 * clamp(sat8(rshift(b, shift_b))); all three broadcast; as arithmetic.select. */
typedef struct {
    int32_t rank;                   /* 1..ESP_DL_MAX_RANK */
    int32_t shape[ESP_DL_MAX_RANK]; /* of the output, which has no gaps */
    /* elements from one index to the next, 0 if one value is used for the whole axis */
    int32_t step_condition[ESP_DL_MAX_RANK], step_a[ESP_DL_MAX_RANK], step_b[ESP_DL_MAX_RANK];
    int8_t shift_a, shift_b; /* e_y - e_a, e_y - e_b, -8 to 9 */
    int8_t min, max;         /* clamp */
} esp_dl_select_t;

void esp_dl_select_s8(const void *condition, const int8_t *a, const int8_t *b, const esp_dl_select_t *p,
                      int8_t *output);

/* (a << shift_a) compared with (b << shift_b); as arithmetic.compare. */
void esp_dl_equal_s8(const int8_t *a, const int8_t *b, const esp_dl_broadcast_t *p, bool *output);
void esp_dl_greater_s8(const int8_t *a, const int8_t *b, const esp_dl_broadcast_t *p, bool *output);
void esp_dl_greater_equal_s8(const int8_t *a, const int8_t *b, const esp_dl_broadcast_t *p, bool *output);

#ifdef __cplusplus
}
#endif

#endif /* ESP_DL_ELEMENTWISE_H */
