/* Layer, instance, RMS and L2 normalization. */
#ifndef ESP_DL_NORMALIZATION_H
#define ESP_DL_NORMALIZATION_H

#include "esp_dl/types.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum {
    ESP_DL_NORMALIZE_CENTERED, /* (x - mean) / standard deviation */
    ESP_DL_NORMALIZE_RMS,      /* x / root of the mean square */
    ESP_DL_NORMALIZE_L2,       /* x / root of the sum of squares */
} esp_dl_normalize_mode_t;

/*
 * Layer, instance, RMS and L2 normalization along the middle axis of input and output
 * [outer][length][inner]. In place. As arithmetic.normalize.
 * z is the normalized value at 2^-12, by the steps in docs/arithmetic.md;
 *   y = clamp(sat8(rshift(z * multiplier[c] + bias[c], shift[c]))),  c = index in memory / parameter_step % parameters
 */
typedef struct {
    int32_t outer, length, inner; /* length <= 16384 */
    esp_dl_normalize_mode_t mode;
    int64_t epsilon; /* of the variance, in the units of the sum that it is added to */
    int32_t parameters, parameter_step;
    const int16_t *multiplier; /* [parameters], -2047..2047 */
    const int32_t *bias;       /* [parameters], at e_m - 12; where shift > 0 with 2^(shift - 1) already added */
    const int8_t *shift;       /* [parameters], -8..31: e_y - e_m + 12 */
    int8_t min, max;           /* clamp */
} esp_dl_normalize_t;

void esp_dl_normalize_s8(const int8_t *input, const esp_dl_normalize_t *p, int8_t *output);

#ifdef __cplusplus
}
#endif

#endif /* ESP_DL_NORMALIZATION_H */
