#include "common/broadcast.h"
#include "common/divide.h"

static int32_t value(int32_t a, int32_t b, const esp_dl_constants_t *c)
{
    int32_t d = (b < 0 ? -b : b) * c->factor_b, n = (b < 0 ? -a : a) * c->factor_a;
    if (__builtin_expect(b == 0, 0)) {
        /* Beyond all bounds, by the sign of a. */
        n = a * 256;
        d = 1;
    }
    return esp_dl_floor(n + d, 2 * d);
}

void esp_dl_div_s8(const int8_t *a, const int8_t *b, const esp_dl_broadcast_t *p, int8_t *output)
{
    /* 2^-shift as the factor of the dividend (which is taken twice) or of the divisor, whichever is whole. */
    const esp_dl_constants_t constants = {
        .factor_a = (int32_t)2 << (p->shift < 0 ? -p->shift : 0),
        .factor_b = (int32_t)1 << (p->shift > 0 ? p->shift : 0),
        .min = p->min,
        .max = p->max,
    };
    esp_dl_broadcast(a, b, p, constants, value, output);
}
