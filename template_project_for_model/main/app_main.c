/*
 * Runs the model on the sample that it was exported with, compares the result with the reference, then shows how to run
 * it on your own input. Copy what you need.
 */
#include "input_data.h"
#include "output_data.h"
#include "platform.h"
#include "tvm_model.h"
#include "tvmgen_default.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

static int32_t run_model(struct tvmgen_default_inputs *inputs, struct tvmgen_default_outputs *outputs)
{
#ifdef TVMGEN_DEFAULT_CALLERS_WORKSPACE
    /* The application provides the arena: it can use this memory for other purposes between two runs. */
    static uint8_t workspace[TVMGEN_DEFAULT_WORKSPACE_SIZE + 1] __attribute__((aligned(16)));
    return run_model_in(workspace, inputs, outputs);
#else
    return tvmgen_default_run(inputs, outputs);
#endif
}

/* Compares a computed output with the expected bytes and prints the first difference; returns the number of differing
 * bytes. */
static size_t count_differences(const char *name, const void *computed, const void *expected, size_t size)
{
    const uint8_t *a = computed;
    const uint8_t *b = expected;
    size_t differences = 0;
    for (size_t i = 0; i < size; i++) {
        if (a[i] != b[i] && differences++ == 0) {
            printf("output %s differs first at byte %u: computed 0x%02x, expected 0x%02x\n", name, (unsigned)i, a[i],
                   b[i]);
        }
    }
    return differences;
}

/* Runs the model on the sample; returns 0 if every byte of the outputs is as expected. */
static int check_model(void)
{
    struct tvmgen_default_inputs inputs = MODEL_INPUTS;
    struct tvmgen_default_outputs outputs = MODEL_OUTPUTS;

#ifdef TVMGEN_DEFAULT_STATES
    /* The model remembers what it was given before; what is expected is of its first call. */
    tvmgen_default_reset();
#endif
    const int64_t start = platform_time_us();
    const int32_t status = run_model(&inputs, &outputs);
    const int64_t time = platform_time_us() - start;

    size_t differences = 0;
#define COUNT(name, computed, expected) differences += count_differences(name, computed, expected, sizeof(expected))
    CHECK_MODEL_OUTPUTS(COUNT);
#undef COUNT

    const int passed = status == 0 && differences == 0;
    /* No 64-bit formats: a C library with "nano" formatting lacks them. */
    printf("%s: model %s, %ld us, arena %d bytes, %u bytes of heap free\n", passed ? "PASS" : "FAIL",
           TVMGEN_DEFAULT_MODEL_HASH, (long)time, TVMGEN_DEFAULT_WORKSPACE_SIZE, (unsigned)platform_free_heap());
    return passed ? 0 : 1;
}

/* Inferences with new input: fill the memory that the inputs point to, run, read the outputs. This is all that an
 * application has to do. Types, shapes, the order of an image's axes, and what a value is worth (an int8 value q means
 * q * 2^exponent, or (q - zero point) * 2^exponent where an input has one), are in tvmgen_default.h. A model with
 * states goes on from the call before; tvmgen_default_reset() begins anew. Returns 0, or the return value of the model
 * if it failed. */
static int32_t infer_again(int times)
{
    struct tvmgen_default_inputs inputs = MODEL_INPUT_BUFFERS;
    struct tvmgen_default_outputs outputs = MODEL_OUTPUTS;
    for (int i = 0; i < times; i++) {
        /* Replace this by code that reads your sensor, camera or microphone into the buffers. */
#define FILL(buffer, sample) memcpy(buffer, sample, sizeof(sample))
        FILL_MODEL_INPUTS(FILL);
#undef FILL
        const int32_t status = run_model(&inputs, &outputs);
        if (status != 0) {
            return status;
        }
        platform_yield();
    }
    return 0;
}

/* Returns 0 on success. */
static int run_example(void)
{
    if (tvm_model_init() != 0) {
        printf("FAIL: the model's weights are not there\n");
        return 1;
    }
    if (check_model() != 0) {
        return 1;
    }
    if (infer_again(3) != 0) {
        printf("FAIL: the model refused new input\n");
        return 1;
    }
    return 0;
}

#ifdef ESP_PLATFORM
static void inference_task(void *unused)
{
    (void)unused;
    platform_end(run_example());
}

/* The model runs in its own task, whose stack, priority and core are set in menuconfig, "Inference task". */
void app_main(void)
{
    const BaseType_t core = CONFIG_INFERENCE_TASK_CORE < 0 ? tskNO_AFFINITY : CONFIG_INFERENCE_TASK_CORE;
    if (xTaskCreatePinnedToCore(inference_task, "inference", CONFIG_INFERENCE_TASK_STACK_SIZE, NULL,
                                CONFIG_INFERENCE_TASK_PRIORITY, NULL, core) != pdPASS) {
        printf("FAIL: no memory for the inference task\n");
    }
}
#else
int main(void)
{
    return run_example();
}
#endif
