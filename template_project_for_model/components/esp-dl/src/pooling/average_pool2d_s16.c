#include "common/wide.h"
#include "common/window.h"
#include "esp_dl.h"
#include "pooling/add_up.h"
#include "pooling/counted.h"
#include "pooling/wide_average.h"

/* The part of a window that lies in the image: taps, and elements from one to the next. */
typedef struct {
    int32_t rows, columns;
    ptrdiff_t line;
    int32_t column;
} part_t;

/* Along one axis: the first tap in the image, how many are in it, and how many count. */
typedef struct {
    int32_t first, taps, counted;
} span_t;

/* Of a window that starts at `start`; positions from..to - 1 count. Not inlined: its divisions would be there twice. */
__attribute__((noinline)) static span_t span(int32_t start, int32_t dilation, int32_t kernel, int32_t size,
                                             int32_t from, int32_t to)
{
    const esp_dl_taps_t inside = esp_dl_taps(start, dilation, kernel, 0, size);
    const esp_dl_taps_t counted = esp_dl_taps(start, dilation, kernel, from, to);
    return (span_t){inside.first, inside.end - inside.first, counted.end - counted.first};
}

/* Adds `count` channels of all taps to their sums, which start as 0. */
static void add_part(const void *x, bool s16, const part_t *part, int32_t count, int32_t sums[ESP_DL_ADDED])
{
    for (int32_t i = 0; i < part->rows; i++) {
        esp_dl_add_up_wide(esp_dl_at(x, i * part->line, s16), s16, part->columns, part->column, count, sums);
    }
}

void esp_dl_average_pool2d_s16(const void *input, const esp_dl_pool2d_t *p, void *output)
{
    const esp_dl_window_t *window = &p->window;
    const esp_dl_counted_t counted = esp_dl_counted(p);
    const int32_t channels = p->output.c;
    const int32_t column = window->dilation_w * channels;
    const ptrdiff_t line = (ptrdiff_t)window->dilation_h * p->input.w * channels;
    ptrdiff_t done = 0;
    for (int32_t n = 0; n < p->output.n; n++) {
        for (int32_t oh = 0; oh < p->output.h; oh++) {
            const int32_t h = oh * window->stride_h - window->pad_top;
            const span_t rows = span(h, window->dilation_h, window->kernel_h, p->input.h, counted.top, counted.bottom);
            for (int32_t ow = 0; ow < p->output.w; ow++) {
                const int32_t w = ow * window->stride_w - window->pad_left;
                const span_t columns =
                    span(w, window->dilation_w, window->kernel_w, p->input.w, counted.left, counted.right);
                const int32_t count = rows.counted * columns.counted;
                const part_t part = {rows.taps, columns.taps, line, column};
                const ptrdiff_t start = (((ptrdiff_t)n * p->input.h + h) * p->input.w + w) * channels;
                const ptrdiff_t first = start + rows.first * line + (ptrdiff_t)columns.first * column;
                for (int32_t c = 0; c < channels; c += ESP_DL_ADDED) {
                    const int32_t together = channels - c < ESP_DL_ADDED ? channels - c : ESP_DL_ADDED;
                    int32_t sums[ESP_DL_ADDED] = {0};
                    add_part(esp_dl_at(input, first + c, p->input_s16), p->input_s16, &part, together, sums);
                    for (int32_t i = 0; i < together; i++) {
                        esp_dl_store(output, done++, esp_dl_wide_average(sums[i], count > 0 ? count : 1, p),
                                     p->output_s16);
                    }
                }
            }
        }
    }
}
