/* What mac16_esp32.S computes on the ESP32, in C. */
#include "convolution/mac16_esp32.h"

#ifndef ESP_DL_ESP32

#include "common/requantize.h"

#if defined(__unix__) || defined(__APPLE__) || defined(_WIN32)
#include <stdio.h>
#include <stdlib.h>
#else
/* A chip's C library may have no streams, and no other chip runs these kernels. */
#define fprintf(...) ((void)sum)
#define abort __builtin_trap
#endif

/* The MAC16 unit's accumulator has 40 bits, of which the lower 32 are read. */
static int32_t hold(int64_t sum)
{
    if (sum != (int32_t)sum) {
        fprintf(stderr,
                "a sum of %lld leaves the 32 bits that the export proved to hold it: the ESP32 would compute "
                "other values\n",
                (long long)sum);
        abort();
    }
    return (int32_t)sum;
}

static const int16_t *further(const int16_t *x, int32_t bytes)
{
    return x + bytes / 2;
}

/* starts: NULL: all begin with the bias. */
static void pixels(const esp_dl_mac16_t *p, const int32_t *starts)
{
    const int16_t *x = p->x;
    int8_t *y = p->output;
    for (int32_t row = 0; row < p->rows; row++) {
        for (const int8_t *end = y + p->row_bytes; y != end; y += p->step) {
            const int16_t *w = p->weights;
            int64_t sum = starts != NULL ? *starts++ : p->bias;
            for (int32_t more = p->more; more >= 0; more--) {
                for (int32_t i = 0; i < 4 * p->fours; i++) {
                    sum += *x++ * *w++;
                }
                x = more > 0 ? further(x, p->next_segment) : x;
            }
            *y = (int8_t)esp_dl_clamp(hold(sum) >> p->shift, p->min, p->max);
            x = further(x, p->next_pixel);
        }
        x = further(x, p->next_row);
    }
}

void esp_dl_mac16_pixels_esp32(const esp_dl_mac16_t *p)
{
    pixels(p, NULL);
}

void esp_dl_mac16_begun_pixels_esp32(const esp_dl_mac16_t *p)
{
    pixels(p, p->starts);
}

/* Place i of every four in the order 0, 2, 1, 3. */
static int32_t place_of(int32_t i)
{
    return (i & ~3) | (i & 1) << 1 | (i & 2) >> 1;
}

void esp_dl_mac16_inputs_esp32(const int8_t *from, int16_t *to, int32_t fours)
{
    for (int32_t i = 0; i < 4 * fours; i++) {
        to[place_of(i)] = (int16_t)(from[i] + 128);
    }
}

void esp_dl_mac16_weights_esp32(const int8_t *from, int16_t *to, int32_t eights)
{
    for (int32_t i = 0; i < 8 * eights; i++) {
        to[place_of(i)] = (int16_t)(from[i] * 256);
    }
}

#else
typedef int esp_dl_mac16_is_assembly;
#endif
