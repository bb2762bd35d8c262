#define INPUT int8_t
#include "pooling/max_pool_indices.h"

void esp_dl_max_pool_indices_s8(const int8_t *input, const esp_dl_max_pool_indices_t *p, int64_t *output)
{
    places_of_maxima(input, p, output);
}
