/*
 * Convolution of single pixels of eight input channels, two output channels at a time, whose weights stay in registers
 * while pixels pass.
 *
 * Weights of two output channels are one word, w0 + w1 * 2^16, so that one multiplication computes both products; the
 * sums of four products each fit the halves of a word. Of channels whose sums do not, each is computed alone. Some
 * pixels are copied before they are computed, so that their output may lie on them.
 */
#include "common/registers.h"
#include "convolution/lanes.h"
#include "esp_dl_fast.h"

#include <string.h>

#define PIXELS ESP_DL_8X2_PIXELS
#define INPUTS ESP_DL_8X2_INPUTS

/* Words of weights for two output channels: starting values of both sums, and the weights of each input channel. */
#define WORDS (2 + INPUTS)

#define ADD_PRODUCT(sum, i) ESP_DL_ADD_PRODUCT(sum, (uint32_t)x[i], w##i)

/* Output channels `o` and `o` + 1 of the pixels from x to `end`. */
static inline void both(const int8_t *x, const int8_t *end, const esp_dl_conv2d_t *p, int32_t o, int8_t *y)
{
    const uint32_t *w = (const uint32_t *)(const void *)p->weights + o / 2 * WORDS;
    const uint32_t start0 = w[0], start1 = w[1];
    const uint32_t w0 = w[2], w1 = w[3], w2 = w[4], w3 = w[5], w4 = w[6], w5 = w[7], w6 = w[8], w7 = w[9];
    const uint32_t bias1 = (uint32_t)p->bias[o + 1], bias = (uint32_t)p->bias[o] + (bias1 << 16);
    const int32_t shift0 = p->shift[o] - ESP_DL_8X2_LANES, shift1 = p->shift[o + 1], min = p->min, max = p->max;
    const int32_t below0 = min * (1 << shift0), below1 = min * (1 << shift1), step = p->output.c;
    for (; x != end; x += INPUTS) {
        uint32_t sum = start0, more = start1;
        ADD_PRODUCT(sum, 0);
        ADD_PRODUCT(sum, 1);
        ADD_PRODUCT(sum, 2);
        ADD_PRODUCT(sum, 3);
        ADD_PRODUCT(more, 4);
        ADD_PRODUCT(more, 5);
        ADD_PRODUCT(more, 6);
        ADD_PRODUCT(more, 7);
        const uint32_t high = (sum >> 16) + (more >> 16) + bias1;
        /* The low lanes contain the rest of the sum, modulo 2^32. */
        const uint32_t low = sum + more + bias - (high << 16);
        esp_dl_store_shifted(y, (int32_t)low, shift0, below0, min, max);
        esp_dl_store_shifted(y + 1, (int32_t)high, shift1, below1, min, max);
        y += step;
    }
}

/* Output channel `o` of the pixels from x to `end`; weights: its own. */
static inline void alone(const int8_t *x, const int8_t *end, const int8_t *weights, const esp_dl_conv2d_t *p, int32_t o,
                         int8_t *y)
{
    const uint32_t w0 = (uint32_t)weights[0], w1 = (uint32_t)weights[1], w2 = (uint32_t)weights[2];
    const uint32_t w3 = (uint32_t)weights[3], w4 = (uint32_t)weights[4], w5 = (uint32_t)weights[5];
    const uint32_t w6 = (uint32_t)weights[6], w7 = (uint32_t)weights[7], bias = (uint32_t)p->bias[o];
    const int32_t shift = p->shift[o], min = p->min, max = p->max, below = min * (1 << shift), step = p->output.c;
    for (; x != end; x += INPUTS) {
        uint32_t sum = bias;
        ADD_PRODUCT(sum, 0);
        ADD_PRODUCT(sum, 1);
        ADD_PRODUCT(sum, 2);
        ADD_PRODUCT(sum, 3);
        ADD_PRODUCT(sum, 4);
        ADD_PRODUCT(sum, 5);
        ADD_PRODUCT(sum, 6);
        ADD_PRODUCT(sum, 7);
        esp_dl_store_shifted(y, (int32_t)sum, shift, below, min, max);
        y += step;
    }
}

/* Some pixels, to memory aligned to 4. By words where they are aligned too, as tensors are. */
static inline void copy(int8_t *to, const int8_t *from, int32_t pixels)
{
    if ((uintptr_t)from % sizeof(uint32_t) != 0) {
        memcpy(to, from, (size_t)(pixels * INPUTS));
        return;
    }
    for (const int8_t *end = from + pixels * INPUTS; from != end; from += INPUTS) {
        memcpy(__builtin_assume_aligned(to, 4), __builtin_assume_aligned(from, 4), INPUTS);
        to += INPUTS;
    }
}

int32_t esp_dl_conv2d_s8_8x2_scratch(const esp_dl_conv2d_t *p)
{
    (void)p;
    return PIXELS * INPUTS;
}

void esp_dl_conv2d_s8_8x2(const int8_t *input, const esp_dl_conv2d_t *p, void *scratch, int8_t *output)
{
    const int8_t *x = scratch;
    for (int32_t remaining = p->output.n * p->output.h * p->output.w; remaining > 0; remaining -= PIXELS) {
        const int32_t pixels = remaining < PIXELS ? remaining : PIXELS;
        const int8_t *end = x + pixels * INPUTS;
        copy(scratch, input, pixels);
        input += pixels * INPUTS;
        for (int32_t o = 0; o < p->output.c; o += 2) {
            if (p->shift[o] >= ESP_DL_8X2_LANES) {
                both(x, end, p, o, output + o);
            } else {
                const int8_t *weights = p->weights + o / 2 * WORDS * (int32_t)sizeof(uint32_t);
                for (int32_t i = 0; i < 2; i++) {
                    alone(x, end, weights + i * INPUTS, p, o + i, output + o + i);
                }
            }
        }
        output += pixels * p->output.c;
    }
}
