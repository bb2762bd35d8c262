#include "common/wide.h"
#include "esp_dl.h"

#define OUTPUTS 4

#define MULTIPLY(i)                                                                                                    \
    do {                                                                                                               \
        const int32_t value = esp_dl_load(input, i, s16);                                                              \
        s0 += value * w0[i], s1 += value * w1[i], s2 += value * w2[i], s3 += value * w3[i];                            \
    } while (0)

#define ADVANCE(n) input = esp_dl_at(input, n, s16), w0 += n, w1 += n, w2 += n, w3 += n

/* Four outputs together: an input value is loaded once for all four. w: the weights of each. s16: a constant. */
__attribute__((always_inline)) static inline void four(const void *input, const int8_t *const *w, int32_t inputs,
                                                       bool s16, int32_t *sums)
{
    const int8_t *w0 = w[0], *w1 = w[1], *w2 = w[2], *w3 = w[3];
    int32_t s0 = sums[0], s1 = sums[1], s2 = sums[2], s3 = sums[3];
    /* Two at a time: more would take code of which networks have little use. */
    for (int32_t left = inputs; left >= 2; left -= 2) {
        MULTIPLY(0);
        MULTIPLY(1);
        ADVANCE(2);
    }
    if (inputs & 1) {
        MULTIPLY(0);
    }
    sums[0] = s0, sums[1] = s1, sums[2] = s2, sums[3] = s3;
}

/* Not inlined: the caller's variables would take registers from the loop. */
__attribute__((noinline)) static void four_of_s8(const void *input, const int8_t *const *w, int32_t inputs,
                                                 int32_t *sums)
{
    four(input, w, inputs, false, sums);
}

__attribute__((noinline)) static void four_of_s16(const void *input, const int8_t *const *w, int32_t inputs,
                                                  int32_t *sums)
{
    four(input, w, inputs, true, sums);
}

void esp_dl_dense_s16(const void *input, const esp_dl_dense_t *p, void *output)
{
    ptrdiff_t done = 0;
    for (int32_t row = 0; row < p->rows; row++) {
        const int8_t *weights = p->weights;
        for (int32_t o = 0; o < p->outputs; o += OUTPUTS) {
            const int32_t count = p->outputs - o < OUTPUTS ? p->outputs - o : OUTPUTS;
            const int8_t *w[OUTPUTS];
            int32_t sums[OUTPUTS];
            for (int32_t i = 0; i < OUTPUTS; i++) {
                /* Beyond the last output: the last once more. */
                const int32_t k = i < count ? i : count - 1;
                w[i] = weights + (ptrdiff_t)k * p->inputs;
                sums[i] = p->bias[o + k];
            }
            (p->input_s16 ? four_of_s16 : four_of_s8)(input, w, p->inputs, sums);
            for (int32_t i = 0; i < count; i++) {
                const int32_t shift = p->shift[o + i];
                const int32_t y = esp_dl_requantize_wide(sums[i], shift, p->min, p->max, p->output_s16);
                esp_dl_store(output, done++, y, p->output_s16);
            }
            weights += (ptrdiff_t)count * p->inputs;
        }
        input = esp_dl_at(input, p->inputs, p->input_s16);
    }
}
