/* The average of whole images, from and to int16 or int8, for the vector unit of the ESP32-S3. */
#include "esp_dl_esp32s3.h"
#include "pooling/pool2d_row_esp32s3.h"
#include "pooling/wide_average.h"

/* How sums of an image become averages. */
static esp_dl_average_s16_t average_of(const esp_dl_pool2d_t *p)
{
    const int32_t pixels = p->input.h * p->input.w, shift = -p->shift;
    /* floor(sum * 2^shift / n + 1/2), all of it doubled; averages are at least -2^(7 + shift). */
    return (esp_dl_average_s16_t){
        .factor = (int32_t)1 << (shift + 1),
        .offset = (uint32_t)pixels + ((uint32_t)pixels << (8 + shift)),
        .divisor = 2 * (uint32_t)pixels,
        .offset_result = (int32_t)1 << (7 + shift),
        .min = p->min,
        .max = p->max,
    };
}

/* Of sixteen channels. first: theirs of an image */
static void average_sixteen(const int8_t *first, const esp_dl_pool2d_t *p, const esp_dl_average_s16_t *average,
                            int16_t *output)
{
    _Alignas(16) uint32_t sums[12] = {0};
    const esp_dl_pool2d_row_t row = {
        .rows = &first,
        .taps = p->input.h * p->input.w,
        .tap_step = p->input.c,
        .channels = 16,
        .factor = 1,
        .start = sums,
    };
    esp_dl_average_pool2d_sums_esp32s3(&row);
    esp_dl_average_s16_esp32s3(sums, average, output);
}

void esp_dl_average_pool2d_s16_esp32s3(const int8_t *input, const esp_dl_pool2d_t *p, int16_t *output)
{
    const int32_t channels = p->input.c, image = p->input.h * p->input.w * channels;
    const esp_dl_average_s16_t average = average_of(p);
    for (int32_t n = 0; n < p->output.n; n++, input += image) {
        for (int32_t c = 0; c < channels; c += 16, output += 16) {
            average_sixteen(input + c, p, &average, output);
        }
    }
}

void esp_dl_average_pool2d_s8_global_esp32s3(const int8_t *input, const esp_dl_pool2d_t *p, int8_t *output)
{
    const int32_t channels = p->input.c, image = p->input.h * p->input.w * channels;
    const esp_dl_average_s16_t average = average_of(p);
    for (int32_t n = 0; n < p->output.n; n++, input += image) {
        for (int32_t c = 0; c < channels; c += 16, output += 16) {
            int16_t averages[16];
            average_sixteen(input + c, p, &average, averages);
            for (int32_t i = 0; i < 16; i++) {
                output[i] = (int8_t)averages[i];
            }
        }
    }
}

void esp_dl_average_pool2d_s16_wide_esp32s3(const int16_t *input, const esp_dl_pool2d_t *p, void *output)
{
    const int32_t channels = p->input.c, pixels = p->input.h * p->input.w;
    ptrdiff_t done = 0;
    for (int32_t n = 0; n < p->output.n; n++, input += pixels * channels) {
        for (int32_t c = 0; c < channels; c += 8) {
            _Alignas(16) int32_t sums[12];
            esp_dl_average_pool2d_sums_s16_esp32s3(input + c, pixels, 2 * channels, sums);
            for (int32_t i = 0; i < 8; i++) {
                esp_dl_store(output, done++, esp_dl_wide_average(sums[i], pixels, p), p->output_s16);
            }
        }
    }
}
