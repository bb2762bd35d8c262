#include "common/broadcast.h"

void esp_dl_greater_s8(const int8_t *a, const int8_t *b, const esp_dl_broadcast_t *p, bool *output)
{
    const int32_t factor_a = (int32_t)1 << p->shift_a;
    const int32_t factor_b = (int32_t)1 << p->shift_b;
    esp_dl_rows_t rows = esp_dl_rows(p);
    const int32_t count = rows.count, step_a = rows.step_a, step_b = rows.step_b;
    do {
        const int8_t *x = a + rows.a, *y = b + rows.b;
        for (const bool *end = output + count; output != end; x += step_a, y += step_b) {
            *output++ = *x * factor_a > *y * factor_b;
        }
    } while (esp_dl_next_row(&rows, p));
}
