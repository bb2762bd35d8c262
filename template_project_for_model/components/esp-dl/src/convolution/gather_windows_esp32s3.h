/* Windows of few bytes in a row, put together: one segment instead of many. */
#ifndef ESP_DL_CONVOLUTION_GATHER_WINDOWS_ESP32S3_H
#define ESP_DL_CONVOLUTION_GATHER_WINDOWS_ESP32S3_H

#include <stdint.h>

/* The assembly knows the place of every field. */
typedef struct {
    const int8_t *const *segments; /* where a row's first window's segments lie */
    int32_t segment_count;
    int32_t segment_bytes; /* 1..24 */
    int32_t offset, step;  /* bytes from there to the first window, from a window to the next */
    int8_t *to;            /* up to 3 bytes more than the windows' are written */
    int32_t to_step;
    int32_t pixels;
} esp_dl_windows_t;

void esp_dl_gather_windows_esp32s3(const esp_dl_windows_t *windows);

#endif
