/* What window_energy_esp32s3.S computes on the ESP32-S3, in C. */
#include "convolution/window_energy_esp32s3.h"

#ifndef ESP_DL_ESP32S3

int32_t esp_dl_window_energy_esp32s3(const esp_dl_energy_t *energy)
{
    const int32_t bytes = 16 * energy->vectors;
    int32_t largest = 0, before = 0, two_before = 0;
    for (int32_t tap = 0; tap < energy->taps; tap++) {
        const int8_t *x = energy->input + tap * bytes;
        int32_t own = 0;
        for (int32_t i = 0; i < bytes; i++) {
            const int32_t value = (x[i] >> 1) - energy->half_zero;
            own += value * value;
        }
        const int32_t window = own + before + two_before;
        if (window > largest) {
            largest = window;
        }
        if (energy->is_wide) {
            two_before = before;
            before = own;
        }
    }
    return largest;
}

#else
typedef int esp_dl_window_energy_is_assembly;
#endif
