#include "common/broadcast.h"

/* Two different shifts, so the shift is done here. */
static int32_t value(int32_t x, int32_t slope, const esp_dl_constants_t *c)
{
    return x >= 0 ? esp_dl_shift(x + c->half, c->shift_positive)
                  : esp_dl_shift(x * slope + c->half_negative, c->shift_negative);
}

void esp_dl_prelu_s8(const int8_t *x, const int8_t *slope, const esp_dl_prelu_t *p, int8_t *output)
{
    esp_dl_constants_t constants = esp_dl_constants(&p->places);
    constants.shift_positive = constants.shift;
    constants.half_negative = esp_dl_half(p->shift_negative);
    constants.shift_negative = p->shift_negative;
    constants.shift = 0;
    esp_dl_broadcast(x, slope, &p->places, constants, value, output);
}
