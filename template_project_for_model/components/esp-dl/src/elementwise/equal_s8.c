#include "common/broadcast.h"

static int32_t value(int32_t a, int32_t b, const esp_dl_constants_t *c)
{
    return a * c->factor_a == b * c->factor_b;
}

void esp_dl_equal_s8(const int8_t *a, const int8_t *b, const esp_dl_broadcast_t *p, bool *output)
{
    /* 0 or 1: nothing to shift or clamp. */
    esp_dl_constants_t constants = esp_dl_constants(p);
    constants.shift = 0, constants.min = 0, constants.max = 1;
    esp_dl_broadcast(a, b, p, constants, value, (int8_t *)(void *)output);
}
