#include "common/requantize.h"
#include "common/walk.h"
#include "esp_dl.h"

void esp_dl_select_s8(const void *condition, const int8_t *a, const int8_t *b, const esp_dl_select_t *p, int8_t *output)
{
    const int8_t *holds = condition;
    const int32_t last = p->rank - 1, count = p->shape[last], min = p->min, max = p->max;
    const int32_t step = p->step_condition[last], step_a = p->step_a[last], step_b = p->step_b[last];
    const int32_t shift_a = p->shift_a, shift_b = p->shift_b, half_a = esp_dl_half(shift_a),
                  half_b = esp_dl_half(shift_b);
    int32_t index[ESP_DL_MAX_RANK] = {0}, index_b[ESP_DL_MAX_RANK] = {0};
    do {
        const int8_t *which = holds, *x = a, *y = b;
        for (const int8_t *end = output + count; output != end; which += step, x += step_a, y += step_b) {
            *output++ = *which != 0 ? esp_dl_requantize(*x + half_a, shift_a, min, max)
                                    : esp_dl_requantize(*y + half_b, shift_b, min, max);
        }
        esp_dl_next(last, p->shape, index_b, p->step_b, &b, NULL, NULL);
    } while (esp_dl_next(last, p->shape, index, p->step_condition, &holds, p->step_a, &a));
}
