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

static int8_t finish(int32_t sum, const esp_dl_reduce_t *p)
{
    return (int8_t)esp_dl_clamp(rounded_root(sum, p->shift), p->min, p->max);
}

void esp_dl_reduce_l2_s8(const int8_t *input, const esp_dl_reduce_t *p, int8_t *output)
{
    esp_dl_reduce(input, p, 0, esp_dl_add_square, finish, output);
}
