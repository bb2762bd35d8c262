#include "esp_dl.h"

#include <stddef.h>

void esp_dl_hardmax_s8(const int8_t *input, const esp_dl_hardmax_t *p, int8_t *output)
{
    const ptrdiff_t step = p->inner;
    for (int32_t outer = 0; outer < p->outer; outer++) {
        for (int32_t inner = 0; inner < p->inner; inner++) {
            int32_t place = 0;
            for (int32_t i = 1; i < p->size; i++) {
                place = input[i * step + inner] > input[place * step + inner] ? i : place;
            }
            for (int32_t i = 0; i < p->size; i++) {
                output[i * step + inner] = i == place ? p->one : 0;
            }
        }
        input += p->size * step;
        output += p->size * step;
    }
}
