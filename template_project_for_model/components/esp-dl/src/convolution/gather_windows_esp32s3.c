/* What gather_windows_esp32s3.S does on the ESP32-S3, in C. */
#include "convolution/gather_windows_esp32s3.h"

#ifndef ESP_DL_ESP32S3

#include <string.h>

void esp_dl_gather_windows_esp32s3(const esp_dl_windows_t *windows)
{
    for (int32_t pixel = 0; pixel < windows->pixels; pixel++) {
        int8_t *to = windows->to + pixel * windows->to_step;
        for (int32_t s = 0; s < windows->segment_count; s++) {
            memcpy(to, windows->segments[s] + windows->offset + pixel * windows->step, (size_t)windows->segment_bytes);
            to += windows->segment_bytes;
        }
    }
}

#else
typedef int esp_dl_gather_windows_is_assembly;
#endif
