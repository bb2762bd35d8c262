#include "common/wide.h"
#include "esp_dl.h"

/* Sum of `count` products. `s16` is a constant where this is called: one loop for each width. */
static inline int32_t products(const void *x, const int8_t *weights, int32_t count, bool s16)
{
    int32_t sum = 0;
    for (int32_t i = 0; i < count; i++) {
        sum += esp_dl_load(x, i, s16) * weights[i];
    }
    return sum;
}

/* The sum of `count` weights. */
static inline int32_t total(const int8_t *weights, int32_t count)
{
    int32_t sum = 0;
    for (int32_t i = 0; i < count; i++) {
        sum += weights[i];
    }
    return sum;
}

/* The sum of one output value where taps outside the image count too. */
static int32_t filled_sum(const void *image, const int8_t *weights, const esp_dl_conv2d_t *p, int32_t origin_h,
                          int32_t origin_w, int32_t channels)
{
    const esp_dl_window_t *window = &p->window;
    int32_t sum = 0;
    for (int32_t kh = 0; kh < window->kernel_h; kh++) {
        const int32_t h = origin_h + kh * window->dilation_h;
        for (int32_t kw = 0; kw < window->kernel_w; kw++, weights += channels) {
            const int32_t w = origin_w + kw * window->dilation_w;
            if (h < 0 || h >= p->input.h || w < 0 || w >= p->input.w) {
                sum += p->pad_value * total(weights, channels);
                continue;
            }
            const void *x = esp_dl_at(image, ((ptrdiff_t)h * p->input.w + w) * p->input.c, p->input_s16);
            sum += products(x, weights, channels, p->input_s16);
        }
    }
    return sum;
}

/* The sum of one output value, as in conv2d_s8.c; taps beside each other in memory are one run. */
static inline int32_t window_sum(const void *image, const int8_t *weights, const esp_dl_conv2d_t *p, int32_t origin_h,
                                 int32_t origin_w, int32_t channels, bool s16)
{
    const esp_dl_window_t *window = &p->window;
    const bool whole = channels == p->input.c && window->dilation_w == 1;
    /* The taps of a row that lie in the image, where they are one run. */
    const int32_t from = origin_w < 0 ? -origin_w : 0;
    const int32_t room = p->input.w - origin_w;
    const int32_t until = window->kernel_w < room ? window->kernel_w : room;
    int32_t sum = 0;
    for (int32_t kh = 0; kh < window->kernel_h; kh++) {
        int32_t h = origin_h + kh * window->dilation_h;
        if (h < 0 || h >= p->input.h) {
            continue;
        }
        const int8_t *row = weights + (ptrdiff_t)kh * window->kernel_w * channels;
        if (whole) {
            if (from < until) {
                const void *x = esp_dl_at(image, ((ptrdiff_t)h * p->input.w + origin_w + from) * channels, s16);
                sum += products(x, row + from * channels, (until - from) * channels, s16);
            }
            continue;
        }
        for (int32_t kw = 0; kw < window->kernel_w; kw++) {
            int32_t w = origin_w + kw * window->dilation_w;
            if (w >= 0 && w < p->input.w) {
                const void *x = esp_dl_at(image, ((ptrdiff_t)h * p->input.w + w) * p->input.c, s16);
                sum += products(x, row + kw * channels, channels, s16);
            }
        }
    }
    return sum;
}

/* addend: what is added to the sums, NULL for nothing; more: how. */
static void convolve(const void *input, const void *addend, const esp_dl_conv2d_t *p, const esp_dl_conv2d_add_t *more,
                     void *output)
{
    const esp_dl_window_t *window = &p->window;
    const int32_t channels = p->input.c / p->groups;       /* that a filter reads */
    const int32_t group_outputs = p->output.c / p->groups; /* filters of a group */
    const int32_t filter_size = window->kernel_h * window->kernel_w * channels;
    ptrdiff_t done = 0;
    for (int32_t n = 0; n < p->output.n; n++) {
        for (int32_t h = 0; h < p->output.h; h++) {
            for (int32_t w = 0; w < p->output.w; w++) {
                const int32_t origin_h = h * window->stride_h - window->pad_top;
                const int32_t origin_w = w * window->stride_w - window->pad_left;
                for (int32_t o = 0; o < p->output.c; o++) {
                    const void *image = esp_dl_at(input, (ptrdiff_t)(o / group_outputs) * channels, p->input_s16);
                    const int8_t *weights = p->weights + (ptrdiff_t)o * filter_size;
                    int32_t sum;
                    if (p->pad_value != 0) {
                        sum = filled_sum(image, weights, p, origin_h, origin_w, channels);
                    } else if (p->input_s16) {
                        sum = window_sum(image, weights, p, origin_h, origin_w, channels, true);
                    } else {
                        sum = window_sum(image, weights, p, origin_h, origin_w, channels, false);
                    }
                    if (addend != NULL) {
                        const int32_t value = esp_dl_load(addend, done, more->addend_s16);
                        sum += (int32_t)((uint32_t)value << more->addend_shift[o]);
                    }
                    sum = esp_dl_requantize_wide(sum + p->bias[o], p->shift[o], p->min, p->max, p->output_s16);
                    esp_dl_store(output, done++, sum, p->output_s16);
                }
            }
        }
        input = esp_dl_at(input, (ptrdiff_t)p->input.h * p->input.w * p->input.c, p->input_s16);
    }
}

void esp_dl_conv2d_s16(const void *input, const esp_dl_conv2d_t *p, void *output)
{
    convolve(input, NULL, p, NULL, output);
}

void esp_dl_conv2d_add_s16(const void *input, const void *addend, const esp_dl_conv2d_add_t *p, void *output)
{
    convolve(input, addend, &p->conv2d, p, output);
}
