/*
 * Depthwise convolution with 3x3 windows, one filter per channel, strides of 1 or 2 along a row.
 *
 * A row of output is computed channel by channel, from left to right, with the nine weights in registers. Each input
 * value is read once per row: it is added immediately to the sums of all outputs that need it, two of which are in
 * progress. Two rows are computed together where all that they read lies in the image: the weights are loaded once for
 * both, and so are the values that both need. Where a sum fits 16 bits, which the exporter knows, one multiplication
 * serves both rows: values x0 and x1 of the same tap are one word, x0 + x1 * 2^16, and so are the sums.
 */
#include "common/registers.h"
#include "esp_dl_fast.h"

#include <stddef.h>

/* Constant along a row of output. */
typedef struct {
    const int8_t *x[3];           /* column 0 of the window's three rows */
    int outside_top, outside_end; /* rows 0 or 2 are outside the image (x: any row) */
    ptrdiff_t full, all;          /* bytes of the outputs whose third column lies in the image, and with the one more
                                   * that may follow them */
    int32_t pad_value;
} row_t;

#define ADVANCE x0 += channels, x1 += channels, x2 += channels
#define LOAD a = *x0, b = *x1, c = *x2
#define ADD(sum, w0, w1, w2) sum += a * (w0), sum += b * (w1), sum += c * (w2)
#define STORE(sum) esp_dl_store(y, (sum) >> shift, min, max)

/* The weights of a channel, 9 in a row. */
#define READ_WEIGHTS(p, channel)                                                                                       \
    const int8_t *w = (p)->weights + (channel)*9;                                                                      \
    int32_t w00 = w[0], w01 = w[1], w02 = w[2], w10 = w[3], w11 = w[4], w12 = w[5], w20 = w[6], w21 = w[7], w22 = w[8]

/* Its bias and shift as well. A shift to the left is one of the weights and of the bias instead of the sums. */
#define READ_CHANNEL(p, channel)                                                                                       \
    READ_WEIGHTS(p, channel);                                                                                          \
    int32_t bias = (p)->bias[channel], shift = (p)->shift[channel];                                                    \
    if (shift >= ESP_DL_3X3_LANES) {                                                                                   \
        shift -= ESP_DL_3X3_LANES;                                                                                     \
        bias = (bias & 0xffff) + (bias >> 16) * (1 << shift);                                                          \
    }                                                                                                                  \
    if (shift < 0) {                                                                                                   \
        const int32_t factor = 1 << -shift;                                                                            \
        w00 *= factor, w01 *= factor, w02 *= factor, w10 *= factor, w11 *= factor, w12 *= factor;                      \
        w20 *= factor, w21 *= factor, w22 *= factor, bias *= factor;                                                   \
        shift = 0;                                                                                                     \
    }

/* One row of output of one channel. */
static inline void row(const row_t *r, const esp_dl_depthwise_conv2d_t *p, int32_t channel, int8_t *y)
{
    const int32_t channels = p->input.c;
    const int32_t min = p->min, max = p->max;
    const int8_t *x0 = r->x[0] + channel, *x1 = r->x[1] + channel, *x2 = r->x[2] + channel;
    READ_CHANNEL(p, channel);
    if (r->outside_top) {
        bias += r->pad_value * (w00 + w01 + w02);
        w00 = w01 = w02 = 0;
    }
    if (r->outside_end) {
        bias += r->pad_value * (w20 + w21 + w22);
        w20 = w21 = w22 = 0;
    }
    int32_t a, b, c, sum = bias;
    y += channel;
    const int8_t *end = y + r->full, *last = y + r->all;
    if (p->window.pad_left == 0) {
        LOAD;
        ADD(sum, w00, w10, w20);
        ADVANCE;
    } else if (r->pad_value != 0) {
        sum += r->pad_value * (w00 + w10 + w20);
    }
    if (p->window.stride_w == 1) {
        LOAD;
        ADD(sum, w01, w11, w21);
        int32_t next = bias;
        ADD(next, w00, w10, w20);
        for (; y != end; y += channels) {
            ADVANCE;
            LOAD;
            ADD(sum, w02, w12, w22);
            STORE(sum);
            sum = next;
            ADD(sum, w01, w11, w21);
            next = bias;
            ADD(next, w00, w10, w20);
        }
    } else {
        for (; y != end; y += channels) {
            LOAD;
            ADVANCE;
            ADD(sum, w01, w11, w21);
            LOAD;
            ADVANCE;
            ADD(sum, w02, w12, w22);
            STORE(sum);
            sum = bias;
            ADD(sum, w00, w10, w20);
        }
        if (y != last) {
            LOAD;
            ADD(sum, w01, w11, w21);
        }
    }
    if (y != last) {
        if (r->pad_value != 0) {
            sum += r->pad_value * (w02 + w12 + w22);
        }
        STORE(sum);
    }
}

