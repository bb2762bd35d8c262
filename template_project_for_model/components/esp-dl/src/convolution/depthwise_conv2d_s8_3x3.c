/*
 * Depthwise convolution with 3x3 windows, one filter per channel, strides of 1 or 2 along a row.
 *
 * A row of output is computed channel by channel, from left to right, with the nine weights in registers. Each input
 * value is read once per row: it is added immediately to the sums of all outputs that need it, two of which are in
 * progress. The rows whose windows lie in the image are computed channel by channel where the output leaves the input
 * alone, so that weights are loaded once for all of them; with strides of 1 two rows at a time, which share the values
 * that both need. Where a sum fits 16 bits, which the exporter knows, one multiplication serves both rows: values x0
 * and x1 of the same tap are one word, x0 + x1 * 2^16, and so are the sums. A row at the image's border has six taps.
 */
#include "common/registers.h"
#include "esp_dl_fast.h"

#include <stddef.h>

/* Constant along a row of output, or along rows that are computed together. */
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
#define STORE(sum) esp_dl_store_shifted(y, sum, shift, below, min, max)

/* The weights of a channel, 9 in a row. */
#define READ_WEIGHTS(p, channel)                                                                                       \
    const int8_t *w = (p)->weights + (channel)*9;                                                                      \
    int32_t w00 = w[0], w01 = w[1], w02 = w[2], w10 = w[3], w11 = w[4], w12 = w[5], w20 = w[6], w21 = w[7], w22 = w[8]

/* Its bias and shift. */
#define READ_BIAS(p, channel)                                                                                          \
    int32_t bias = (p)->bias[channel], shift = (p)->shift[channel];                                                    \
    if (shift >= ESP_DL_3X3_LANES) {                                                                                   \
        shift -= ESP_DL_3X3_LANES;                                                                                     \
        bias = (bias & 0xffff) + (bias >> 16) * (1 << shift);                                                          \
    }

/* A shift to the left is one of the weights and of the bias instead of the sums. */
#define SHIFT_LEFT                                                                                                     \
    if (shift < 0) {                                                                                                   \
        const int32_t factor = 1 << -shift;                                                                            \
        w00 *= factor, w01 *= factor, w02 *= factor, w10 *= factor, w11 *= factor, w12 *= factor;                      \
        w20 *= factor, w21 *= factor, w22 *= factor, bias *= factor;                                                   \
        shift = 0;                                                                                                     \
    }

/* Rows of output of one channel; what is outside of the image is the same for all of them. */
static inline void rows_alone(const row_t *r, const esp_dl_depthwise_conv2d_t *p, int32_t channel, int8_t *y,
                              int32_t rows)
{
    const int32_t channels = p->input.c, min = p->min, max = p->max;
    READ_WEIGHTS(p, channel);
    READ_BIAS(p, channel);
    SHIFT_LEFT;
    const int32_t below = min * (1 << shift);
    if (r->outside_top) {
        bias += r->pad_value * (w00 + w01 + w02);
        w00 = w01 = w02 = 0;
    }
    if (r->outside_end) {
        bias += r->pad_value * (w20 + w21 + w22);
        w20 = w21 = w22 = 0;
    }
    const int32_t start = p->window.pad_left == 0 ? bias : bias + r->pad_value * (w00 + w10 + w20);
    y += channel;
    for (ptrdiff_t at = channel; rows > 0; rows--) {
        const int8_t *x0 = r->x[0] + at, *x1 = r->x[1] + at, *x2 = r->x[2] + at;
        at += p->window.stride_h * p->input.w * channels;
        int32_t a, b, c, sum = start;
        const int8_t *end = y + r->full, *last = y + r->all;
        if (p->window.pad_left == 0) {
            LOAD;
            ADD(sum, w00, w10, w20);
            ADVANCE;
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
            sum += r->pad_value * (w02 + w12 + w22);
            STORE(sum);
            y += channels;
        }
    }
}

/* The first or the last row of output, whose window has a row outside the image; with strides of 1 and a column outside
 * on both sides. */
