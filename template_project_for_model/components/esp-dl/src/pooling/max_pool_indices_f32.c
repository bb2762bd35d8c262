#define INPUT float
#include "pooling/max_pool_indices.h"

void esp_dl_max_pool_indices_f32(const float *input, const esp_dl_max_pool_indices_t *p, int64_t *output)
{
    places_of_maxima(input, p, output);
}
