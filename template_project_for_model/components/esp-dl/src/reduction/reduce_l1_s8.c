#include "common/reduce.h"

static int32_t fold(int32_t sum, int32_t x)
{
    return sum + (x < 0 ? -x : x);
}

void esp_dl_reduce_l1_s8(const int8_t *input, const esp_dl_reduce_t *p, int8_t *output)
{
    esp_dl_reduce(input, p, 0, fold, esp_dl_scaled_sum, output);
}
