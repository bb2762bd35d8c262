#include "common/broadcast.h"
#include "common/requantize.h"

void esp_dl_div_s8(const int8_t *a, const int8_t *b, const esp_dl_broadcast_t *p, int8_t *output)
{
    const int32_t factor_a = (int32_t)1 << (p->shift < 0 ? -p->shift : 0);
    const int32_t factor_b = (int32_t)1 << (p->shift > 0 ? p->shift : 0);
    const int32_t min = p->min, max = p->max;
    esp_dl_rows_t rows = esp_dl_rows(p);
    const int32_t count = rows.count, step_a = rows.step_a, step_b = rows.step_b;
    do {
        const int8_t *x = a + rows.a, *y = b + rows.b;
        for (const int8_t *end = output + count; output != end; x += step_a, y += step_b) {
            int32_t v = *x;
            const int32_t w = *y;
            if (w == 0) {
                v = v > 0 ? INT8_MAX : v < 0 ? INT8_MIN : 0;
            } else {
                /* floor(n / d + 1/2) = floor((2 n + d) / (2 d)), d > 0 */
                const int32_t d = (w < 0 ? -w : w) * factor_b;
                const int32_t n = 2 * (w < 0 ? -v : v) * factor_a + d;
                v = n / (2 * d) - (n % (2 * d) < 0);
            }
            *output++ = esp_dl_requantize(v, 0, min, max);
        }
    } while (esp_dl_next_row(&rows, p));
}
