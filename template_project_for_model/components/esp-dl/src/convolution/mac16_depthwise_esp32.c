/* What mac16_depthwise_esp32.S computes on the ESP32, in C. */
#include "convolution/mac16_depthwise_esp32.h"

#ifndef ESP_DL_ESP32

#include "common/requantize.h"

void esp_dl_mac16_columns_esp32(const esp_dl_mac16_columns_t *p)
{
    const int8_t *from = p->from;
    const int32_t count = p->leads + 2 * p->pairs + p->trails;
    for (int32_t row = 0; row < p->rows; row++) {
        for (int32_t i = p->leads; i < p->leads + count; i++) {
            p->to[row * 2 + i / 2 * (p->step / 2) + i % 2] = (int16_t)(*from + 128);
            from += p->channels;
        }
        from += p->row_bytes;
    }
}

/* The pixel whose window begins at column `first` of the words. */
static void pixel(const esp_dl_mac16_depthwise_t *p, const int16_t *x, int32_t first, int8_t *y)
{
    uint32_t sum = (uint32_t)p->bias;
    for (int32_t row = 0; row < 3; row++) {
        for (int32_t i = 0; i < 3; i++) {
            const int32_t column = first + i, weight = p->weights[i < 2 ? 2 * row + i : 6 + row];
            sum += (uint32_t)(x[2 * row + column / 2 * (p->step_x / 2) + column % 2] * weight);
        }
    }
    *y = (int8_t)esp_dl_clamp((int32_t)sum >> p->shift, p->min, p->max);
}

void esp_dl_mac16_depthwise_esp32(const esp_dl_mac16_depthwise_t *p)
{
    int8_t *y = p->output;
    for (int32_t row = 0; row < p->rows; row++) {
        const int16_t *x = p->x + row * (p->next_row / 2);
        for (int32_t i = 0; i < 2 * p->pairs; i++, y += p->step) {
            pixel(p, x, i, y);
        }
        for (int32_t i = 0; i < p->singles; i++, y += p->step) {
            pixel(p, x, 2 * (p->pairs + i), y);
        }
    }
}

#else
typedef int esp_dl_mac16_depthwise_is_assembly;
#endif
