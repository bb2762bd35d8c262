/* How a trace prints; esp_tvm puts the table of the model's layers before it. Included by default_lib1.c alone.
 *
 * A line: "~tvm " + what it says + " ~" + CRC-32 of what it says. It may stand anywhere in a line of the log.
 */
#ifndef TVMGEN_DEFAULT_TRACE
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* The clock can be given from outside: an expression of an unsigned 32-bit count, and the name of its unit. */
#ifndef TVMGEN_DEFAULT_TRACE_CLOCK
#define TVMGEN_DEFAULT_TRACE_CLOCK() tvmgen_trace_clock()
#if defined(ESP_PLATFORM) && !CONFIG_IDF_TARGET_LINUX
#include "esp_cpu.h"
#define TVMGEN_TRACE_UNIT "cycles"
static uint32_t tvmgen_trace_clock(void)
{
    return (uint32_t)esp_cpu_get_cycle_count();
}
#elif defined(__riscv)
#define TVMGEN_TRACE_UNIT "cycles"
static uint32_t tvmgen_trace_clock(void)
{
    uint32_t count;
    /* rdcycle, written so that an assembler without the extension for it takes it */
    __asm__ volatile(".insn i 0x73, 2, %0, x0, -1024" : "=r"(count));
    return count;
}
#else
#include <time.h>
#define TVMGEN_TRACE_UNIT "us"
static uint32_t tvmgen_trace_clock(void)
{
    struct timespec now;
    timespec_get(&now, TIME_UTC);
    return (uint32_t)((uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u);
}
#endif
#endif

#ifndef TVMGEN_DEFAULT_TRACE_UNIT
#define TVMGEN_DEFAULT_TRACE_UNIT TVMGEN_TRACE_UNIT
#endif

/* Called every now and then: a long trace must starve neither the serial line nor the idle task's watchdog. */
#ifndef TVMGEN_DEFAULT_TRACE_PAUSE
#if defined(ESP_PLATFORM)
#include "freertos/FreeRTOS.h"
#include "freertos/task.h"
#define TVMGEN_DEFAULT_TRACE_PAUSE() vTaskDelay(1)
#else
#define TVMGEN_DEFAULT_TRACE_PAUSE() ((void)0)
#endif
#endif

enum {
    TVMGEN_TRACE_LINE = 400,
    TVMGEN_TRACE_CHUNK = 96,      /* bytes of a tensor in one line */
    TVMGEN_TRACE_PAUSE_EVERY = 32 /* lines */
};

/* run: counts the inferences since the start; part: of a step with several results */
static struct {
    uint32_t run, since;
    int32_t step, part, layers, lines;
} tvmgen_trace_state;

/* CRC-32 as in zlib; start with 0, go on with the last result. */
static uint32_t tvmgen_trace_crc(uint32_t crc, const void *data, size_t size)
{
    static const uint32_t table[16] = {
        0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
        0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c, 0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
    };
    const uint8_t *byte = data;
    crc = ~crc;
    for (size_t i = 0; i < size; i++) {
        crc = (crc >> 4) ^ table[(crc ^ byte[i]) & 15];
        crc = (crc >> 4) ^ table[(crc ^ (uint32_t)(byte[i] >> 4)) & 15];
    }
    return ~crc;
}

static void tvmgen_trace_line(const char *text, int length)
{
    if (length >= TVMGEN_TRACE_LINE) {
        length = TVMGEN_TRACE_LINE - 1;
    }
    printf("~tvm %s ~%08lx\n", text, (unsigned long)tvmgen_trace_crc(0, text, (size_t)length));
    if (++tvmgen_trace_state.lines % TVMGEN_TRACE_PAUSE_EVERY == 0) {
        fflush(stdout);
        TVMGEN_DEFAULT_TRACE_PAUSE();
    }
}

static void tvmgen_trace_begin_line(const char *mode)
{
    char line[TVMGEN_TRACE_LINE];
    /* On a line of its own whatever was printed before. */
    printf("\n");
    tvmgen_trace_line(line, snprintf(line, sizeof line, "begin %.8s %lu %d %s %s", TVMGEN_DEFAULT_MODEL_HASH,
                                     (unsigned long)tvmgen_trace_state.run, TVMGEN_TRACE_STEPS, mode,
                                     TVMGEN_DEFAULT_TRACE_UNIT));
}

static void tvmgen_trace_end(void)
{
    char line[TVMGEN_TRACE_LINE];
    tvmgen_trace_line(line, snprintf(line, sizeof line, "end %.8s %lu %d", TVMGEN_DEFAULT_MODEL_HASH,
                                     (unsigned long)tvmgen_trace_state.run, (int)tvmgen_trace_state.layers));
    fflush(stdout);
}

#if TVMGEN_TRACE_PROFILE
/* The time of every step. While the model runs nothing is printed and no tensor is read: both would change what lies
 * in the caches, and so the times. */
#if defined(ESP_PLATFORM) && !CONFIG_IDF_TARGET_LINUX
#include "esp_heap_caps.h"
#include "freertos/FreeRTOS.h"
#include "freertos/task.h"
#define TVMGEN_PROFILE_MHZ CONFIG_ESP_DEFAULT_CPU_FREQ_MHZ
#define TVMGEN_PROFILE_HEAP() ((long)heap_caps_get_free_size(MALLOC_CAP_DEFAULT))
#define TVMGEN_PROFILE_LEAST_HEAP() ((long)heap_caps_get_minimum_free_size(MALLOC_CAP_DEFAULT))
#define TVMGEN_PROFILE_STACK() ((long)uxTaskGetStackHighWaterMark(NULL))
#else
#define TVMGEN_PROFILE_MHZ 0
#define TVMGEN_PROFILE_HEAP() (-1L)
#define TVMGEN_PROFILE_LEAST_HEAP() (-1L)
#define TVMGEN_PROFILE_STACK() (-1L)
#endif

/* Of the steps that ran, and how often each did. */
static struct {
    uint32_t time, calls;
} tvmgen_profile[TVMGEN_TRACE_STEPS];

static void tvmgen_profile_begin(void)
{
    tvmgen_trace_state.run++;
    tvmgen_trace_state.layers = 0;
    for (int i = 0; i < TVMGEN_TRACE_STEPS; i++) {
        tvmgen_profile[i].time = tvmgen_profile[i].calls = 0;
    }
    tvmgen_trace_state.since = TVMGEN_DEFAULT_TRACE_CLOCK();
}

static void tvmgen_profile_step(int index)
{
    tvmgen_profile[index].time += TVMGEN_DEFAULT_TRACE_CLOCK() - tvmgen_trace_state.since;
    tvmgen_profile[index].calls++;
    tvmgen_trace_state.since = TVMGEN_DEFAULT_TRACE_CLOCK();
}

/* A figure that is not known is a -. */
static const char *tvmgen_profile_figure(char *text, size_t size, long value)
{
    snprintf(text, size, value < 0 ? "-" : "%ld", value);
    return text;
}

static void tvmgen_profile_end(void)
{
    char line[TVMGEN_TRACE_LINE], heap[16], least[16], stack[16];
    tvmgen_profile_figure(heap, sizeof heap, TVMGEN_PROFILE_HEAP());
    tvmgen_profile_figure(least, sizeof least, TVMGEN_PROFILE_LEAST_HEAP());
    tvmgen_profile_figure(stack, sizeof stack, TVMGEN_PROFILE_STACK());
    tvmgen_trace_begin_line("profile");
    for (int i = 0; i < TVMGEN_TRACE_STEPS; i++) {
        if (tvmgen_profile[i].calls > 0) {
            tvmgen_trace_state.layers++;
            tvmgen_trace_line(line, snprintf(line, sizeof line, "time %.8s %lu %d %lu %s", TVMGEN_DEFAULT_MODEL_HASH,
                                             (unsigned long)tvmgen_trace_state.run, i,
                                             (unsigned long)tvmgen_profile[i].time, tvmgen_trace_layers[i]));
        }
    }
    tvmgen_trace_line(line, snprintf(line, sizeof line, "memory %.8s %lu %d %d %s %s %s", TVMGEN_DEFAULT_MODEL_HASH,
                                     (unsigned long)tvmgen_trace_state.run, TVMGEN_PROFILE_MHZ,
                                     TVMGEN_DEFAULT_WORKSPACE_SIZE, heap, least, stack));
    tvmgen_trace_end();
}

#define TVMGEN_DEFAULT_TRACE_BEGIN() tvmgen_profile_begin()
#define TVMGEN_DEFAULT_TRACE_INPUT(index, data, size) ((void)tvmgen_trace_crc, (void)tvmgen_trace_inputs)
#define TVMGEN_DEFAULT_TRACE(index, data, size) tvmgen_profile_step(index)
#define TVMGEN_DEFAULT_TRACE_ROWS(index, data, size) tvmgen_profile_step(index)
#define TVMGEN_DEFAULT_TRACE_ROWS_END(index) ((void)0)
#define TVMGEN_DEFAULT_TRACE_END() tvmgen_profile_end()
#else

static void tvmgen_trace_begin(void)
{
    tvmgen_trace_state.run++;
    tvmgen_trace_state.step = -1;
    tvmgen_trace_state.layers = 0;
    tvmgen_trace_begin_line(TVMGEN_TRACE_TENSORS ? "tensors" : "checksums");
    tvmgen_trace_state.since = TVMGEN_DEFAULT_TRACE_CLOCK();
}

static void tvmgen_trace_input(int index, const void *data, size_t size)
{
    char line[TVMGEN_TRACE_LINE];
    tvmgen_trace_line(line, snprintf(line, sizeof line, "input %.8s %lu %d %lu %08lx %s", TVMGEN_DEFAULT_MODEL_HASH,
                                     (unsigned long)tvmgen_trace_state.run, index, (unsigned long)size,
                                     (unsigned long)tvmgen_trace_crc(0, data, size), tvmgen_trace_inputs[index]));
    tvmgen_trace_state.since = TVMGEN_DEFAULT_TRACE_CLOCK();
}

/* begin: where in the whole tensor the data lie */
static void tvmgen_trace_data(int index, const uint8_t *data, size_t size, size_t begin)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char line[TVMGEN_TRACE_LINE];
    for (size_t start = 0; start < size; start += TVMGEN_TRACE_CHUNK) {
        size_t count = size - start < TVMGEN_TRACE_CHUNK ? size - start : TVMGEN_TRACE_CHUNK;
        int length = snprintf(line, sizeof line, "data %.8s %lu %d %d %lu ", TVMGEN_DEFAULT_MODEL_HASH,
                              (unsigned long)tvmgen_trace_state.run, index, (int)tvmgen_trace_state.part,
                              (unsigned long)(begin + start));
        for (size_t i = start; i < start + count; i += 3) {
            uint32_t left = (uint32_t)(start + count - i);
            uint32_t word = (uint32_t)data[i] << 16;
            word |= left > 1 ? (uint32_t)data[i + 1] << 8 : 0;
            word |= left > 2 ? (uint32_t)data[i + 2] : 0;
            line[length++] = digits[word >> 18];
            line[length++] = digits[(word >> 12) & 63];
            line[length++] = left > 1 ? digits[(word >> 6) & 63] : '=';
            line[length++] = left > 2 ? digits[word & 63] : '=';
        }
        line[length] = '\0';
        tvmgen_trace_line(line, length);
    }
}

