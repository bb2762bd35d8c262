/*
 * Convolution of three pixels by four output channels at a time, two multiply-accumulates per instruction, without
 * scratch memory.
 *
 * The weights of two output channels are in one 32-bit word, w0 + w1 * 2^16: one multiplication by an input value
 * computes both products. Sums grow in lanes of 16 bits and are separated where the exporter has marked it, before a
 * lane can overflow.
 */
#include "common/registers.h"
#include "convolution/conv2d_end.h"
#include "convolution/lanes.h"
#include "esp_dl_fast.h"

#include <stddef.h>
#include <string.h>

#define PIXELS ESP_DL_3X4_PIXELS

#define ADD_PRODUCT(sum, weights) ESP_DL_ADD_PRODUCT(sum, value, weights)

#define MULTIPLY(i)                                                                                                    \
    do {                                                                                                               \
        const uint32_t first = w[2 * (i)], second = w[2 * (i) + 1];                                                    \
        uint32_t value = (uint32_t)x0[i];                                                                              \
        ADD_PRODUCT(p00, first);                                                                                       \
        ADD_PRODUCT(p01, second);                                                                                      \
        value = (uint32_t)x1[i];                                                                                       \
        ADD_PRODUCT(p10, first);                                                                                       \
        ADD_PRODUCT(p11, second);                                                                                      \
        value = (uint32_t)x2[i];                                                                                       \
        ADD_PRODUCT(p20, first);                                                                                       \
        ADD_PRODUCT(p21, second);                                                                                      \
    } while (0)

/* sums: [pixels][4], with the bias. Output channels `o` to o + 3 of `pixels` pixels. */
static void finish(const int32_t *sums, int32_t pixels, const esp_dl_conv2d_t *p, int32_t o, const esp_dl_addend_t *add,
                   int8_t *output)
{
    /* Read only now: there are no registers left to hold them during the loops. */
    ESP_DL_KEEP(p);
    ESP_DL_KEEP(add);
    esp_dl_conv2d_end_t end = esp_dl_conv2d_end(p, add, o);
    const int8_t *shifts = p->shift + o;
    const int32_t step = p->output.c;
    output += o;
    if (add->values == NULL) {
        const int32_t shift0 = end.shift, shift1 = shifts[1], shift2 = shifts[2], shift3 = shifts[3];
        const int32_t below0 = end.below, below1 = end.min * (1 << shift1);
        const int32_t below2 = end.min * (1 << shift2), below3 = end.min * (1 << shift3);
        for (const int32_t *stop = sums + 4 * pixels; sums != stop; sums += 4) {
            esp_dl_store_shifted(output, sums[0], shift0, below0, end.min, end.max);
            esp_dl_store_shifted(output + 1, sums[1], shift1, below1, end.min, end.max);
            esp_dl_store_shifted(output + 2, sums[2], shift2, below2, end.min, end.max);
            esp_dl_store_shifted(output + 3, sums[3], shift3, below3, end.min, end.max);
            output += step;
        }
        return;
    }
    const int8_t *addend = add->values + o;
    for (int32_t channel = 0; channel < 4; channel++) {
        end.shift = shifts[channel], end.left = add->shift[o + channel], end.below = end.min * (1 << end.shift);
        const int8_t *a = addend++;
        int8_t *y = output++;
        for (const int32_t *sum = sums, *stop = sums + 4 * pixels; sum != stop; sum += 4) {
            esp_dl_conv2d_store_sum(&end, *sum, *a, y);
            a += step;
            y += step;
        }
        sums++;
    }
}

/* Where the words of weights of a piece end, whose first word `piece` is their number, and a bit for the first piece of
 * a tap, which the shift drops. */
static inline const uint32_t *after(const uint32_t *words, uint32_t piece)
{
    return (const uint32_t *)(const void *)((const char *)words + (uint32_t)(piece << 2));
}

/* All output channels of a tile. taps: the address read by each tap of each of the three windows. Not inlined: the
 * caller's variables would take registers from the loops. */
