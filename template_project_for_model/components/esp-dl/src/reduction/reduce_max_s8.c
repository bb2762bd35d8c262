#include "common/reduce.h"

void esp_dl_reduce_max_s8(const int8_t *input, const esp_dl_reduce_t *p, int8_t *output)
{
    const int32_t count = esp_dl_row_count(p), step = esp_dl_row_step(p);
    int32_t kept[6] = {0}, reduced[6] = {0};
    ptrdiff_t start = 0, place;
    do {
        int32_t result = INT8_MIN;
        place = start;
        do {
            const int8_t *x = input + place;
            for (int32_t i = count; i > 0; i--, x += step) {
                result = *x > result ? *x : result;
            }
        } while (esp_dl_next_reduced(p, reduced, &place));
        *output++ = (int8_t)esp_dl_clamp(result, p->min, p->max);
    } while (esp_dl_next_kept(p, kept, &start));
}
