#include "common/broadcast.h"

void esp_dl_greater_equal_s8(const int8_t *a, const int8_t *b, const esp_dl_broadcast_t *p, bool *output)
{
    const int32_t factor_a = (int32_t)1 << p->shift_a;
    const int32_t factor_b = (int32_t)1 << p->shift_b;
    esp_dl_walk_t walk = {0};
    do {
        *output++ = a[walk.a] * factor_a >= b[walk.b] * factor_b;
    } while (esp_dl_walk(&walk, p));
}
