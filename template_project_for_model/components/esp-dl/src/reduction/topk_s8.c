#include "common/float_bits.h"
#include "esp_dl.h"

#define INPUT int8_t
#define READ(x, p) esp_dl_dequantize_value(x, (p)->exponent)
#define IS_NAN(x) false
#include "reduction/topk.h"

void esp_dl_topk_s8(const int8_t *input, const esp_dl_topk_t *p, float *output)
{
    topk_values(input, p, output);
}

void esp_dl_topk_indices_s8(const int8_t *input, const esp_dl_topk_t *p, int64_t *output)
{
    topk_positions(input, p, output);
}
