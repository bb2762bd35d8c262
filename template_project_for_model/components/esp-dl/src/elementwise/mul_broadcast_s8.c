#include "common/broadcast.h"
#include "common/requantize.h"

void esp_dl_mul_broadcast_s8(const int8_t *a, const int8_t *b, const esp_dl_broadcast_t *p, int8_t *output)
{
    const int32_t half = esp_dl_half(p->shift);
    esp_dl_walk_t walk = {0};
    do {
        *output++ = esp_dl_requantize(a[walk.a] * b[walk.b] + half, p->shift, p->min, p->max);
    } while (esp_dl_walk(&walk, p));
}
