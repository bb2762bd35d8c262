/* Windows of few bytes in a row, put together: one segment instead of many. */
#ifndef ESP_DL_CONVOLUTION_GATHER_WINDOWS_ESP32S3_H
#define ESP_DL_CONVOLUTION_GATHER_WINDOWS_ESP32S3_H

/* Where the assembly finds the fields of esp_dl_windows_t, in bytes. */
#define WINDOWS_AT_SEGMENTS 0
#define WINDOWS_AT_SEGMENT_COUNT 4
#define WINDOWS_AT_SEGMENT_BYTES 8
#define WINDOWS_AT_OFFSET 12
#define WINDOWS_AT_STEP 16
#define WINDOWS_AT_TO 20
#define WINDOWS_AT_TO_STEP 24
#define WINDOWS_AT_PIXELS 28

#ifndef __ASSEMBLER__

#include "common/fields.h"

#include <stdint.h>

/* The assembly reads fields at the places above. */
typedef struct {
    const int8_t *const *segments; /* where a row's first window's segments lie */
    int32_t segment_count;
    int32_t segment_bytes; /* 1..24 */
    int32_t offset, step;  /* bytes from there to the first window, from a window to the next */
    int8_t *to;            /* up to 3 bytes more than the windows' are written */
    int32_t to_step;
    int32_t pixels;
} esp_dl_windows_t;

ESP_DL_FIELD(esp_dl_windows_t, segments, WINDOWS_AT_SEGMENTS);
ESP_DL_FIELD(esp_dl_windows_t, segment_count, WINDOWS_AT_SEGMENT_COUNT);
ESP_DL_FIELD(esp_dl_windows_t, segment_bytes, WINDOWS_AT_SEGMENT_BYTES);
ESP_DL_FIELD(esp_dl_windows_t, offset, WINDOWS_AT_OFFSET);
ESP_DL_FIELD(esp_dl_windows_t, step, WINDOWS_AT_STEP);
ESP_DL_FIELD(esp_dl_windows_t, to, WINDOWS_AT_TO);
ESP_DL_FIELD(esp_dl_windows_t, to_step, WINDOWS_AT_TO_STEP);
ESP_DL_FIELD(esp_dl_windows_t, pixels, WINDOWS_AT_PIXELS);

void esp_dl_gather_windows_esp32s3(const esp_dl_windows_t *windows);

#endif /* __ASSEMBLER__ */

#endif
