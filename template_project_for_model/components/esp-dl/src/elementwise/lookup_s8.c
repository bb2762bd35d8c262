#include "esp_dl.h"

void esp_dl_lookup_s8(const int8_t *input, int32_t count, const int8_t table[256], int8_t *output)
{
    for (int32_t i = 0; i < count; i++) {
        output[i] = table[input[i] + 128];
    }
}
