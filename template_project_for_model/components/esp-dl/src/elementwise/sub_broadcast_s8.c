#include "common/broadcast.h"
#include "common/requantize.h"

void esp_dl_sub_broadcast_s8(const int8_t *a, const int8_t *b, const esp_dl_broadcast_t *p, int8_t *output)
{
    const int32_t factor_a = (int32_t)1 << p->shift_a;
    const int32_t factor_b = (int32_t)1 << p->shift_b;
    /* Copies: a store of int8 may change all that a pointer reaches, so they would be loaded for every value. */
    const int32_t half = esp_dl_half(p->shift), shift = p->shift, min = p->min, max = p->max;
    esp_dl_rows_t rows = esp_dl_rows(p);
    const int32_t count = rows.count, step_a = rows.step_a, step_b = rows.step_b;
    do {
        const int8_t *x = a + rows.a, *y = b + rows.b;
        for (const int8_t *end = output + count; output != end; x += step_a, y += step_b) {
            const int32_t v = *x * factor_a, w = *y * factor_b;
            *output++ = esp_dl_requantize(v - w + half, shift, min, max);
        }
    } while (esp_dl_next_row(&rows, p));
}