static void tvmgen_trace_result(int index, size_t size, uint32_t crc, uint32_t time)
{
    char line[TVMGEN_TRACE_LINE];
    tvmgen_trace_state.step = index;
    tvmgen_trace_state.layers++;
    tvmgen_trace_line(line, snprintf(line, sizeof line, "layer %.8s %lu %d %d %lu %08lx %lu %s",
                                     TVMGEN_DEFAULT_MODEL_HASH, (unsigned long)tvmgen_trace_state.run, index,
                                     (int)tvmgen_trace_state.part, (unsigned long)size, (unsigned long)crc,
                                     (unsigned long)time, tvmgen_trace_layers[index]));
}

static void tvmgen_trace_layer(int index, const void *data, size_t size)
{
    uint32_t time = TVMGEN_DEFAULT_TRACE_CLOCK() - tvmgen_trace_state.since;
    tvmgen_trace_state.part = index == tvmgen_trace_state.step ? tvmgen_trace_state.part + 1 : 0;
    tvmgen_trace_result(index, size, tvmgen_trace_crc(0, data, size), time);
    if (TVMGEN_TRACE_TENSORS) {
        tvmgen_trace_data(index, data, size, 0);
    }
    tvmgen_trace_state.since = TVMGEN_DEFAULT_TRACE_CLOCK();
}

