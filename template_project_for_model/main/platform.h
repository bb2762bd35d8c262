/* The differences between a chip, ESP-IDF's linux target and a plain host program: the clock, the heap, tasks. */
#ifndef PLATFORM_H
#define PLATFORM_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#ifdef ESP_PLATFORM
#include "freertos/FreeRTOS.h"
#include "freertos/task.h"
#include "sdkconfig.h"

/* Lets other tasks run. */
static inline void platform_yield(void)
{
    vTaskDelay(1);
}

/* Ends the calling task. On the linux target this ends the program with the exit code `status`. */
static inline void platform_end(int status)
{
#if CONFIG_IDF_TARGET_LINUX
    fflush(stdout);
    exit(status);
#else
    (void)status;
    vTaskDelete(NULL);
#endif
}
#else
static inline void platform_yield(void)
{
}
#endif

#if defined(ESP_PLATFORM) && !CONFIG_IDF_TARGET_LINUX
#include "esp_heap_caps.h"
#include "esp_timer.h"

/* Microseconds since start. */
static inline int64_t platform_time_us(void)
{
    return esp_timer_get_time();
}

/* Free bytes of heap; 0 where this is not known. */
static inline size_t platform_free_heap(void)
{
    return heap_caps_get_free_size(MALLOC_CAP_DEFAULT);
}
#else
#include <time.h>

static inline int64_t platform_time_us(void)
{
    return (int64_t)clock() * 1000000 / CLOCKS_PER_SEC;
}

static inline size_t platform_free_heap(void)
{
    return 0;
}
#endif

#endif
