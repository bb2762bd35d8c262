#include "convolution/mac16_depthwise_esp32.h"
#include "esp_dl_esp32.h"

/* Rows of the image in scratch memory, one channel of them: words [columns / 2][rows]. */
typedef struct {
    int32_t rows, words;
} layout_t;

static layout_t layout_of(const esp_dl_depthwise_conv2d_esp32_t *p)
{
    const int32_t columns = (p->output.w - 1) * p->window.stride_w + 3;
    return (layout_t){.rows = (p->rows - 1) * p->window.stride_h + 3, .words = (columns + 1) / 2 + 1};
}

static int32_t clamped(int32_t value, int32_t most)
{
    return value < 0 ? 0 : value < most ? value : most;
}

int32_t esp_dl_depthwise_conv2d_s8_esp32_scratch(const esp_dl_depthwise_conv2d_esp32_t *p)
{
    const layout_t layout = layout_of(p);
    return layout.rows * layout.words * (int32_t)sizeof(uint32_t);
}

void esp_dl_depthwise_conv2d_s8_esp32(const int8_t *input, const esp_dl_depthwise_conv2d_esp32_t *p, void *scratch,
                                      int8_t *output)
{
    const esp_dl_window_t *window = &p->window;
    const layout_t layout = layout_of(p);
    const int32_t channels = p->input.c, line = p->input.w * channels, step = layout.rows * (int32_t)sizeof(uint32_t);
    /* Columns of the image, and where the first one goes. */
    const int32_t before = clamped(window->pad_left, 2 * layout.words), first = before - window->pad_left;
    const int32_t inside = clamped(p->input.w - first, 2 * layout.words - before);
    esp_dl_mac16_columns_t columns = {.channels = channels, .row_bytes = line - inside * channels, .step = step};
    columns.leads = inside > 0 ? before % 2 : 0;
    columns.pairs = (inside - columns.leads) / 2;
    columns.trails = (inside - columns.leads) % 2;
    const uint32_t outside = (uint32_t)(p->pad_value + 128) * 0x10001u; /* a word of two columns outside of the image */
    int16_t weights[10] __attribute__((aligned(4))) = {0};
    esp_dl_mac16_depthwise_t pixels = {
        .x = scratch,
        .weights = weights,
        .pairs = window->stride_w == 1 ? p->output.w / 2 : 0,
        .singles = window->stride_w == 1 ? p->output.w % 2 : p->output.w,
        .step_x = step,
        .next_row = window->stride_h * (int32_t)sizeof(uint32_t),
        .step = channels,
        .min = p->min,
        .max = p->max,
    };
    for (int32_t n = 0; n < p->output.n; n++) {
        for (int32_t row = 0; row < p->output.h; row += p->rows) {
            pixels.rows = p->output.h - row < p->rows ? p->output.h - row : p->rows;
            const int32_t needed = (pixels.rows - 1) * window->stride_h + 3;
            const int32_t top = row * window->stride_h - window->pad_top, above = clamped(-top, needed);
            columns.rows = clamped(p->input.h - (top + above), needed - above);
            columns.to = (int16_t *)scratch + 2 * (before / 2 * layout.rows + above);
            uint32_t *words = scratch;
            for (const uint32_t *end = words + layout.rows * layout.words; words != end; words++) {
                *words = outside;
            }
            for (int32_t c = 0; c < channels; c++) {
                if (columns.rows > 0 && inside > 0) {
                    columns.from = input + (top + above) * line + first * channels + c;
                    esp_dl_mac16_columns_esp32(&columns);
                }
                const int8_t *w = p->weights + 9 * c;
                for (int32_t i = 0; i < 3; i++) {
                    weights[2 * i] = w[3 * i];
                    weights[2 * i + 1] = w[3 * i + 1];
                    weights[6 + i] = w[3 * i + 2];
                }
                pixels.bias = p->bias[c];
                pixels.shift = p->shift[c];
                pixels.output = output + c;
                esp_dl_mac16_depthwise_esp32(&pixels);
            }
            output += pixels.rows * p->output.w * channels;
        }
        input += p->input.h * line;
    }
}
