/* Float to int8 on the ESP32-S3; elsewhere in C, which gives the same bytes. */
#include "common/float_bits.h"
#include "esp_dl_esp32s3.h"
#include "quantization/quantize_values_esp32s3.h"

#include <stddef.h>

/* Results `step` bytes apart. */
static void quantize(const float *x, int32_t count, int32_t exponent, int32_t zero_point, int8_t *y, int32_t step)
{
#ifdef ESP_DL_ESP32S3
    esp_dl_quantize_values_esp32s3(x, count, (uint32_t)(127 - exponent) << 23, y, step, zero_point);
#else
    for (; count > 0; count--, y += step) {
        *y = esp_dl_quantize_value(*x++, exponent, zero_point);
    }
#endif
}

void esp_dl_quantize_s8_esp32s3(const float *input, int32_t count, int32_t exponent, int32_t zero_point, int8_t *output)
{
    quantize(input, count, exponent, zero_point, output, 1);
}

void esp_dl_quantize_s8_nhwc_esp32s3(const float *input, const esp_dl_quantize_nhwc_t *p, int8_t *output)
{
    const int32_t channels = p->output.c, pixels = p->output.h * p->output.w;
    for (int32_t n = 0; n < p->output.n; n++) {
        for (int32_t c = 0; c < channels; c++) {
            quantize(input, pixels, p->exponent, p->zero_point, output + c, channels);
            input += p->plane;
        }
        output += (ptrdiff_t)pixels * channels;
    }
}
