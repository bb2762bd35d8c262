#include "common/reduce.h"

void esp_dl_reduce_sum_square_s8(const int8_t *input, const esp_dl_reduce_t *p, int8_t *output)
{
    esp_dl_reduce(input, p, 0, esp_dl_add_square, esp_dl_scaled_sum, output);
}
