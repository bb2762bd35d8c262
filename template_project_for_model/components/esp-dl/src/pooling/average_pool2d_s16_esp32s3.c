/* The average of whole images from int8 to int16 for the vector unit of the ESP32-S3. */
#include "esp_dl_esp32s3.h"
#include "pooling/pool2d_row_esp32s3.h"

void esp_dl_average_pool2d_s16_esp32s3(const int8_t *input, const esp_dl_pool2d_t *p, int16_t *output)
{
    const int32_t channels = p->input.c, pixels = p->input.h * p->input.w, shift = -p->shift;
    /* floor(sum * 2^shift / n + 1/2), all of it doubled; averages are at least -2^(7 + shift). */
    const esp_dl_average_s16_t average = {
        .factor = (int32_t)1 << (shift + 1),
        .offset = (uint32_t)pixels + ((uint32_t)pixels << (8 + shift)),
        .divisor = 2 * (uint32_t)pixels,
        .offset_result = (int32_t)1 << (7 + shift),
        .min = p->min,
        .max = p->max,
    };
    for (int32_t n = 0; n < p->output.n; n++, input += pixels * channels) {
        for (int32_t c = 0; c < channels; c += 16, output += 16) {
            const int8_t *first = input + c;
            _Alignas(16) uint32_t sums[12] = {0};
            const esp_dl_pool2d_row_t row = {
                .rows = &first,
                .taps = pixels,
                .tap_step = channels,
                .channels = 16,
                .factor = 1,
                .start = sums,
            };
            esp_dl_average_pool2d_sums_esp32s3(&row);
            esp_dl_average_s16_esp32s3(sums, &average, output);
        }
    }
}
