#include "common/broadcast.h"
#include "common/requantize.h"

void esp_dl_prelu_s8(const int8_t *x, const int8_t *slope, const esp_dl_prelu_t *p, int8_t *output)
{
    const esp_dl_broadcast_t *places = &p->places;
    const int32_t half = esp_dl_half(places->shift), half_negative = esp_dl_half(p->shift_negative);
    esp_dl_walk_t walk = {0};
    do {
        const int32_t v = x[walk.a];
        *output++ =
            v >= 0 ? esp_dl_requantize(v + half, places->shift, places->min, places->max)
                   : esp_dl_requantize(v * slope[walk.b] + half_negative, p->shift_negative, places->min, places->max);
    } while (esp_dl_walk(&walk, places));
}
