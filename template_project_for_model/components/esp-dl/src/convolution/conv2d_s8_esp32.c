#include "common/requantize.h"
#include "convolution/mac16_esp32.h"
#include "esp_dl_esp32.h"

#include <stddef.h>

/* Values are widened to value + 128, 0..255. */
#define OFFSET 128

/* Values behind the rows that may be read in vain; behind a channel's weights, the first ones again. */
#define BEHIND_ROWS 8
#define REPEATED 2

/* Weights that are widened in one step. */
#define AT_A_TIME 8

/* What lies in scratch memory, in values of 16 bits. */
typedef struct {
    int32_t pixel;   /* of the image */
    int32_t columns; /* pixels in a row: those of all windows */
    int32_t row;     /* values in a row, an even number */
    int32_t rows;
    int32_t fours;   /* of products in a row of the window */
    int32_t weights; /* of a channel */
    int32_t widened; /* room for them, with those that are repeated: 0 where they are stored in 16 bits */
} layout_t;

static int32_t up(int32_t count, int32_t step)
{
    return (count + step - 1) / step * step;
}

static layout_t layout_of(const esp_dl_conv2d_esp32_t *p)
{
    const esp_dl_window_t *window = &p->window;
    layout_t layout;
    /* Windows begin at multiples of two values. */
    layout.pixel = p->input.c + (p->input.c & window->stride_w & 1);
    layout.columns = (p->output.w - 1) * window->stride_w + window->kernel_w;
    layout.row = up(layout.columns * layout.pixel, 2);
    layout.rows = (p->rows - 1) * window->stride_h + (window->kernel_h - 1) * window->dilation_h + 1;
    layout.fours = up(window->kernel_w * layout.pixel, 4) / 4;
    layout.weights = window->kernel_h * layout.fours * 4;
    layout.widened = p->wide ? 0 : up(layout.weights, AT_A_TIME) + REPEATED;
    return layout;
}

static int32_t values_of(const layout_t *layout)
{
    return layout->rows * layout->row + BEHIND_ROWS + layout->widened;
}

/* What a value outside the image is widened to. */
static int16_t outside_of(const esp_dl_conv2d_esp32_t *p)
{
    return (int16_t)(p->pad_value + OFFSET);
}

/* `count` bytes of pixels of `channels` values; returns where the next ones go. */
static int16_t *widen(const int8_t *from, int16_t *to, int32_t count, int32_t channels)
{
    int16_t *end = to + count;
    if (channels % 4 != 0) {
        while (to != end) {
            *to++ = (int16_t)(*from++ + OFFSET);
        }
    } else if ((uintptr_t)from % 4 == 0 && count > 0) {
        esp_dl_mac16_inputs_esp32(from, to, count / 4);
    } else {
        for (; to != end; to += 4, from += 4) {
            to[0] = (int16_t)(from[0] + OFFSET);
            to[1] = (int16_t)(from[2] + OFFSET);
            to[2] = (int16_t)(from[1] + OFFSET);
            to[3] = (int16_t)(from[3] + OFFSET);
        }
    }
    return end;
}

static void fill(int16_t *to, const int16_t *end, int16_t value)
{
    while (to != end) {
        *to++ = value;
    }
}

/* A row of the image, with what lies left and right of it; row: NULL: all of it is outside. */
static void widen_row(const int8_t *row, int16_t *to, const esp_dl_conv2d_esp32_t *p, const layout_t *layout)
{
    const int16_t *end = to + layout->row, outside = outside_of(p);
    if (row == NULL) {
        fill(to, end, outside);
        return;
    }
    const int32_t channels = p->input.c, left = p->window.pad_left, columns = layout->columns;
    const int32_t before = left < 0 ? 0 : left < columns ? left : columns;
    const int32_t first = before - left; /* column of the image */
    int32_t inside = p->input.w - first;
    inside = inside < 0 ? 0 : inside < columns - before ? inside : columns - before;
    fill(to, to + before * layout->pixel, outside);
    to += before * layout->pixel;
    row += first * channels;
    if (layout->pixel == channels) {
        to = widen(row, to, inside * channels, channels);
    } else {
        for (; inside > 0; inside--) {
            to = widen(row, to, channels, channels);
            *to++ = OFFSET;
            row += channels;
        }
    }
    fill(to, end, outside);
}

