/* Windows over an image: their taps that are in the image, and sums of products of adjacent values. */
#ifndef ESP_DL_COMMON_WINDOW_H
#define ESP_DL_COMMON_WINDOW_H

#include "esp_dl.h"

#include <stdbool.h>
#include <stdint.h>

/* Taps first to end - 1 of a window along one axis; taps are at origin + i * dilation. */
typedef struct {
    int32_t first, end;
} esp_dl_taps_t;

/* Those of `kernel` taps that lie in low..high - 1. */
static inline esp_dl_taps_t esp_dl_taps(int32_t origin, int32_t dilation, int32_t kernel, int32_t low, int32_t high)
{
    esp_dl_taps_t taps = {0, high - origin};
    if (origin < low) {
        taps.first = low - origin;
    }
    if (dilation != 1) {
        taps.first = (taps.first + dilation - 1) / dilation;
        taps.end = taps.end > 0 ? (taps.end + dilation - 1) / dilation : 0;
    }
    taps.end = taps.end < kernel ? taps.end : kernel;
    taps.end = taps.end > taps.first ? taps.end : taps.first;
    return taps;
}

/* The sum of the weights of a window's taps that are not in `rows` x `columns`: `count` adjacent ones of each tap,
 * which lie `step` apart. */
static inline int32_t esp_dl_outside(const esp_dl_window_t *window, esp_dl_taps_t rows, esp_dl_taps_t columns,
                                     const int8_t *weights, int32_t step, int32_t count)
{
    int32_t sum = 0;
    for (int32_t i = 0; i < window->kernel_h; i++) {
        const bool row = i >= rows.first && i < rows.end;
        for (int32_t j = 0; j < window->kernel_w; j++, weights += step) {
            if (!row || j < columns.first || j >= columns.end) {
                for (int32_t k = 0; k < count; k++) {
                    sum += weights[k];
                }
            }
        }
    }
    return sum;
}

/* Whether a window has taps that are not in `rows` x `columns`. */
static inline bool esp_dl_leaves(const esp_dl_window_t *window, esp_dl_taps_t rows, esp_dl_taps_t columns)
{
    return rows.end - rows.first < window->kernel_h || columns.end - columns.first < window->kernel_w;
}

/* sum + the products of `count` adjacent values. */
static inline int32_t esp_dl_dot(const int8_t *a, const int8_t *b, int32_t count, int32_t sum)
{
    for (const int8_t *end = a + (count & ~3); a != end; a += 4, b += 4) {
        sum += a[0] * b[0];
        sum += a[1] * b[1];
        sum += a[2] * b[2];
        sum += a[3] * b[3];
    }
    for (const int8_t *end = a + (count & 3); a != end;) {
        sum += *a++ * *b++;
    }
    return sum;
}

#endif
