/* Softmax from int8 to int8 by the floating-point unit of the ESP32-S3; elsewhere by the plain kernel. */
#include "esp_dl_esp32s3.h"
#include "softmax/quotient.h"

#include <string.h>

#ifdef ESP_DL_ESP32S3

int32_t esp_dl_softmax_largest_esp32s3(const int8_t *x, int32_t count);
uint32_t esp_dl_softmax_sum_esp32s3(const int8_t *x, int32_t count, const float *powers);
int32_t esp_dl_softmax_values_esp32s3(const int8_t *x, int32_t count, const float *powers, const float *bounds,
                                      int8_t *y);

void esp_dl_softmax_s8_esp32s3(const int8_t *input, const esp_dl_softmax_t *p, int8_t *output)
{
    const int32_t columns = p->columns;
    const uint32_t bits = (uint32_t)(127 - p->exponent) << 23;
    float scale;
    memcpy(&scale, &bits, sizeof scale);
    for (int32_t row = 0; row < p->rows; row++, input += columns, output += columns) {
        /* A value x has the power powers[-x]. */
        const float *const powers = p->table + esp_dl_softmax_largest_esp32s3(input, columns);
        const uint32_t sum_bits = esp_dl_softmax_sum_esp32s3(input, columns, powers);
        float sum;
        memcpy(&sum, &sum_bits, sizeof sum);
        /* The quotient lies between power * bounds: each has an error of less than 2^-21 of itself, and is moved by
         * 2^-20. Where that leaves its rounding open, it is divided. */
        const float share = 1.0f / sum * scale;
        const float bounds[2] = {share * (1.0f - 0x1p-20f), share * (1.0f + 0x1p-20f)};
        for (int32_t done = 0; done < columns; done++) {
            done += esp_dl_softmax_values_esp32s3(input + done, columns - done, powers, bounds, output + done);
            if (done < columns) {
                output[done] = esp_dl_quotient(*(powers - input[done]), sum, p->exponent);
            }
        }
    }
}

#else

void esp_dl_softmax_s8_esp32s3(const int8_t *input, const esp_dl_softmax_t *p, int8_t *output)
{
    esp_dl_softmax_s8(input, p, output);
}

#endif