__attribute__((noinline)) static void tile(const int8_t *const *taps, int32_t count, const esp_dl_conv2d_t *p,
                                           const esp_dl_addend_t *add, int32_t pixels, int8_t *output)
{
    const uint32_t *w = (const uint32_t *)(const void *)p->weights;
    for (int32_t o = 0; o < p->output.c; o += 4) {
        /* The sums of words and of their high lanes, begun with the bias. */
        uint32_t h00 = (uint32_t)p->bias[o + 1], h01 = (uint32_t)p->bias[o + 3];
        uint32_t t00 = (uint32_t)p->bias[o] + (h00 << 16), t01 = (uint32_t)p->bias[o + 2] + (h01 << 16);
        uint32_t h10 = h00, h20 = h00, h11 = h01, h21 = h01;
        uint32_t t10 = t00, t20 = t00, t11 = t01, t21 = t01;
        for (const int8_t *const *tap = taps, *const *end = taps + count * PIXELS; tap != end; tap += PIXELS) {
            const int8_t *x0 = tap[0], *x1 = tap[1], *x2 = tap[2];
            do {
                const uint32_t piece = *w;
                uint32_t p00 = w[1], p10 = p00, p20 = p00;
                uint32_t p01 = w[2], p11 = p01, p21 = p01;
                w += 3;
                ESP_DL_KEEP(w);
                const uint32_t *stop = after(w, piece);
                if ((piece & 4) != 0) { /* two channels beside fours */
                    MULTIPLY(0);
                    MULTIPLY(1);
                    w += 4;
                    x0 += 2, x1 += 2, x2 += 2;
                }
                while (w != stop) {
                    MULTIPLY(0);
                    MULTIPLY(1);
                    MULTIPLY(2);
                    MULTIPLY(3);
                    w += 8;
                    x0 += 4, x1 += 4, x2 += 4;
                }
                ESP_DL_SEPARATE(t00, h00, p00);
                ESP_DL_SEPARATE(t10, h10, p10);
                ESP_DL_SEPARATE(t20, h20, p20);
                ESP_DL_SEPARATE(t01, h01, p01);
                ESP_DL_SEPARATE(t11, h11, p11);
                ESP_DL_SEPARATE(t21, h21, p21);
            } while ((int32_t)*w >= 0);
        }
        const int32_t sums[PIXELS][4] = {
            {(int32_t)(t00 - (h00 << 16)), (int32_t)h00, (int32_t)(t01 - (h01 << 16)), (int32_t)h01},
            {(int32_t)(t10 - (h10 << 16)), (int32_t)h10, (int32_t)(t11 - (h11 << 16)), (int32_t)h11},
            {(int32_t)(t20 - (h20 << 16)), (int32_t)h20, (int32_t)(t21 - (h21 << 16)), (int32_t)h21},
        };
        finish(sums[0], pixels, p, o, add, output);
    }
}

/* Writes the addresses that the taps of the windows of pixels `first` to first + PIXELS - 1 read. */
static void find_taps(const int8_t **taps, const int8_t *input, const esp_dl_conv2d_t *p, int32_t first,
                      const int8_t *outside)
{
    const esp_dl_window_t *window = &p->window;
    const int32_t plane = p->output.h * p->output.w, last = p->output.n * plane - 1;
    for (int32_t i = 0; i < PIXELS; i++) {
        /* Pixels beyond the last one: the last again. */
        const int32_t index = first + i < last ? first + i : last, place = index % plane;
        const int8_t *image = input + (ptrdiff_t)(index / plane) * p->input.h * p->input.w * p->input.c;
        const int32_t h0 = place / p->output.w * window->stride_h - window->pad_top;
        const int32_t w0 = place % p->output.w * window->stride_w - window->pad_left;
        const int8_t **tap = taps + i;
        for (int32_t kh = 0; kh < window->kernel_h; kh++) {
            const int32_t h = h0 + kh * window->dilation_h;
            for (int32_t kw = 0; kw < window->kernel_w; kw++) {
                const int32_t w = w0 + kw * window->dilation_w;
                const int inside = h >= 0 && h < p->input.h && w >= 0 && w < p->input.w;
                *tap = inside ? image + ((ptrdiff_t)h * p->input.w + w) * p->input.c : outside;
                tap += PIXELS;
            }
        }
    }
}

/* Whether the windows of PIXELS pixels from `first` on lie in one row of windows, and inside the image. */
static int lie_inside(const esp_dl_conv2d_t *p, int32_t first)
{
    const esp_dl_window_t *window = &p->window;
    const int32_t row = first / p->output.w % p->output.h, column = first % p->output.w;
    const int32_t h = row * window->stride_h - window->pad_top, w = column * window->stride_w - window->pad_left;
    const int32_t height = (window->kernel_h - 1) * window->dilation_h;
    const int32_t width = (window->kernel_w - 1) * window->dilation_w + (PIXELS - 1) * window->stride_w;
    return column + PIXELS <= p->output.w && h >= 0 && h + height < p->input.h && w >= 0 && w + width < p->input.w;
}

static void convolve(const int8_t *input, esp_dl_addend_t add, const esp_dl_conv2d_t *p, int8_t *output)
{
    const int32_t count = p->window.kernel_h * p->window.kernel_w, step = PIXELS * p->window.stride_w * p->input.c;
    const int32_t all = p->output.n * p->output.h * p->output.w;
    const int8_t *taps[ESP_DL_3X4_MAX_TAPS * PIXELS];
    int8_t outside[ESP_DL_3X4_MAX_CHANNELS]; /* what a tap outside the image reads */
    memset(outside, p->pad_value, (size_t)p->input.c);
    int inside = 0;
    for (int32_t first = 0; first < all; first += PIXELS) {
        const int before = inside && first % p->output.w >= PIXELS;
        inside = lie_inside(p, first);
        if (before && inside) {
            for (const int8_t **tap = taps, **end = taps + count * PIXELS; tap != end; tap++) {
                *tap += step;
            }
        } else {
            find_taps(taps, input, p, first, outside);
        }
        const int32_t pixels = all - first < PIXELS ? all - first : PIXELS;
        tile(taps, count, p, &add, pixels, output);
        output += pixels * p->output.c;
        add = esp_dl_addend_behind(add, pixels * p->output.c);
    }
}

void esp_dl_conv2d_s8_3x4(const int8_t *input, const esp_dl_conv2d_t *p, int8_t *output)
{
    convolve(input, (esp_dl_addend_t){NULL, NULL}, p, output);
}

void esp_dl_conv2d_add_s8_3x4(const int8_t *input, const int8_t *addend, const esp_dl_conv2d_add_t *p, int8_t *output)
{
    convolve(input, (esp_dl_addend_t){addend, p->addend_shift}, &p->conv2d, output);
}