#define LOAD_FOUR                                                                                                      \
    do {                                                                                                               \
        const int8_t *at = x;                                                                                          \
        a = *at, at += line;                                                                                           \
        ESP_DL_KEEP(at);                                                                                               \
        b = *at, at += line;                                                                                           \
        ESP_DL_KEEP(at);                                                                                               \
        c = *at, at += line;                                                                                           \
        ESP_DL_KEEP(at);                                                                                               \
        d = *at;                                                                                                       \
    } while (0)
#define ADD_BOTH(sums, w0, w1, w2)                                                                                     \
    do {                                                                                                               \
        sums##0 += a * (w0), sums##0 += b * (w1), sums##0 += c * (w2);                                                 \
        sums##1 += b * (w0), sums##1 += c * (w1), sums##1 += d * (w2);                                                 \
    } while (0)
#define STORE_BOTH                                                                                                     \
    do {                                                                                                               \
        esp_dl_store(y, sum0 >> shift, min, max);                                                                      \
        esp_dl_store(y + all, sum1 >> shift, min, max);                                                                \
    } while (0)

/* Two rows of output of one channel, with strides of 1 and a column outside the image before the first; the four rows
 * of input lie in the image. */
static inline void two_rows(const row_t *r, const esp_dl_depthwise_conv2d_t *p, int32_t channel, int8_t *y)
{
    const int32_t channels = p->input.c, min = p->min, max = p->max;
    const int8_t *x = r->x[0] + channel;
    const ptrdiff_t line = r->x[1] - r->x[0], all = r->all;
    READ_CHANNEL(p, channel);
    int32_t a, b, c, d, sum0 = bias + r->pad_value * (w00 + w10 + w20), sum1 = sum0;
    LOAD_FOUR;
    ADD_BOTH(sum, w01, w11, w21);
    int32_t next0 = bias, next1 = bias;
    ADD_BOTH(next, w00, w10, w20);
    y += channel;
    for (const int8_t *end = y + r->full; y != end; y += channels) {
        x += channels;
        LOAD_FOUR;
        ADD_BOTH(sum, w02, w12, w22);
        STORE_BOTH;
        sum0 = next0, sum1 = next1;
        ADD_BOTH(sum, w01, w11, w21);
        next0 = next1 = bias;
        ADD_BOTH(next, w00, w10, w20);
    }
    if (r->full != all) {
        const int32_t outside = r->pad_value * (w02 + w12 + w22);
        sum0 += outside, sum1 += outside;
        STORE_BOTH;
    }
}

#define LOAD_WORDS                                                                                                     \
    do {                                                                                                               \
        LOAD_FOUR;                                                                                                     \
        ab = (uint32_t)a + ((uint32_t)b << 16), bc = (uint32_t)b + ((uint32_t)c << 16);                                \
        cd = (uint32_t)c + ((uint32_t)d << 16);                                                                        \
    } while (0)
#define ADD_WORDS(sum, w0, w1, w2) sum += ab * (uint32_t)(w0), sum += bc * (uint32_t)(w1), sum += cd * (uint32_t)(w2)
#define STORE_WORD                                                                                                     \
    do {                                                                                                               \
        esp_dl_store(y, (int32_t)(sum << 16 >> shift) + offset, min, max);                                             \
        esp_dl_store(y + all, (int32_t)(sum >> shift) + offset, min, max);                                             \
    } while (0)

