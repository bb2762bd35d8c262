/* Runs the model on the sample it was exported with and checks the result. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "esp_heap_caps.h"
#include "esp_timer.h"
#include "freertos/FreeRTOS.h"
#include "freertos/task.h"
#include "input_data.h"
#include "output_data.h"
#include "tvmgen_default.h"

/* Compares a computed output with the reference's bytes; prints the first difference. */
static int check(const char *name, const void *computed, const void *expected, size_t size)
{
    const uint8_t *a = computed;
    const uint8_t *b = expected;
    for (size_t i = 0; i < size; i++) {
        if (a[i] != b[i]) {
            printf("%s differs first at byte %zu: computed 0x%02x, expected 0x%02x\n", name, i, a[i], b[i]);
            return 1;
        }
    }
    return 0;
}

static void inference_task(void *unused)
{
    (void)unused;
    struct tvmgen_default_inputs inputs = MODEL_INPUTS;
    struct tvmgen_default_outputs outputs = MODEL_OUTPUTS;

    const int64_t start = esp_timer_get_time();
    const int32_t status = tvmgen_default_run(&inputs, &outputs);
    const int64_t end = esp_timer_get_time();

    int differences = 0;
#define CHECK(name, computed, expected) differences += check(name, computed, expected, sizeof(expected))
    CHECK_MODEL_OUTPUTS(CHECK);
    printf("%s: model " TVMGEN_DEFAULT_MODEL_HASH ", %" PRId64 " us, %zu bytes of heap free\n",
           status == 0 && differences == 0 ? "PASS" : "FAIL", end - start,
           heap_caps_get_free_size(MALLOC_CAP_DEFAULT));

    /* For new input: write it to the memory that inputs points to, call tvmgen_default_run again, read the outputs. */
    vTaskDelete(NULL);
}

void app_main(void)
{
    xTaskCreate(inference_task, "inference", 8 * 1024, NULL, 5, NULL);
}
