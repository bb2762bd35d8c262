/*
 * Fully connected layer, sixteen outputs at a time, or eight where no more are left: an input value is loaded once for
 * all of them.
 *
 * After a relu many inputs have the same value, that of zero. It is subtracted from all inputs, which the bias
 * compensates: an input of that value then adds nothing, and its weights are not even loaded.
 */
#include "common/registers.h"
#include "common/requantize.h"
#include "esp_dl_fast.h"

#define MOST 16

#define ADD(o)                                                                                                         \
    do {                                                                                                               \
        s##o += value * w[o];                                                                                          \
        ESP_DL_KEEP(s##o);                                                                                             \
    } while (0)

/* The sums of `outputs` outputs, a constant. Inlined into a function of its own for each number of them, so that all
 * are in registers. Returns where their weights end. */
__attribute__((always_inline)) static inline const int8_t *
add_products(const int outputs, const int8_t *x, int32_t inputs, int32_t common, const int8_t *w, int32_t *sums)
{
    int32_t s0 = 0, s1 = 0, s2 = 0, s3 = 0, s4 = 0, s5 = 0, s6 = 0, s7 = 0;
    int32_t s8 = 0, s9 = 0, s10 = 0, s11 = 0, s12 = 0, s13 = 0, s14 = 0, s15 = 0;
    for (const int8_t *end = x + inputs; x != end; w += outputs) {
        int32_t value = *x++;
        if (value == common) {
            continue;
        }
        value -= common;
        ADD(0);
        ADD(1);
        ADD(2);
        ADD(3);
        ADD(4);
        ADD(5);
        ADD(6);
        ADD(7);
        if (outputs > ESP_DL_8_OUTPUTS) {
            ADD(8);
            ADD(9);
            ADD(10);
            ADD(11);
            ADD(12);
            ADD(13);
            ADD(14);
            ADD(15);
        }
    }
    sums[0] = s0, sums[1] = s1, sums[2] = s2, sums[3] = s3, sums[4] = s4, sums[5] = s5, sums[6] = s6, sums[7] = s7;
    if (outputs > ESP_DL_8_OUTPUTS) {
        sums[8] = s8, sums[9] = s9, sums[10] = s10, sums[11] = s11;
        sums[12] = s12, sums[13] = s13, sums[14] = s14, sums[15] = s15;
    }
    return w;
}

__attribute__((noinline)) static const int8_t *sixteen(const int8_t *x, int32_t inputs, int32_t common, const int8_t *w,
                                                       int32_t *sums)
{
    return add_products(MOST, x, inputs, common, w, sums);
}

__attribute__((noinline)) static const int8_t *eight(const int8_t *x, int32_t inputs, int32_t common, const int8_t *w,
                                                     int32_t *sums)
{
    return add_products(ESP_DL_8_OUTPUTS, x, inputs, common, w, sums);
}

void esp_dl_dense_s8_8(const int8_t *input, const esp_dl_dense_t *p, int8_t *output)
{
    for (int32_t row = 0; row < p->rows; row++) {
        const int8_t *w = p->weights + 1;
        for (int32_t o = 0; o < p->outputs; o += MOST) {
            const int32_t left = p->outputs - o, count = left < MOST ? left : MOST;
            int32_t sums[MOST];
            w = (left > ESP_DL_8_OUTPUTS ? sixteen : eight)(input, p->inputs, p->weights[0], w, sums);
            for (int32_t i = 0; i < count; i++) {
                *output++ = esp_dl_requantize(sums[i] + p->bias[o + i], p->shift[o + i], p->min, p->max);
            }
        }
        input += p->inputs;
    }
}
