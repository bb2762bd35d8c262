#include "common/requantize.h"
#include "esp_dl.h"

void esp_dl_channelwise_s8(const int8_t *input, const esp_dl_channelwise_t *p, int8_t *output)
{
    /* Copies: a store of int8 may alias any memory, so they would be loaded again for every value. */
    const int32_t channels = p->channels, inner = p->inner, min = p->min, max = p->max;
    for (int32_t outer = 0; outer < p->outer; outer++) {
        const int8_t *shift = p->shift;
        const int8_t *multiplier = p->multiplier;
        for (const int32_t *bias = p->bias, *last = bias + channels; bias != last; bias++) {
            const int32_t factor = *multiplier++, sum = *bias, places = *shift++;
            for (const int8_t *end = output + inner; output != end;) {
                *output++ = esp_dl_requantize(*input++ * factor + sum, places, min, max);
            }
        }
    }
}
