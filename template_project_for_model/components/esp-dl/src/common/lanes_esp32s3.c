#include "common/lanes_esp32s3.h"

#ifndef ESP_DL_ESP32S3

#include <stdio.h>
#include <stdlib.h>

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
