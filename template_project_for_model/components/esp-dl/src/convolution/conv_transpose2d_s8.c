#include "convolution/pixel.h"

/* The taps along one axis that fall on a position: the first, where in the input it comes from, and how many there are.
 * From one to the next, the tap grows by `step` and its place in the input falls by `back`. */
typedef struct {
    int32_t tap, source, count;
} falling_t;

/* The least number of taps whose distance is a multiple of the stride. */
static int32_t step_of(int32_t dilation, int32_t stride)
{
    int32_t step = 1;
    while (step * dilation % stride != 0) {
        step++;
    }
    return step;
}

static falling_t falling(int32_t position, int32_t dilation, int32_t stride, int32_t kernel, int32_t size, int32_t step)
{
    falling_t f = {0, 0, 0};
    while (f.tap < step && (position - f.tap * dilation) % stride != 0) {
        f.tap++;
    }
    if (f.tap == step) {
        return f;
    }
    const int32_t back = step * dilation / stride;
    f.source = (position - f.tap * dilation) / stride;
    while (f.source >= size) {
        f.tap += step;
        f.source -= back;
    }
    for (int32_t tap = f.tap, source = f.source; tap < kernel && source >= 0; tap += step, source -= back) {
        f.count++;
    }
    return f;
}

void esp_dl_conv_transpose2d_s8(const int8_t *input, const esp_dl_conv2d_t *p, int8_t *output)
{
    const esp_dl_window_t *w = &p->window;
    const int32_t inputs = p->input.c / p->groups;
    const int32_t step_h = step_of(w->dilation_h, w->stride_h), step_w = step_of(w->dilation_w, w->stride_w);
    esp_dl_reach_t reach = {
        .count = inputs,
        .x_row = -(ptrdiff_t)(step_h * w->dilation_h / w->stride_h) * p->input.w * p->input.c,
        .x_column = -(ptrdiff_t)(step_w * w->dilation_w / w->stride_w) * p->input.c,
        .w_row = (ptrdiff_t)step_h * w->kernel_w * inputs,
        .w_column = (ptrdiff_t)step_w * inputs,
    };
    for (int32_t n = 0; n < p->output.n; n++) {
        for (int32_t y = 0; y < p->output.h; y++) {
            const falling_t rows = falling(y + w->pad_top, w->dilation_h, w->stride_h, w->kernel_h, p->input.h, step_h);
            reach.rows = rows.count;
            for (int32_t x = 0; x < p->output.w; x++) {
                const falling_t columns =
                    falling(x + w->pad_left, w->dilation_w, w->stride_w, w->kernel_w, p->input.w, step_w);
                reach.columns = columns.count;
                const int8_t *pixel = input + ((ptrdiff_t)rows.source * p->input.w + columns.source) * p->input.c;
                const int8_t *filter = p->weights + (rows.tap * w->kernel_w + columns.tap) * inputs;
                esp_dl_pixel(p, &reach, pixel, filter, output);
                output += p->output.c;
            }
        }
        input += (ptrdiff_t)p->input.h * p->input.w * p->input.c;
    }
}
