#include "esp_dl.h"

#include <stddef.h>

void esp_dl_argmax_s8(const int8_t *input, const esp_dl_argmax_t *p, int64_t *output)
{
    for (int32_t outer = 0; outer < p->outer; outer++) {
        for (int32_t inner = 0; inner < p->inner; inner++) {
            int32_t best = 0, place = 0;
            for (int32_t i = 0; i < p->size; i++) {
                const int32_t x = input[(ptrdiff_t)i * p->inner + inner];
                const int32_t value = p->smallest ? -x : x;
                if (i == 0 || value > best || (value == best && p->last)) {
                    best = value;
                    place = i;
                }
            }
            *output++ = place;
        }
        input += (ptrdiff_t)p->size * p->inner;
    }
}
