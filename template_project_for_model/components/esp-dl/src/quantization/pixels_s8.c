#include "esp_dl.h"

/* A pixel's channels one after the other, as a camera gives them. */
static void channels_last(const uint8_t *restrict input, const esp_dl_pixels_t *p, int8_t *restrict output)
{
    const int8_t *const end = p->table + 256 * p->channels;
    for (int32_t o = p->outer; o > 0; o--) {
        for (const int8_t *table = p->table; table < end; table += 256) {
            *output++ = table[*input++];
        }
    }
}

void esp_dl_pixels_s8(const uint8_t *restrict input, const esp_dl_pixels_t *p, int8_t *restrict output)
{
    const int32_t channels = p->channels, inner = p->inner;
    if (inner == 1) {
        channels_last(input, p, output);
        return;
    }
    for (int32_t o = p->outer; o > 0; o--) {
        const int8_t *table = p->table;
        for (int32_t c = 0; c < channels; c++, table += 256) {
            for (int32_t i = 0; i < inner; i++) {
                *output++ = table[*input++];
            }
        }
    }
}
