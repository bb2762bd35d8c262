#include "common/broadcast.h"
#include "common/requantize.h"

void esp_dl_prelu_s8(const int8_t *x, const int8_t *slope, const esp_dl_prelu_t *p, int8_t *output)
{
    const esp_dl_broadcast_t *places = &p->places;
    /* Copies: a store of int8 may change all that a pointer reaches, so they would be loaded for every value. */
    const int32_t shift = places->shift, shift_negative = p->shift_negative, min = places->min, max = places->max;
    const int32_t half = esp_dl_half(shift), half_negative = esp_dl_half(shift_negative);
    esp_dl_rows_t rows = esp_dl_rows(places);
    const int32_t count = rows.count, step_x = rows.step_a, step_slope = rows.step_b;
    do {
        const int8_t *v = x + rows.a, *factor = slope + rows.b;
        for (const int8_t *end = output + count; output != end; v += step_x, factor += step_slope) {
            *output++ = *v >= 0 ? esp_dl_requantize(*v + half, shift, min, max)
                                : esp_dl_requantize(*v * *factor + half_negative, shift_negative, min, max);
        }
    } while (esp_dl_next_row(&rows, places));
}
