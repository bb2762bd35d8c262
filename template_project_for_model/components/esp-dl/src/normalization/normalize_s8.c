#include "common/requantize.h"
#include "esp_dl.h"

/* floor(sqrt(value)) for value < 2^62. */
static int64_t integer_sqrt(int64_t value)
{
    int64_t root = 0;
    for (int64_t bit = (int64_t)1 << 60; bit != 0; bit >>= 2) {
        if (value >= root + bit) {
            value -= root + bit;
            root = (root >> 1) + bit;
        } else {
            root >>= 1;
        }
    }
    return root;
}

void esp_dl_normalize_s8(const int8_t *input, const esp_dl_normalize_t *p, int8_t *output)
{
    for (int32_t slice = 0; slice < p->outer * p->inner; slice++) {
        const int32_t start = slice / p->inner * p->length * p->inner + slice % p->inner;
        int32_t sum = 0;
        int32_t squares = 0;
        for (int32_t i = 0; i < p->length; i++) {
            const int32_t x = input[start + i * p->inner];
            sum += x;
            squares += x * x;
        }
        const int32_t factor = p->mode == ESP_DL_NORMALIZE_L2 ? 1 : p->length;
        const int32_t offset = p->mode == ESP_DL_NORMALIZE_CENTERED ? sum : 0;
        int64_t spread = (int64_t)factor * squares - (int64_t)offset * offset + p->epsilon;
        spread = spread < 1 ? 1 : spread;
        int32_t level = 0;
        while (level < 30 && spread >> (2 * (level + 1)) != 0) {
            level++;
        }
        const int64_t reciprocal = ((int64_t)1 << 61) / integer_sqrt(spread << (60 - 2 * level));
        const int64_t half = (int64_t)1 << (18 + level);
        for (int32_t i = 0; i < p->length; i++) {
            const int32_t place = start + i * p->inner;
            const int32_t c = place / p->parameter_step % p->parameters;
            const int32_t distance = factor * input[place] - offset;
            const int32_t z = (int32_t)((distance * reciprocal + half) >> (19 + level));
            output[place] = esp_dl_requantize(z * p->multiplier[c] + p->bias[c], p->shift[c], p->min, p->max);
        }
    }
}
