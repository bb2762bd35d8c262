#include "common/wide.h"
#include "esp_dl.h"

/* A point on the line between two entries, 128 values apart, by the upper nine bits of x + 2^15. */
static inline int32_t esp_dl_on_line(const int16_t table[513], int32_t x)
{
    const int32_t place = x + 32768;
    const int32_t part = place & 127;
    return (table[place >> 7] * (128 - part) + table[(place >> 7) + 1] * part + 64) >> 7;
}

void esp_dl_lookup_s16(const void *input, int32_t count, const esp_dl_lookup_t *p, void *output)
{
    /* Copies: a store may alias any memory, so they would be loaded again for every value. */
    const int16_t *table = p->table;
    const bool output_s16 = p->output_s16;
    if (!p->input_s16) {
        const int8_t *x = (const int8_t *)input;
        int16_t *y = (int16_t *)output;
        for (int32_t i = 0; i < count; i++) {
            y[i] = table[x[i] + 128];
        }
        return;
    }
    const int16_t *x = (const int16_t *)input;
    for (int32_t i = 0; i < count; i++) {
        const int32_t y = esp_dl_on_line(table, x[i]);
        esp_dl_store(output, i, output_s16 ? y : esp_dl_clamp((y + 128) >> 8, INT8_MIN, INT8_MAX), output_s16);
    }
}