/* Output channel `o`'s weights in 16 bits; to: where they are widened to. */
static const int16_t *weights_of(const esp_dl_conv2d_esp32_t *p, const layout_t *layout, int32_t o, int16_t *to)
{
    if (p->wide) {
        return (const int16_t *)p->weights + o * (layout->weights + REPEATED);
    }
    const int32_t steps = up(layout->weights, AT_A_TIME) / AT_A_TIME;
    esp_dl_mac16_weights_esp32((const int8_t *)p->weights + o * steps * AT_A_TIME, to, steps);
    to[layout->weights] = to[0];
    to[layout->weights + 1] = to[1];
    return to;
}

/* What the sums of one channel of `pixels` pixels begin with, where a value is added to each. */
static void begin_sums(const int8_t *addend, int32_t left, int32_t bias, int32_t pixels, int32_t step, int32_t *starts)
{
    for (const int32_t *end = starts + pixels; starts != end; starts++, addend += step) {
        *starts = bias + (int32_t)((uint32_t)*addend << left);
    }
}

/* addend: NULL for none; left: by how much it is shifted, per channel. */
static void convolve(const int8_t *input, const int8_t *addend, const esp_dl_conv2d_esp32_t *p, const int8_t *left,
                     int16_t *scratch, int8_t *output)
{
    const esp_dl_window_t *window = &p->window;
    const layout_t layout = layout_of(p);
    const int32_t channels = p->output.c, segment = layout.fours * 4, step = window->stride_w * layout.pixel;
    int32_t *starts = (int32_t *)(void *)scratch;
    int16_t *rows = scratch + (addend != NULL ? 2 * p->rows * p->output.w : 0);
    int16_t *weights = rows + layout.rows * layout.row + BEHIND_ROWS;
    esp_dl_mac16_t pixels = {
        .x = rows,
        .fours = layout.fours,
        .more = window->kernel_h - 1,
        .next_segment = 2 * (window->dilation_h * layout.row - segment),
        .next_pixel = 2 * (step - (window->kernel_h - 1) * window->dilation_h * layout.row - segment),
        .next_row = 2 * (window->stride_h * layout.row - p->output.w * step),
        .row_bytes = p->output.w * channels,
        .step = channels,
        .starts = addend != NULL ? starts : NULL,
        .min = p->min,
        .max = p->max,
    };
    for (int32_t n = 0; n < p->output.n; n++) {
        for (int32_t first = 0; first < p->output.h; first += p->rows) {
            pixels.rows = p->output.h - first < p->rows ? p->output.h - first : p->rows;
            const int32_t needed = layout.rows - (p->rows - pixels.rows) * window->stride_h;
            for (int32_t i = 0; i < needed; i++) {
                const int32_t h = first * window->stride_h - window->pad_top + i;
                const int8_t *row = h < 0 || h >= p->input.h ? NULL : input + h * p->input.w * p->input.c;
                widen_row(row, rows + i * layout.row, p, &layout);
            }
            for (int32_t o = 0; o < channels; o++) {
                pixels.weights = weights_of(p, &layout, o, weights);
                pixels.output = output + o;
                pixels.bias = (int32_t)((uint32_t)p->bias[o] << 8);
                pixels.shift = p->shift[o] + 8;
                if (addend == NULL) {
                    esp_dl_mac16_pixels_esp32(&pixels);
                } else {
                    begin_sums(addend + o, left[o] + 8, pixels.bias, pixels.rows * p->output.w, channels, starts);
                    esp_dl_mac16_begun_pixels_esp32(&pixels);
                }
            }
            output += pixels.rows * p->output.w * channels;
            addend += addend != NULL ? pixels.rows * p->output.w * channels : 0;
        }
        input += p->input.h * p->input.w * p->input.c;
    }
}

int32_t esp_dl_conv2d_s8_esp32_scratch(const esp_dl_conv2d_esp32_t *p)
{
    const layout_t layout = layout_of(p);
    return (int32_t)sizeof(int16_t) * values_of(&layout);
}

int32_t esp_dl_conv2d_add_s8_esp32_scratch(const esp_dl_conv2d_esp32_add_t *p)
{
    return esp_dl_conv2d_s8_esp32_scratch(&p->conv2d) + 4 * p->conv2d.rows * p->conv2d.output.w;
}

void esp_dl_conv2d_s8_esp32(const int8_t *input, const esp_dl_conv2d_esp32_t *p, void *scratch, int8_t *output)
{
    convolve(input, NULL, p, NULL, scratch, output);
}

void esp_dl_conv2d_add_s8_esp32(const int8_t *input, const int8_t *addend, const esp_dl_conv2d_esp32_add_t *p,
                                void *scratch, int8_t *output)
{
    convolve(input, addend, &p->conv2d, p->addend_shift, scratch, output);
}
