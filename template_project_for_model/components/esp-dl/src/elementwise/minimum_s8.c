#include "common/broadcast.h"

static int32_t value(int32_t a, int32_t b, const esp_dl_constants_t *c)
{
    const int32_t v = a * c->factor_a, w = b * c->factor_b;
    return (v < w ? v : w) + c->half;
}

void esp_dl_minimum_s8(const int8_t *a, const int8_t *b, const esp_dl_broadcast_t *p, int8_t *output)
{
    esp_dl_broadcast(a, b, p, esp_dl_constants(p), value, output);
}
