#include "common/reduce.h"

static int32_t fold(int32_t extreme, int32_t x)
{
    return x > extreme ? x : extreme;
}

void esp_dl_reduce_max_s8(const int8_t *input, const esp_dl_reduce_t *p, int8_t *output)
{
    esp_dl_reduce(input, p, INT8_MIN, fold, esp_dl_extreme, output);
}
