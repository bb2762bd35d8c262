/* Average of a whole image that comes a few rows at a time. */
#include "common/divide.h"
#include "common/requantize.h"
#include "esp_dl.h"
#include "pooling/add_up.h"

void esp_dl_average_pool2d_s8_rows(const int8_t *input, const esp_dl_average_rows_t *all, void *kept, int8_t *output)
{
    const esp_dl_pool2d_t *p = &all->pool;
    int32_t *sums = kept;
    const int32_t channels = p->input.c, pixels = p->input.h * p->input.w;
    const int32_t factor = p->shift < 0 ? (int32_t)1 << -p->shift : 1;
    const int32_t divisor = p->shift > 0 ? all->pixels * ((int32_t)1 << p->shift) : all->pixels;
    for (int32_t c = 0; c < channels; c += ESP_DL_ADDED) {
        const int32_t count = channels - c < ESP_DL_ADDED ? channels - c : ESP_DL_ADDED;
        int32_t some[ESP_DL_ADDED] = {0};
        for (int32_t i = 0; i < count && !all->begins; i++) {
            some[i] = sums[c + i];
        }
        esp_dl_add_up(input + c, pixels, channels, count, some);
        for (int32_t i = 0; i < count; i++) {
            sums[c + i] = some[i];
            if (all->ends) {
                output[c + i] = esp_dl_requantize(esp_dl_divide(some[i] * factor, divisor), 0, p->min, p->max);
            }
        }
    }
}
