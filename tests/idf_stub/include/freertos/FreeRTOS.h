#pragma once
#include <stdint.h>
typedef int BaseType_t;
typedef unsigned UBaseType_t;
typedef uint32_t TickType_t;
typedef uint8_t StackType_t;
typedef struct {
    int unused;
} StaticTask_t, StaticSemaphore_t;
#define pdPASS 1
#define portMAX_DELAY 0xffffffffUL
#define pdMS_TO_TICKS(milliseconds) ((TickType_t)(milliseconds))
BaseType_t xPortGetCoreID(void);
#define tskNO_AFFINITY 0x7FFFFFFF
