#include "common/requantize.h"
#include "esp_dl.h"

#include <stddef.h>

#define COLUMNS 4

/* Four columns of a row together: a value of `a` is loaded once for all four. b: of the first column. */
static void four(const int8_t *a, const int8_t *b, int32_t inner, int32_t inner_step, int32_t column_step,
                 int32_t sums[COLUMNS])
{
    const int8_t *b0 = b, *b1 = b0 + column_step, *b2 = b1 + column_step, *b3 = b2 + column_step;
    int32_t s0 = sums[0], s1 = s0, s2 = s0, s3 = s0;
    for (const int8_t *end = a + inner; a != end; a++) {
        const int32_t value = *a;
        s0 += value * *b0;
        s1 += value * *b1;
        s2 += value * *b2;
        s3 += value * *b3;
        b0 += inner_step, b1 += inner_step, b2 += inner_step, b3 += inner_step;
    }
    sums[0] = s0, sums[1] = s1, sums[2] = s2, sums[3] = s3;
}

void esp_dl_matmul_s8(const int8_t *a, const int8_t *b, const esp_dl_matmul_t *p, int8_t *output)
{
    const int32_t inner = p->inner, columns = p->columns;
    const int32_t column_step = p->transpose_b ? inner : 1;
    const int32_t inner_step = p->transpose_b ? 1 : columns;
    const int32_t half = esp_dl_half(p->shift), shift = p->shift, min = p->min, max = p->max;

    for (int32_t batch = 0; batch < p->batch; batch++) {
        for (int32_t row = 0; row < p->rows; row++) {
            for (int32_t column = 0; column < columns; column += COLUMNS) {
                int32_t sums[COLUMNS] = {half};
                const int32_t count = columns - column < COLUMNS ? columns - column : COLUMNS;
                /* Of the last columns, so many that there are four: some are computed once more. */
                const int32_t first = columns < COLUMNS ? 0 : column + count - COLUMNS;
                if (columns >= COLUMNS) {
                    four(a, b + (ptrdiff_t)first * column_step, inner, inner_step, column_step, sums);
                } else {
                    for (int32_t i = 0; i < count; i++) {
                        sums[i] = half;
                        const int8_t *other = b + i * column_step;
                        for (const int8_t *x = a, *end = a + inner; x != end; other += inner_step) {
                            sums[i] += *x++ * *other;
                        }
                    }
                }
                const int32_t *sum = sums + (columns < COLUMNS ? 0 : COLUMNS - count);
                for (int32_t i = 0; i < count; i++) {
                    *output++ = esp_dl_requantize(sum[i], shift, min, max);
                }
            }
            a += inner;
        }
        b += (ptrdiff_t)inner * columns;
    }
}
