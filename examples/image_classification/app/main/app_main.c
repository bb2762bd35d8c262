/*
 * Camera frames -> preprocess -> model -> the most likely class, for ever.
 *
 * camera_loop.h gives the frames: on a board those of the camera, elsewhere (host/) those of stdin.
 */
#include "camera_loop.h"
#include "input_data.h"
#include "labels.h"
#include "platform.h"
#include "preprocess.h"
#include "tvmgen_default.h"

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>

#define CLASSES TVMGEN_DEFAULT_OUTPUT_PROBABILITIES_ELEMENTS

_Static_assert(sizeof(input_buffer) == PREPROCESS_INPUT_SIZE, "preprocess.c was made for another model");
_Static_assert(CLASSES == LABELS_COUNT, "as many labels as classes");

/* One frame of RGB565, high byte first, to its class; prints it. Returns 0, or what the model returned. */
static int32_t classify(const uint8_t *frame)
{
    static float probabilities[CLASSES];
    struct tvmgen_default_inputs inputs = MODEL_INPUT_BUFFERS;
    struct tvmgen_default_outputs outputs = {.probabilities = probabilities};

    const int64_t start = platform_time_us();
    preprocess_rgb565_be(frame, input_buffer);
    const int64_t prepared = platform_time_us();
    const int32_t status = tvmgen_default_run(&inputs, &outputs);
    if (status != 0) {
        return status;
    }
    const int64_t end = platform_time_us();

    int best = 0;
    for (int i = 1; i < CLASSES; i++) {
        if (probabilities[i] > probabilities[best]) {
            best = i;
        }
    }
    printf("%s %d %% (preprocess %" PRId64 " us, model %" PRId64 " us)\n", labels[best],
           (int)(probabilities[best] * 100), prepared - start, end - prepared);
    return 0;
}

#ifdef ESP_PLATFORM
void app_main(void)
{
    camera_loop(classify);
}
#else
int main(void)
{
    return camera_loop(classify);
}
#endif
