#include "common/reduce.h"

void esp_dl_reduce_sum_square_s8(const int8_t *input, const esp_dl_reduce_t *p, int8_t *output)
{
    int32_t kept[6] = {0};
    ptrdiff_t start = 0;
    do {
        *output++ = esp_dl_scaled_sum(esp_dl_square_sum(input, p, start), p);
    } while (esp_dl_next_kept(p, kept, &start));
}