static inline void row_at_border(const row_t *r, const esp_dl_depthwise_conv2d_t *p, int32_t channel, int8_t *y)
{
    const int32_t channels = p->input.c, min = p->min, max = p->max, pad_value = r->pad_value;
    const int8_t *w = p->weights + channel * 9, *x0 = r->x[0] + channel, *x1 = r->x[1] + channel;
    READ_BIAS(p, channel);
    int32_t outside = 0;
    if (r->outside_top) {
        outside = w[0] + w[1] + w[2];
        w += 3, x0 = x1, x1 = r->x[2] + channel;
    } else if (pad_value != 0) {
        outside = w[6] + w[7] + w[8];
    }
    bias += pad_value * outside;
    int32_t w00 = w[0], w01 = w[1], w02 = w[2], w10 = w[3], w11 = w[4], w12 = w[5];
    if (shift < 0) {
        const int32_t factor = 1 << -shift;
        w00 *= factor, w01 *= factor, w02 *= factor, w10 *= factor, w11 *= factor, w12 *= factor, bias *= factor;
        shift = 0;
    }
    const int32_t below = min * (1 << shift);
    int32_t a = *x0, b = *x1, sum = bias + pad_value * (w00 + w10), next = bias;
    sum += a * w01, sum += b * w11, next += a * w00, next += b * w10;
    y += channel;
    for (const int8_t *end = y + r->full; y != end; y += channels) {
        x0 += channels, x1 += channels;
        a = *x0, b = *x1;
        sum += a * w02, sum += b * w12;
        STORE(sum);
        sum = next;
        sum += a * w01, sum += b * w11;
        next = bias;
        next += a * w00, next += b * w10;
    }
    sum += pad_value * (w02 + w12);
    STORE(sum);
}

/* A value of each of the four rows that two rows of output read. */
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
        esp_dl_store_shifted(y, sum0, shift, below, min, max);                                                         \
        esp_dl_store_shifted(y + line, sum1, shift, below, min, max);                                                  \
    } while (0)

/* Pairs of rows of output of one channel, whose windows lie in the image but for a column on both sides, with strides
 * of
 * 1. rows, y: the first values that are read and written */
