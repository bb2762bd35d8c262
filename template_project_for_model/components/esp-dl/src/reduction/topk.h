/* The k best of each row, for any type of input: a sorted list that every value is inserted into. A file that includes
 * this defines INPUT, the type, READ(x, p), a value of it as float, and IS_NAN(x). */
#ifndef ESP_DL_REDUCTION_TOPK_H
#define ESP_DL_REDUCTION_TOPK_H

#include <stddef.h>

#include "esp_dl.h"

/* Whether `value` comes before `other`: of equal values the earlier one stays first; what is no number comes last. */
#define BETTER(p, value, other)                                                                                        \
    (((p)->smallest ? (value) < (other) : (value) > (other)) || (IS_NAN(other) && !IS_NAN(value)))

/* One row: `best` has the k best values, `inner` apart like the values of the row. */
static void best_values(const INPUT *row, const esp_dl_topk_t *p, float *best)
{
    const ptrdiff_t step = p->inner;
    for (int32_t i = 0; i < p->size; i++) {
        const float value = READ(row[i * step], p);
        ptrdiff_t place = i < p->k ? i : p->k;
        while (place > 0 && BETTER(p, value, best[(place - 1) * step])) {
            if (place < p->k) {
                best[place * step] = best[(place - 1) * step];
            }
            place--;
        }
        if (place < p->k) {
            best[place * step] = value;
        }
    }
}

/* The same with the positions of the values. */
static void best_positions(const INPUT *row, const esp_dl_topk_t *p, int64_t *best)
{
    const ptrdiff_t step = p->inner;
    for (int32_t i = 0; i < p->size; i++) {
        const INPUT value = row[i * step];
        ptrdiff_t place = i < p->k ? i : p->k;
        while (place > 0 && BETTER(p, value, row[best[(place - 1) * step] * step])) {
            if (place < p->k) {
                best[place * step] = best[(place - 1) * step];
            }
            place--;
        }
        if (place < p->k) {
            best[place * step] = i;
        }
    }
}

static inline void topk_values(const INPUT *input, const esp_dl_topk_t *p, float *output)
{
    for (int32_t outer = 0; outer < p->outer; outer++) {
        for (int32_t inner = 0; inner < p->inner; inner++) {
            best_values(input + inner, p, output + inner);
        }
        input += (ptrdiff_t)p->size * p->inner;
        output += (ptrdiff_t)p->k * p->inner;
    }
}

static inline void topk_positions(const INPUT *input, const esp_dl_topk_t *p, int64_t *output)
{
    for (int32_t outer = 0; outer < p->outer; outer++) {
        for (int32_t inner = 0; inner < p->inner; inner++) {
            best_positions(input + inner, p, output + inner);
        }
        input += (ptrdiff_t)p->size * p->inner;
        output += (ptrdiff_t)p->k * p->inner;
    }
}

#endif
