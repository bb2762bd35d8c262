#pragma once
typedef void *TaskHandle_t;
BaseType_t xTaskCreatePinnedToCore(void (*function)(void *), const char *name, uint32_t stack, void *argument,
                                   UBaseType_t priority, TaskHandle_t *task, BaseType_t core);
TaskHandle_t xTaskCreateStaticPinnedToCore(void (*function)(void *), const char *name, uint32_t stack, void *argument,
                                           UBaseType_t priority, StackType_t *memory, StaticTask_t *task,
                                           BaseType_t core);
void vTaskDelete(TaskHandle_t task);
void vTaskDelay(TickType_t ticks);
UBaseType_t uxTaskGetStackHighWaterMark(TaskHandle_t task);
