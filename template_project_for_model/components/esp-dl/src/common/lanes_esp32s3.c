#include "common/lanes_esp32s3.h"

#ifndef ESP_DL_ESP32S3

#if defined(__unix__) || defined(__APPLE__) || defined(_WIN32)
#include <stdio.h>
#include <stdlib.h>
#else
/* A chip's C library may have no streams, and no other chip runs these kernels. */
#define fprintf(...) ((void)most, (void)least, (void)kernel)
#define abort __builtin_trap
#endif

_Noreturn void esp_dl_fail_lane(int32_t most, int32_t least, const char *kernel)
{
    fprintf(
        stderr,
        "%s: sums from %ld to %ld leave the lanes of 20 bits that the export proved to hold them: the ESP32-S3 would "
        "compute other values\n",
        kernel, (long)least, (long)most);
    abort();
}

#else
typedef int esp_dl_lanes_are_held_by_the_exporter;
#endif
