/* Average of a whole image of int16, or to int16, that comes a few rows at a time. */
#include "common/wide.h"
#include "esp_dl.h"
#include "pooling/add_up.h"
#include "pooling/wide_average.h"

void esp_dl_average_pool2d_s16_rows(const void *input, const esp_dl_average_rows_t *all, void *kept, void *output)
{
    const esp_dl_pool2d_t *p = &all->pool;
    int32_t *sums = kept;
    const int32_t channels = p->input.c, pixels = p->input.h * p->input.w;
    for (int32_t c = 0; c < channels; c += ESP_DL_ADDED) {
        const int32_t count = channels - c < ESP_DL_ADDED ? channels - c : ESP_DL_ADDED;
        int32_t some[ESP_DL_ADDED] = {0};
        for (int32_t i = 0; i < count && !all->begins; i++) {
            some[i] = sums[c + i];
        }
        esp_dl_add_up_wide(esp_dl_at(input, c, p->input_s16), p->input_s16, pixels, channels, count, some);
        for (int32_t i = 0; i < count; i++) {
            sums[c + i] = some[i];
            if (all->ends) {
                esp_dl_store(output, c + i, esp_dl_wide_average(some[i], all->pixels, p), p->output_s16);
            }
        }
    }
}
