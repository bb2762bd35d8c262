/*
 * Runs the model on the sample that it was exported with, checks the result against what the reference computed, then
 * shows how to go on with input of your own. Copy what you need.
 */
#include "input_data.h"
#include "output_data.h"
#include "platform.h"
#include "tvmgen_default.h"

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>

/* Compares a computed output with the expected bytes and prints the first difference; returns how many differ. */
static size_t count_differences(const char *name, const void *computed, const void *expected, size_t size)
{
    const uint8_t *a = computed;
    const uint8_t *b = expected;
    size_t differences = 0;
    for (size_t i = 0; i < size; i++) {
        if (a[i] != b[i] && differences++ == 0) {
            printf("output %s differs first at byte %zu: computed 0x%02x, expected 0x%02x\n", name, i, a[i], b[i]);
        }
    }
    return differences;
}

/* Runs the model on the sample; returns 0 when every byte of the outputs is as expected. */
static int check_model(void)
{
    struct tvmgen_default_inputs inputs = MODEL_INPUTS;
    struct tvmgen_default_outputs outputs = MODEL_OUTPUTS;

    const int64_t start = platform_time_us();
    const int32_t status = tvmgen_default_run(&inputs, &outputs);
    const int64_t time = platform_time_us() - start;

    size_t differences = 0;
#define COUNT(name, computed, expected) differences += count_differences(name, computed, expected, sizeof(expected))
    CHECK_MODEL_OUTPUTS(COUNT);
#undef COUNT

    const int passed = status == 0 && differences == 0;
    printf("%s: model %s, %" PRId64 " us, arena %d bytes, %zu bytes of heap free\n", passed ? "PASS" : "FAIL",
           TVMGEN_DEFAULT_MODEL_HASH, time, TVMGEN_DEFAULT_WORKSPACE_SIZE, platform_free_heap());
    return passed ? 0 : 1;
}

/* One inference with new input. Called in a loop, this is all that an application does:
 * fill the memory that the inputs point to, run, read the outputs. */
static int32_t infer_again(void)
{
    struct tvmgen_default_inputs inputs = MODEL_INPUTS;
    struct tvmgen_default_outputs outputs = MODEL_OUTPUTS;
    /* Here: read a sensor, a camera, a microphone into the arrays of input_data.h. Their shapes, and the exponents of
     * int8 tensors (an int8 value q stands for q * 2^exponent), are in tvmgen_default.h. */
    return tvmgen_default_run(&inputs, &outputs);
}

#ifdef ESP_PLATFORM
#include "freertos/FreeRTOS.h"
#include "freertos/task.h"

static void inference_task(void *unused)
{
    (void)unused;
    if (check_model() == 0) {
        for (int i = 0; i < 3 && infer_again() == 0; i++) {
            vTaskDelay(1); /* lets other tasks run between two inferences */
        }
    }
    vTaskDelete(NULL);
}

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
    return check_model() != 0 || infer_again() != 0;
}
#endif
