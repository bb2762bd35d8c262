/* Depthwise convolution with windows of any size, one filter per channel: one pixel, four channels at a time. */
#include "common/registers.h"
#include "common/window.h"
#include "esp_dl_fast.h"

#include <stddef.h>

#define CHANNELS 4

/* The taps of a window that are in the image, the address of the first of them, and the distances to the next row and
 * column, in the input and in the weights. */
typedef struct {
    int32_t rows, columns;
    const int8_t *x, *w;
    ptrdiff_t x_row, x_column, w_row, w_column;
    esp_dl_taps_t in_rows, in_columns; /* which taps these are */
} reach_t;

/* What the taps outside of the image add to the sums of `count` channels from `c` on. */
__attribute__((noinline)) static void add_outside(const reach_t *t, const esp_dl_depthwise_conv2d_t *p, int32_t c,
                                                  int32_t count, int32_t *sums)
{
    for (int32_t i = 0; i < count; i++) {
        const int8_t *w = p->weights + c + i;
        sums[i] = p->pad_value * esp_dl_outside(&p->window, t->in_rows, t->in_columns, w, p->input.c, 1);
    }
}

/* `count` channels from `c` on. leaves: the window leaves the image, where `pad_value` is not 0 */
static inline void channels_of(const reach_t *t, const esp_dl_depthwise_conv2d_t *p, int32_t c, int32_t count,
                               bool leaves, int8_t *output)
{
    const ptrdiff_t x_column = t->x_column, w_column = t->w_column;
    const int8_t *x_row = t->x + c, *w_row = t->w + c;
    int32_t s0 = 0, s1 = 0, s2 = 0, s3 = 0;
    if (leaves) {
        int32_t sums[CHANNELS] = {0};
        add_outside(t, p, c, count, sums);
        s0 = sums[0], s1 = sums[1], s2 = sums[2], s3 = sums[3];
    }
    for (int32_t row = t->rows; row > 0; row--) {
        const int8_t *x = x_row, *w = w_row;
        for (int32_t column = t->columns; column > 0; column--) {
            s0 += x[0] * w[0];
            if (count == CHANNELS) {
                s1 += x[1] * w[1];
                s2 += x[2] * w[2];
                s3 += x[3] * w[3];
            }
            x += x_column;
            w += w_column;
        }
        x_row += t->x_row;
        w_row += t->w_row;
    }
    /* Read only now: during the loops there are no registers left for them. */
    ESP_DL_KEEP(p);
    const int32_t min = p->min, max = p->max, *bias = p->bias + c;
    const int8_t *shift = p->shift + c;
    output += c;
    esp_dl_store(output, (s0 + bias[0]) >> shift[0], min, max);
    if (count == CHANNELS) {
        esp_dl_store(output + 1, (s1 + bias[1]) >> shift[1], min, max);
        esp_dl_store(output + 2, (s2 + bias[2]) >> shift[2], min, max);
        esp_dl_store(output + 3, (s3 + bias[3]) >> shift[3], min, max);
    }
}

static inline void pixel(const reach_t *reach, const esp_dl_depthwise_conv2d_t *p, bool leaves, int8_t *output)
{
    const int32_t channels = p->input.c;
    int32_t c = 0;
    for (; c + CHANNELS <= channels; c += CHANNELS) {
        channels_of(reach, p, c, CHANNELS, leaves, output);
    }
    for (; c < channels; c++) {
        channels_of(reach, p, c, 1, leaves, output);
    }
}

void esp_dl_depthwise_conv2d_s8_1x4(const int8_t *input, const esp_dl_depthwise_conv2d_t *p, int8_t *output)
{
    const esp_dl_window_t *window = &p->window;
    const int32_t channels = p->input.c;
    const ptrdiff_t x_row = (ptrdiff_t)window->dilation_h * p->input.w * channels;
    const ptrdiff_t x_column = (ptrdiff_t)window->dilation_w * channels;
    const ptrdiff_t w_row = (ptrdiff_t)window->kernel_w * channels;
    for (int32_t n = 0; n < p->output.n; n++) {
        for (int32_t h = 0; h < p->output.h; h++) {
            const int32_t y = h * window->stride_h - window->pad_top;
            const esp_dl_taps_t rows = esp_dl_taps(y, window->dilation_h, window->kernel_h, 0, p->input.h);
            for (int32_t w = 0; w < p->output.w; w++) {
                const int32_t x = w * window->stride_w - window->pad_left;
                const esp_dl_taps_t columns = esp_dl_taps(x, window->dilation_w, window->kernel_w, 0, p->input.w);
                reach_t reach = {.rows = rows.end - rows.first, .columns = columns.end - columns.first};
                const ptrdiff_t start = ((ptrdiff_t)y * p->input.w + x) * channels;
                reach.x = input + start + rows.first * x_row + columns.first * x_column;
                reach.w = p->weights + rows.first * w_row + (ptrdiff_t)columns.first * channels;
                if (window->kernel_w > 1) {
                    reach.x_row = x_row, reach.x_column = x_column;
                    reach.w_row = w_row, reach.w_column = channels;
                } else { /* a window of one column: the inner loop goes along it */
                    const int32_t column = reach.columns;
                    reach.columns = reach.rows, reach.rows = column;
                    reach.x_row = x_column, reach.x_column = x_row;
                    reach.w_row = channels, reach.w_column = w_row;
                }
                if (p->pad_value != 0 && esp_dl_leaves(window, rows, columns)) {
                    reach.in_rows = rows, reach.in_columns = columns;
                    pixel(&reach, p, true, output);
                } else {
                    pixel(&reach, p, false, output);
                }
                output += channels;
            }
        }
        input += (ptrdiff_t)p->input.h * p->input.w * channels;
    }
}
