#include "common/requantize.h"
#include "esp_dl.h"

/* The input position whose tap `tap` falls on `position`, or -1. */
static int32_t source(int32_t position, int32_t tap, int32_t stride, int32_t size)
{
    const int32_t distance = position - tap;
    if (distance < 0 || distance % stride != 0 || distance / stride >= size) {
        return -1;
    }
    return distance / stride;
}

void esp_dl_conv_transpose2d_s8(const int8_t *input, const esp_dl_conv2d_t *p, int8_t *output)
{
    const esp_dl_window_t *w = &p->window;
    const int32_t inputs = p->input.c / p->groups;
    const int32_t outputs = p->output.c / p->groups;

    for (int32_t n = 0; n < p->output.n; n++) {
        for (int32_t y = 0; y < p->output.h; y++) {
            for (int32_t x = 0; x < p->output.w; x++) {
                for (int32_t o = 0; o < p->output.c; o++) {
                    const int8_t *filter = p->weights + o * w->kernel_h * w->kernel_w * inputs;
                    const int32_t first = o / outputs * inputs;
                    int32_t sum = p->bias[o];
                    for (int32_t i = 0; i < w->kernel_h; i++) {
                        const int32_t row = source(y + w->pad_top, i * w->dilation_h, w->stride_h, p->input.h);
                        for (int32_t j = 0; row >= 0 && j < w->kernel_w; j++) {
                            const int32_t column = source(x + w->pad_left, j * w->dilation_w, w->stride_w, p->input.w);
                            if (column < 0) {
                                continue;
                            }
                            const int8_t *pixel = input + (row * p->input.w + column) * p->input.c + first;
                            const int8_t *tap = filter + (i * w->kernel_w + j) * inputs;
                            for (int32_t c = 0; c < inputs; c++) {
                                sum += pixel[c] * tap[c];
                            }
                        }
                    }
                    *output++ = esp_dl_requantize(sum, p->shift[o], p->min, p->max);
                }
            }
        }
        input += p->input.h * p->input.w * p->input.c;
    }
}
