#include "esp_dl.h"

#include <math.h>

#define INPUT float
#define READ(x, p) (x)
#define IS_NAN(x) (isnan(x) != 0)
#include "reduction/topk.h"

void esp_dl_topk_f32(const float *input, const esp_dl_topk_t *p, float *output)
{
    topk_values(input, p, output);
}

void esp_dl_topk_indices_f32(const float *input, const esp_dl_topk_t *p, int64_t *output)
{
    topk_positions(input, p, output);
}