/* The layers that are computed strip by strip: what is known of each until its last row. */
#if TVMGEN_TRACE_STRIPS
static struct {
    uint32_t crc, time, size;
} tvmgen_trace_strips[TVMGEN_TRACE_STEPS];

static void tvmgen_trace_rows(int index, const void *data, size_t size)
{
    tvmgen_trace_strips[index].time += TVMGEN_DEFAULT_TRACE_CLOCK() - tvmgen_trace_state.since;
    tvmgen_trace_strips[index].crc = tvmgen_trace_crc(tvmgen_trace_strips[index].crc, data, size);
    tvmgen_trace_state.part = 0;
    if (TVMGEN_TRACE_TENSORS) {
        tvmgen_trace_data(index, data, size, tvmgen_trace_strips[index].size);
    }
    tvmgen_trace_strips[index].size += (uint32_t)size;
    tvmgen_trace_state.since = TVMGEN_DEFAULT_TRACE_CLOCK();
}

static void tvmgen_trace_rows_end(int index)
{
    tvmgen_trace_state.part = 0;
    tvmgen_trace_result(index, tvmgen_trace_strips[index].size, tvmgen_trace_strips[index].crc,
                        tvmgen_trace_strips[index].time);
    tvmgen_trace_strips[index].crc = tvmgen_trace_strips[index].time = tvmgen_trace_strips[index].size = 0;
    tvmgen_trace_state.since = TVMGEN_DEFAULT_TRACE_CLOCK();
}

#define TVMGEN_DEFAULT_TRACE_ROWS(index, data, size) tvmgen_trace_rows(index, data, size)
#define TVMGEN_DEFAULT_TRACE_ROWS_END(index) tvmgen_trace_rows_end(index)
#endif

#define TVMGEN_DEFAULT_TRACE_BEGIN() tvmgen_trace_begin()
#define TVMGEN_DEFAULT_TRACE_INPUT(index, data, size) tvmgen_trace_input(index, data, size)
#define TVMGEN_DEFAULT_TRACE(index, data, size) tvmgen_trace_layer(index, data, size)
#define TVMGEN_DEFAULT_TRACE_END() tvmgen_trace_end()
#endif /* TVMGEN_TRACE_PROFILE */
#endif /* TVMGEN_DEFAULT_TRACE */
