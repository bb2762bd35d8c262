#include "common/requantize.h"
#include "esp_dl.h"

void esp_dl_channelwise_s8(const int8_t *input, const esp_dl_channelwise_t *p, int8_t *output)
{
    for (int32_t outer = 0; outer < p->outer; outer++) {
        for (int32_t c = 0; c < p->channels; c++) {
            for (int32_t inner = 0; inner < p->inner; inner++) {
                const int32_t sum = *input++ * p->multiplier[c] + p->bias[c];
                *output++ = esp_dl_requantize(sum, p->shift[c], p->min, p->max);
            }
        }
    }
}