/* The same where both sums fit the halves of a word; what is left of the bias is added after the shift. */
static inline void two_rows_in_lanes(const row_t *r, const esp_dl_depthwise_conv2d_t *p, int32_t channel, int8_t *y)
{
    const int32_t channels = p->input.c, min = p->min, max = p->max;
    const int8_t *x = r->x[0] + channel;
    const ptrdiff_t line = r->x[1] - r->x[0], all = r->all;
    READ_WEIGHTS(p, channel);
    const int32_t bias = p->bias[channel], offset = bias >> 16, shift = p->shift[channel] - ESP_DL_3X3_LANES + 16;
    const uint32_t start = ((uint32_t)bias & 0xffff) * 0x10001u, outside = (uint32_t)r->pad_value * 0x10001u;
    int32_t a, b, c, d;
    uint32_t ab, bc, cd, sum = start + outside * (uint32_t)(w00 + w10 + w20), next = start;
    LOAD_WORDS;
    ADD_WORDS(sum, w01, w11, w21);
    ADD_WORDS(next, w00, w10, w20);
    y += channel;
    for (const int8_t *end = y + r->full; y != end; y += channels) {
        x += channels;
        LOAD_WORDS;
        ADD_WORDS(sum, w02, w12, w22);
        STORE_WORD;
        sum = next;
        ADD_WORDS(sum, w01, w11, w21);
        next = start;
        ADD_WORDS(next, w00, w10, w20);
    }
    if (r->full != all) {
        sum += outside * (uint32_t)(w02 + w12 + w22);
        STORE_WORD;
    }
}

/* Whether `two_rows` may compute rows from `output` on. h: the first row of the first one's window.
 * No value may be overwritten that is still to be read. Where the output overlaps the input by whole pixels, channels
 * do not meet: a pixel of the second row then lies, by this distance, at a place in the first row of the window that
 * was read, or before it. */
static int may_take_two(const esp_dl_depthwise_conv2d_t *p, int32_t h, const int8_t *input, const int8_t *output)
{
    const uintptr_t channels = (uintptr_t)p->input.c, line = (uintptr_t)p->input.w * channels;
    const uintptr_t first = (uintptr_t)input + (uintptr_t)h * line, before = first - (uintptr_t)output;
    if (p->window.stride_h != 1 || p->window.stride_w != 1 || p->window.pad_left != 1 || h < 0 || h + 3 >= p->input.h) {
        return 0;
    }
    if ((uintptr_t)output >= first) {
        return (uintptr_t)output >= first + 4 * line;
    }
    return before >= 2 * line || (before % channels == 0 && before >= line);
}

void esp_dl_depthwise_conv2d_s8_3x3(const int8_t *input, const esp_dl_depthwise_conv2d_t *p, int8_t *output)
{
    const int32_t line = p->input.w * p->input.c, stride = p->window.stride_w;
    const int32_t reach = p->input.w + p->window.pad_left - 3; /* where the last full window starts */
    const int32_t full = reach < 0 ? 0 : reach / stride + 1;
    row_t r = {.all = (ptrdiff_t)p->output.w * p->output.c, .pad_value = p->pad_value};
    r.full = full < p->output.w ? (ptrdiff_t)full * p->output.c : r.all;
    for (int32_t n = 0; n < p->output.n; n++) {
        for (int32_t i = 0; i < p->output.h; i++) {
            const int32_t h = i * p->window.stride_h - p->window.pad_top;
            /* The middle row is always in the image. */
            const int8_t *middle = input + (ptrdiff_t)(h + 1) * line;
            r.outside_top = h < 0;
            r.outside_end = h + 2 >= p->input.h;
            r.x[0] = r.outside_top ? middle : middle - line;
            r.x[1] = middle;
            r.x[2] = r.outside_end ? middle : middle + line;
            const int two = i + 1 < p->output.h && may_take_two(p, h, input, output);
            for (int32_t c = 0; c < p->output.c; c++) {
                ESP_DL_KEEP(c); /* one counter, not an address of each thing that it counts */
                if (!two) {
                    row(&r, p, c, output);
                } else if (p->shift[c] >= ESP_DL_3X3_LANES) {
                    two_rows_in_lanes(&r, p, c, output);
                } else {
                    two_rows(&r, p, c, output);
                }
            }
            i += two;
            output += two ? 2 * r.all : r.all;
        }
        input += (ptrdiff_t)p->input.h * line;
    }
}
