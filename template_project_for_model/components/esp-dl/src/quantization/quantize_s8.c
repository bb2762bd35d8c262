#include "esp_dl.h"
#include "quantization/steps.h"

void esp_dl_quantize_s8(const float *input, int32_t count, int32_t exponent, int32_t zero_point, int8_t *output)
{
    const esp_dl_steps_t steps = esp_dl_steps(exponent, zero_point);
    for (int32_t i = 0; i < count; i++) {
        output[i] = (int8_t)esp_dl_quantize_with(input[i], &steps);
    }
}
