/* Linear resize; a nearest one only moves values (movement.h). */
#ifndef ESP_DL_RESIZE_H
#define ESP_DL_RESIZE_H

#include "esp_dl/types.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Bilinear resize: low and high are the two input places of every output place, weight is that of the high one in
 * units of 2^-10. clamp(sat8(rshift(sum of four values * weights, shift))); as arithmetic.resize_linear. */
typedef struct {
    const int32_t *low, *high;
    const int16_t *weight;
} esp_dl_interpolation_t;

typedef struct {
    esp_dl_shape_t input, output;
    esp_dl_interpolation_t row, column;
    int8_t shift;    /* 20 + e_y - e_x, 1 to 28 */
    int8_t min, max; /* clamp */
} esp_dl_resize_linear_t;

void esp_dl_resize_linear_s8(const int8_t *input, const esp_dl_resize_linear_t *p, int8_t *output);

#ifdef __cplusplus
}
#endif

#endif /* ESP_DL_RESIZE_H */
