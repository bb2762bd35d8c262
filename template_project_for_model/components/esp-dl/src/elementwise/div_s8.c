#include "common/broadcast.h"
#include "common/requantize.h"

void esp_dl_div_s8(const int8_t *a, const int8_t *b, const esp_dl_broadcast_t *p, int8_t *output)
{
    const int32_t factor_a = (int32_t)1 << (p->shift < 0 ? -p->shift : 0);
    const int32_t factor_b = (int32_t)1 << (p->shift > 0 ? p->shift : 0);
    esp_dl_walk_t walk = {0};
    do {
        int32_t x = a[walk.a], y = b[walk.b];
        if (y == 0) {
            x = x > 0 ? INT8_MAX : x < 0 ? INT8_MIN : 0;
        } else {
            /* floor(n / d + 1/2) = floor((2 n + d) / (2 d)), d > 0 */
            const int32_t d = (y < 0 ? -y : y) * factor_b;
            const int32_t n = 2 * (y < 0 ? -x : x) * factor_a + d;
            x = n / (2 * d) - (n % (2 * d) < 0);
        }
        *output++ = esp_dl_requantize(x, 0, p->min, p->max);
    } while (esp_dl_walk(&walk, p));
}
