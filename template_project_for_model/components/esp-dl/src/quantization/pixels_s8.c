#include "esp_dl.h"

void esp_dl_pixels_s8(const uint8_t *input, const esp_dl_pixels_t *p, int8_t *output)
{
    for (int32_t o = 0; o < p->outer; o++) {
        const int8_t *table = p->table;
        for (int32_t c = 0; c < p->channels; c++, table += 256) {
            for (int32_t i = 0; i < p->inner; i++) {
                *output++ = table[*input++];
            }
        }
    }
}
