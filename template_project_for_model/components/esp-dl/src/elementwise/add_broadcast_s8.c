#include "common/broadcast.h"

static int32_t value(int32_t a, int32_t b, const esp_dl_constants_t *c)
{
    return a * c->factor_a + b * c->factor_b + c->half;
}

void esp_dl_add_broadcast_s8(const int8_t *a, const int8_t *b, const esp_dl_broadcast_t *p, int8_t *output)
{
    esp_dl_broadcast(a, b, p, esp_dl_constants(p), value, output);
}
