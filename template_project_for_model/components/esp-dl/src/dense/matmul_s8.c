#include "common/requantize.h"
#include "esp_dl.h"

void esp_dl_matmul_s8(const int8_t *a, const int8_t *b, const esp_dl_matmul_t *p, int8_t *output)
{
    const int32_t column_step = p->transpose_b ? p->inner : 1;
    const int32_t inner_step = p->transpose_b ? 1 : p->columns;
    const int32_t half = esp_dl_half(p->shift);

    for (int32_t batch = 0; batch < p->batch; batch++) {
        for (int32_t row = 0; row < p->rows; row++) {
            for (int32_t column = 0; column < p->columns; column++) {
                const int8_t *other = b + column * column_step;
                int32_t sum = half;
                for (int32_t i = 0; i < p->inner; i++) {
                    sum += a[i] * *other;
                    other += inner_step;
                }
                *output++ = esp_dl_requantize(sum, p->shift, p->min, p->max);
            }
            a += p->inner;
        }
        b += p->inner * p->columns;
    }
}
