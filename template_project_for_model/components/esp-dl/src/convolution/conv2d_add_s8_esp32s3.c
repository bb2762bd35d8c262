/* Convolution with an addend for the vector unit of the ESP32-S3: conv2d_s8_esp32s3.c with other ways for its rows. */
#include "common/shift_left_esp32s3.h"
#include "convolution/conv2d_row_esp32s3.h"
#include "esp_dl_esp32s3.h"

/* A channel after the other: what the sums of a pixel begin with is put together in `sums`. */
static void wide(const esp_dl_conv2d_row_t *whole)
{
    /* They lie in scratch memory. */
    const int8_t **const segments = (const int8_t **)(uintptr_t)whole->segments;
    const int64_t *const bias = (const int64_t *)(const void *)whole->weights;
    esp_dl_conv2d_row_t row = *whole;
    row.pixels = 1;
    for (int32_t pixel = 0; pixel < whole->pixels; pixel++) {
        const int8_t *addend = (const int8_t *)((intptr_t)row.output + row.addend);
        for (int32_t c = 0; c < row.channels; c++) {
            row.sums[c] = bias[c] + (int64_t)addend[c] * (1 << row.addend_shift[c]);
        }
        esp_dl_conv2d_row_wide_add_esp32s3(&row);
        row.output += row.channels;
        for (int32_t s = 0; s < row.segment_count; s++) {
            segments[s] += row.step;
        }
    }
    for (int32_t s = 0; s < row.segment_count; s++) {
        segments[s] -= whole->pixels * row.step;
    }
}

int32_t esp_dl_conv2d_add_s8_esp32s3_scratch(const esp_dl_conv2d_add_esp32s3_t *p)
{
    const esp_dl_conv2d_esp32s3_t *conv2d = &p->conv2d;
    const esp_dl_conv2d_path_t path = conv2d->path;
    const bool is_held = path == ESP_DL_CONV2D_ONE || path == ESP_DL_CONV2D_HELD || path == ESP_DL_CONV2D_NINE;
    /* Where channels are made a multiple of 16, those of the addend as well. */
    const int32_t line = is_held && conv2d->output.c % 16 != 0 ? conv2d->run * ((conv2d->output.c + 15) / 16 * 16) : 0;
    return esp_dl_conv2d_s8_esp32s3_scratch(conv2d) + line;
}

void esp_dl_conv2d_add_s8_esp32s3(const int8_t *input, const int8_t *addend, const esp_dl_conv2d_add_esp32s3_t *p,
                                  void *scratch, int8_t *output)
{
    static const esp_dl_conv2d_ways_t ways = {
        esp_dl_conv2d_row_lanes_add_esp32s3, esp_dl_conv2d_row_one_add_esp32s3,   esp_dl_conv2d_row_held_add_esp32s3,
        esp_dl_conv2d_row_nine_add_esp32s3,  esp_dl_conv2d_row_parts_add_esp32s3, wide,
    };
    const esp_dl_conv2d_esp32s3_t *conv2d = &p->conv2d;
    const esp_dl_conv2d_row_t more = {
        .addend = (intptr_t)addend - (intptr_t)output,
        .factors = p->factors,
        .addend_shift = p->addend_shift,
        .ways = &ways,
    };
    esp_dl_convolve_esp32s3(input, conv2d, &more, scratch, output);
    esp_dl_shift_left_esp32s3(output, conv2d->output.n * conv2d->output.h * conv2d->output.w, conv2d->output.c,
                              conv2d->left, conv2d->left_channels, conv2d->min, conv2d->max);
}