static inline void pairs_of_rows(const row_t *r, const esp_dl_depthwise_conv2d_t *p, int32_t channel,
                                 const int8_t *rows, int8_t *y, int32_t pairs)
{
    const int32_t channels = p->input.c, min = p->min, max = p->max;
    const ptrdiff_t line = r->all;
    READ_WEIGHTS(p, channel);
    READ_BIAS(p, channel);
    SHIFT_LEFT;
    const int32_t below = min * (1 << shift);
    const int32_t start = bias + r->pad_value * (w00 + w10 + w20), outside = r->pad_value * (w02 + w12 + w22);
    for (; pairs > 0; pairs--) {
        const int8_t *x = rows;
        int32_t a, b, c, d, sum0 = start, sum1 = start;
        LOAD_FOUR;
        ADD_BOTH(sum, w01, w11, w21);
        int32_t next0 = bias, next1 = bias;
        ADD_BOTH(next, w00, w10, w20);
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
        sum0 += outside, sum1 += outside;
        STORE_BOTH;
        rows += 2 * line;
        y += channels + line;
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
        store_lane(y, sum << 16, shift, offset, below, min, max);                                                      \
        store_lane(y + line, sum, shift, offset, below, min, max);                                                     \
    } while (0)

/* What the upper half of `sum` is: *y = (sum >> shift) + offset within [min, max]; below: (min - offset) << shift. */
static inline void store_lane(int8_t *y, uint32_t sum, int32_t shift, int32_t offset, uint32_t below, int32_t min,
                              int32_t max)
{
    if (__builtin_expect(sum < below, 0)) {
        ESP_DL_READ(min);
        *y = (int8_t)min;
    } else {
        ESP_DL_READ(sum);
        int32_t value = (int32_t)(sum >> shift) + offset;
        if (value > max) {
            value = max;
        }
        ESP_DL_KEEP(value);
        *y = (int8_t)value;
        ESP_DL_APART;
    }
}

/* The same where both sums fit the halves of a word; what is left of the bias is added after the shift. */
static inline void pairs_in_lanes(const row_t *r, const esp_dl_depthwise_conv2d_t *p, int32_t channel,
                                  const int8_t *rows, int8_t *y, int32_t pairs)
{
    const int32_t channels = p->input.c, min = p->min, max = p->max;
    const ptrdiff_t line = r->all;
    READ_WEIGHTS(p, channel);
    const int32_t bias = p->bias[channel], offset = bias >> 16, shift = p->shift[channel] - ESP_DL_3X3_LANES + 16;
    const uint32_t below = offset < min ? (uint32_t)(min - offset) << shift : 0;
    const uint32_t begin = ((uint32_t)bias & 0xffff) * 0x10001u, pad = (uint32_t)r->pad_value * 0x10001u;
    const uint32_t start = begin + pad * (uint32_t)(w00 + w10 + w20), outside = pad * (uint32_t)(w02 + w12 + w22);
    for (; pairs > 0; pairs--) {
        const int8_t *x = rows;
        int32_t a, b, c, d;
        uint32_t ab, bc, cd, sum = start, next = begin;
        LOAD_WORDS;
        ADD_WORDS(sum, w01, w11, w21);
        ADD_WORDS(next, w00, w10, w20);
        for (const int8_t *end = y + r->full; y != end; y += channels) {
            x += channels;
            LOAD_WORDS;
            ADD_WORDS(sum, w02, w12, w22);
            STORE_WORD;
            sum = next;
            ADD_WORDS(sum, w01, w11, w21);
            next = begin;
            ADD_WORDS(next, w00, w10, w20);
        }
        sum += outside;
        STORE_WORD;
        rows += 2 * line;
        y += channels + line;
    }
}

/* Whether all rows of a channel may be computed before those of the next one: the output does not overlap the input, or
 * by whole pixels, so that channels do not meet. */
static int may_take_channels(const esp_dl_depthwise_conv2d_t *p, const int8_t *input, const int8_t *output)
{
    const uintptr_t written = (uintptr_t)(p->output.n * p->output.h * p->output.w * p->output.c);
    const uintptr_t read = (uintptr_t)(p->input.n * p->input.h * p->input.w * p->input.c);
    const uintptr_t before = (uintptr_t)input - (uintptr_t)output;
    return before < written ? before % (uintptr_t)p->input.c == 0 : 0 - before >= read;
}

/* Whether, with strides of 1 and a column outside the image on both sides, two rows may be computed together. No value
 * may be overwritten that is still to be read. Of one channel alone, a pixel of the second row has to lie at a place in
 * the first row that both read, or before it; otherwise both rows have to lie before it. That is nearest in the first
 * rows whose windows lie in the image. */
static int may_take_pairs(const esp_dl_depthwise_conv2d_t *p, const int8_t *input, const int8_t *output,
                          int by_channels)
{
    const uintptr_t row = (uintptr_t)(p->output.w * p->output.c), before = (uintptr_t)input - (uintptr_t)output;
    if (p->window.stride_h != 1 || p->window.stride_w != 1 || p->window.pad_left != 1 || p->output.w != p->input.w) {
        return 0;
    }
    /* Behind the input, which nothing may overlap then, it is far before it, by modulo. */
    return (by_channels || output < input) && before >= ((uintptr_t)p->window.pad_top + (by_channels ? 1 : 2)) * row;
}

void esp_dl_depthwise_conv2d_s8_3x3(const int8_t *input, const esp_dl_depthwise_conv2d_t *p, int8_t *output)
{
    const int32_t stride = p->window.stride_h, channels = p->output.c, line = p->input.w * channels;
    const int32_t reach = p->input.w + p->window.pad_left - 3; /* where the last full window starts */
    const int32_t full = reach < 0 ? 0 : reach / p->window.stride_w + 1;
    row_t r = {.all = (ptrdiff_t)p->output.w * channels, .pad_value = p->pad_value};
    r.full = full < p->output.w ? (ptrdiff_t)full * channels : r.all;
    const int by_channels = may_take_channels(p, input, output);
    const int in_pairs = may_take_pairs(p, input, output, by_channels);
    for (int32_t n = 0; n < p->output.n; n++) {
        int32_t rows; /* that are computed together */
        for (int32_t i = 0; i < p->output.h; i += rows) {
            const int32_t h = i * stride - p->window.pad_top;
            /* The middle row is always in the image. */
            const int8_t *middle = input + (ptrdiff_t)(h + 1) * line;
            r.outside_top = h < 0;
            r.outside_end = h + 2 >= p->input.h;
            r.x[0] = r.outside_top ? middle : middle - line;
            r.x[1] = middle;
            r.x[2] = r.outside_end ? middle : middle + line;
            rows = 1;
            if ((by_channels || in_pairs) && !r.outside_top && !r.outside_end) {
                const int32_t inside = (p->input.h - 3 - h) / stride + 1, left = p->output.h - i;
                rows = inside < left ? inside : left;
                rows = by_channels || rows < 2 ? rows : 2;
            }
            const int32_t pairs = in_pairs ? rows / 2 : 0;
            rows = pairs != 0 ? 2 * pairs : rows;
            const int at_border = in_pairs && r.outside_top != r.outside_end;
            for (int32_t c = 0; c < channels; c++) {
                ESP_DL_KEEP(c); /* one counter, not an address of each thing that it counts */
                if (at_border) {
                    row_at_border(&r, p, c, output);
                } else if (pairs == 0) {
                    rows_alone(&r, p, c, output, rows);
                } else if (p->shift[c] >= ESP_DL_3X3_LANES) {
                    pairs_in_lanes(&r, p, c, r.x[0] + c, output + c, pairs);
                } else {
                    pairs_of_rows(&r, p, c, r.x[0] + c, output + c, pairs);
                }
            }
            output += rows * r.all;
        }
        input += (ptrdiff_t)p->input.h * line;
    }
}
