/*
 * The task on the other core. The task and its caller communicate through atomic variables: both poll for a while for a
 * change by the other, and only then sleep. Between two layers polling is usually enough; waking a task of another core
 * takes thousands of instructions.
 */
#include "esp_dl_cores.h"

#include <stdbool.h>
#include <stddef.h>

#ifdef ESP_PLATFORM
#include "sdkconfig.h"
#if !CONFIG_FREERTOS_UNICORE && !CONFIG_IDF_TARGET_LINUX
#define TASKS
#endif
#elif defined(__unix__) || defined(__APPLE__)
#define THREADS
#endif

#if defined(TASKS) || defined(THREADS)
#include <stdatomic.h>

/* --- Sleeping and waking: each side sleeps on its own object. A wake-up before the sleep is not lost. --- */

typedef enum { CALLER, WORKER } side_t;

static void worker_loop(void);

#ifdef TASKS
#include "freertos/FreeRTOS.h"
#include "freertos/semphr.h"
#include "freertos/task.h"

static StaticTask_t task_memory;
static StackType_t stack[CONFIG_ESP_DL_CORES_STACK_SIZE / sizeof(StackType_t)];
static StaticSemaphore_t semaphore_memory[2];
static SemaphoreHandle_t semaphores[2];

static void sleep_as(side_t side)
{
    xSemaphoreTake(semaphores[side], portMAX_DELAY);
}

static void wake(side_t side)
{
    xSemaphoreGive(semaphores[side]);
}

static void task(void *unused)
{
    (void)unused;
    worker_loop();
}

static void start_worker(void)
{
    semaphores[CALLER] = xSemaphoreCreateBinaryStatic(&semaphore_memory[CALLER]);
    semaphores[WORKER] = xSemaphoreCreateBinaryStatic(&semaphore_memory[WORKER]);
    const BaseType_t core = CONFIG_ESP_DL_CORES_CORE < 0 ? 1 - xPortGetCoreID() : CONFIG_ESP_DL_CORES_CORE;
    xTaskCreateStaticPinnedToCore(task, "esp_dl_cores", sizeof(stack) / sizeof(stack[0]), NULL,
                                  CONFIG_ESP_DL_CORES_PRIORITY, stack, &task_memory, core);
}
#else
#include <pthread.h>
#include <stdlib.h>

typedef struct {
    pthread_mutex_t mutex;
    pthread_cond_t condition;
    bool woken;
} bed_t;

static bed_t beds[2] = {{PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false},
                        {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false}};

static void sleep_as(side_t side)
{
    bed_t *bed = &beds[side];
    pthread_mutex_lock(&bed->mutex);
    while (!bed->woken) {
        pthread_cond_wait(&bed->condition, &bed->mutex);
    }
    bed->woken = false;
    pthread_mutex_unlock(&bed->mutex);
}

static void wake(side_t side)
{
    bed_t *bed = &beds[side];
    pthread_mutex_lock(&bed->mutex);
    bed->woken = true;
    pthread_cond_signal(&bed->condition);
    pthread_mutex_unlock(&bed->mutex);
}

static void *thread(void *unused)
{
    worker_loop();
    return unused;
}

static void start_worker(void)
{
    pthread_t id;
    if (pthread_create(&id, NULL, thread, NULL) != 0) {
        abort();
    }
    pthread_detach(id);
}
#endif

/* --- Handing over --- */

/* How often to poll before sleeping: less than 100 microseconds on these chips. */
#ifndef LOOKS
#define LOOKS 2000
#endif

typedef enum { NOTHING, BEGUN, DONE } state_t;

/* The part that the other core computes; it belongs to the task that set it, until that sets it to NULL again. */
static _Atomic(const esp_dl_part_t *) given;
static atomic_int state = NOTHING;
static atomic_bool asleep[2];
static bool started; /* by whoever owns `given` */

static void wait_for(state_t wanted, side_t side)
{
    for (int looks = LOOKS; atomic_load(&state) != (int)wanted; looks -= looks > 0) {
        if (looks == 0) {
            /* Announce the sleep, then check again: the other side changes `state`, then checks who sleeps. */
            atomic_store(&asleep[side], true);
            if (atomic_load(&state) != (int)wanted) {
                sleep_as(side);
            }
            atomic_store(&asleep[side], false);
        }
    }
}

static void tell(state_t now, side_t side)
{
    atomic_store(&state, (int)now);
    if (atomic_load(&asleep[side])) {
        wake(side);
    }
}

static void worker_loop(void)
{
    for (;;) {
        wait_for(BEGUN, WORKER);
        const esp_dl_part_t *part = atomic_load(&given);
        part->run(part);
        tell(DONE, CALLER);
    }
}

static bool take(const esp_dl_part_t *part)
{
    const esp_dl_part_t *none = NULL;
    if (!atomic_compare_exchange_strong(&given, &none, part)) {
        return false;
    }
    if (!started) {
        started = true;
        start_worker();
    }
    return true;
}

void esp_dl_start_cores(void)
{
    static const esp_dl_part_t nothing;
    if (take(&nothing)) {
        atomic_store(&given, NULL);
    }
}

void esp_dl_begin_part(const esp_dl_part_t *part)
{
    if (take(part)) {
        tell(BEGUN, WORKER);
    } else {
        part->run(part);
    }
}

void esp_dl_finish_part(const esp_dl_part_t *part)
{
    if (atomic_load(&given) == part) {
        wait_for(DONE, CALLER);
        atomic_store(&state, NOTHING);
        atomic_store(&given, NULL);
    }
}

#else

void esp_dl_start_cores(void)
{
}

void esp_dl_begin_part(const esp_dl_part_t *part)
{
    part->run(part);
}

void esp_dl_finish_part(const esp_dl_part_t *part)
{
    (void)part;
}

#endif
