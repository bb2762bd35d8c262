#include "common/reduce.h"

/* The largest y <= 127 with (2 y - 1)^2 * 4^shift <= 4 * square, 0 where there is none:
 * floor(sqrt(square) * 2^-shift + 1/2) without a rounding error. */
static int32_t rounded_root(int32_t square, int32_t shift)
{
    const int64_t right = 4 * (int64_t)square * ((int64_t)1 << (shift < 0 ? -2 * shift : 0));
    const int64_t factor = (int64_t)1 << (shift > 0 ? 2 * shift : 0);
    int32_t y = 0;
    for (int32_t bit = 64; bit > 0; bit >>= 1) {
        const int64_t odd = 2 * (int64_t)(y + bit) - 1;
        if (odd * odd * factor <= right) {
            y += bit;
        }
    }
    return y;
}

void esp_dl_reduce_l2_s8(const int8_t *input, const esp_dl_reduce_t *p, int8_t *output)
{
    int32_t kept[6] = {0};
    ptrdiff_t start = 0;
    do {
        *output++ = (int8_t)esp_dl_clamp(rounded_root(esp_dl_square_sum(input, p, start), p->shift), p->min, p->max);
    } while (esp_dl_next_kept(p, kept, &start));
}
