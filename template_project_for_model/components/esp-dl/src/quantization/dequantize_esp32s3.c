/* Int8 and int16 to float on the ESP32-S3; elsewhere in C, which gives the same bytes. */
#include "esp_dl_esp32s3.h"

void esp_dl_dequantize_s8_esp32s3(const int8_t *input, int32_t count, int32_t exponent, float *output)
{
#ifdef ESP_DL_ESP32S3
    void esp_dl_dequantize_values_esp32s3(const int8_t *x, int32_t count, uint32_t scale, float *y);
    esp_dl_dequantize_values_esp32s3(input, count, (uint32_t)(127 + exponent) << 23, output);
#else
    esp_dl_dequantize_s8(input, count, exponent, output);
#endif
}

void esp_dl_dequantize_s16_esp32s3(const int16_t *input, int32_t count, int32_t exponent, float *output)
{
#ifdef ESP_DL_ESP32S3
    void esp_dl_dequantize_words_esp32s3(const int16_t *x, int32_t count, uint32_t scale, float *y);
    esp_dl_dequantize_words_esp32s3(input, count, (uint32_t)(127 + exponent) << 23, output);
#else
    esp_dl_dequantize_s16(input, count, exponent, output);
#endif
}
