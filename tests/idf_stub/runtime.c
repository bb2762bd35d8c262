/* What the project calls of ESP-IDF, done by this computer, so that the whole program runs: one task, run at once, and
 * those with memory of their own as threads; one partition, "constants", which is the file that the environment
 * variable STUB_PARTITION names. */
#include "esp_log.h"
#include "freertos/FreeRTOS.h"
#include "freertos/task.h"

#include <sdkconfig.h>
#include <stdlib.h>
#include <string.h>

esp_log_level_t stub_log_level = ESP_LOG_INFO;

void esp_log_level_set(const char *tag, esp_log_level_t level)
{
    (void)tag;
    stub_log_level = level;
}

static int inference_core;

BaseType_t xPortGetCoreID(void)
{
    return inference_core;
}

BaseType_t xTaskCreatePinnedToCore(void (*function)(void *), const char *name, uint32_t stack, void *argument,
                                   UBaseType_t priority, TaskHandle_t *task, BaseType_t core)
{
    (void)task;
    inference_core = core == tskNO_AFFINITY ? 0 : core;
    printf("task %s: stack %u, priority %u, core %d\n", name, (unsigned)stack, priority, core);
    function(argument);
    return pdPASS;
}

#if !CONFIG_FREERTOS_UNICORE
#include "freertos/semphr.h"

#include <pthread.h>
#include <semaphore.h>

typedef struct {
    void (*function)(void *);
    void *argument;
} start_t;

static void *run(void *start)
{
    start_t *what = start;
    what->function(what->argument);
    return NULL;
}

TaskHandle_t xTaskCreateStaticPinnedToCore(void (*function)(void *), const char *name, uint32_t stack, void *argument,
                                           UBaseType_t priority, StackType_t *memory, StaticTask_t *task,
                                           BaseType_t core)
{
    static start_t start;
    static pthread_t thread;
    printf("task %s: stack %u, priority %u, core %d\n", name, (unsigned)stack, priority, core);
    memset(memory, 0, stack);
    start = (start_t){function, argument};
    if (start.function == NULL || pthread_create(&thread, NULL, run, &start) != 0) {
        abort();
    }
    return task;
}

SemaphoreHandle_t xSemaphoreCreateBinaryStatic(StaticSemaphore_t *memory)
{
    (void)memory;
    sem_t *semaphore = malloc(sizeof(sem_t));
    if (semaphore == NULL || sem_init(semaphore, 0, 0) != 0) {
        abort();
    }
    return semaphore;
}

BaseType_t xSemaphoreTake(SemaphoreHandle_t semaphore, TickType_t ticks)
{
    return ticks == portMAX_DELAY && sem_wait(semaphore) == 0;
}

BaseType_t xSemaphoreGive(SemaphoreHandle_t semaphore)
{
    return sem_post(semaphore) == 0;
}
#endif

void vTaskDelete(TaskHandle_t task)
{
    (void)task;
}

void vTaskDelay(TickType_t ticks)
{
    (void)ticks;
}

#if !CONFIG_IDF_TARGET_LINUX
#include "esp_cpu.h"
#include "esp_heap_caps.h"
#include "esp_partition.h"
#include "esp_timer.h"

const char *esp_err_to_name(esp_err_t error)
{
    return error == ESP_OK ? "ESP_OK" : "ESP_FAIL";
}

uint32_t esp_cpu_get_cycle_count(void)
{
    static uint32_t count;
    return count += 7;
}

int64_t esp_timer_get_time(void)
{
    return 0;
}

size_t heap_caps_get_free_size(uint32_t caps)
{
    return caps == MALLOC_CAP_DEFAULT ? 100000 : 0;
}

size_t heap_caps_get_minimum_free_size(uint32_t caps)
{
    return caps == MALLOC_CAP_DEFAULT ? 90000 : 0;
}

UBaseType_t uxTaskGetStackHighWaterMark(TaskHandle_t task)
{
    return task == NULL ? 3000 : 0;
}

static char content[1 << 20] __attribute__((aligned(65536)));

const esp_partition_t *esp_partition_find_first(esp_partition_type_t type, esp_partition_subtype_t subtype,
                                                const char *label)
{
    static esp_partition_t partition;
    const char *name = getenv("STUB_PARTITION");
    FILE *file = name == NULL ? NULL : fopen(name, "rb");
    if (file == NULL || type != ESP_PARTITION_TYPE_DATA || subtype != ESP_PARTITION_SUBTYPE_ANY ||
        strcmp(label, "constants") != 0) {
        return NULL;
    }
    memset(content, 0xff, sizeof content);
    partition.size = ((uint32_t)fread(content, 1, sizeof content, file) + 4095) / 4096 * 4096;
    fclose(file);
    return &partition;
}

esp_err_t esp_partition_mmap(const esp_partition_t *partition, size_t offset, size_t size,
                             esp_partition_mmap_memory_t memory, const void **out_ptr,
                             esp_partition_mmap_handle_t *out_handle)
{
    if (offset + size > partition->size || memory != ESP_PARTITION_MMAP_DATA) {
        return -1;
    }
    *out_ptr = content + offset;
    *out_handle = 1;
    return ESP_OK;
}

void esp_partition_munmap(esp_partition_mmap_handle_t handle)
{
    if (handle != 1) {
        abort();
    }
}
#endif

void app_main(void);

int main(void)
{
    app_main();
    return 0;
}
