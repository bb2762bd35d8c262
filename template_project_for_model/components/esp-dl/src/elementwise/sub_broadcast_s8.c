#include "common/broadcast.h"
#include "common/requantize.h"

void esp_dl_sub_broadcast_s8(const int8_t *a, const int8_t *b, const esp_dl_broadcast_t *p, int8_t *output)
{
    const int32_t factor_a = (int32_t)1 << p->shift_a;
    const int32_t factor_b = (int32_t)1 << p->shift_b;
    const int32_t half = esp_dl_half(p->shift);
    esp_dl_walk_t walk = {0};
    do {
        const int32_t x = a[walk.a] * factor_a, y = b[walk.b] * factor_b;
        *output++ = esp_dl_requantize(x - y + half, p->shift, p->min, p->max);
    } while (esp_dl_walk(&walk, p));
}
