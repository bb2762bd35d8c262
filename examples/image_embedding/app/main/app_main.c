/*
 * Camera frames -> preprocess -> model -> descriptor, for ever: what looks like nothing seen before is remembered, and
 * of everything else it is said which of the remembered things it is.
 *
 * On a board: esp32-camera gives RGB565 frames, high byte first; camera_pins.h, which the export writes for the
 * board, says how the camera is connected.
 * Elsewhere (host/): raw frames of the same kind come from stdin, one after the other.
 */
#include "embedding_model.h"
#include "input_data.h"
#include "platform.h"
#include "preprocess.h"
#include "tvmgen_default.h"

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

_Static_assert(sizeof(input_buffer) == PREPROCESS_INPUT_SIZE, "preprocess.c was made for another model");

/* How alike pictures of one thing are at least. Another network needs another number. */
#define SAME (SIMILARITY_ONE * 75 / 100)
#define MOST_THINGS 16

static int8_t things[MOST_THINGS][EMBEDDING_SIZE];
static int32_t thing_count;

/* One frame of RGB565, high byte first: prints which thing it shows. Returns 0, or what the model returned. */
static int32_t recognize(const uint8_t *frame)
{
    static embedding_results_t results;
    struct tvmgen_default_inputs inputs = MODEL_INPUT_BUFFERS;
    struct tvmgen_default_outputs outputs = EMBEDDING_OUTPUTS(results);

    preprocess_rgb565_be(frame, input_buffer);
    const int32_t status = tvmgen_default_run(&inputs, &outputs);
    if (status != 0) {
        return status;
    }
    int32_t best = -1, likeness = -SIMILARITY_ONE;
    for (int32_t i = 0; i < thing_count; i++) {
        const int32_t cosine = similarity_cosine(EMBEDDING(results), things[i], EMBEDDING_SIZE);
        if (best < 0 || cosine > likeness) {
            best = i;
            likeness = cosine;
        }
    }
    if (best >= 0 && (likeness >= SAME || thing_count == MOST_THINGS)) {
        printf("thing %" PRId32 ", cosine %" PRId32 " of %d\n", best, likeness, SIMILARITY_ONE);
    } else {
        memcpy(things[thing_count], EMBEDDING(results), EMBEDDING_SIZE);
        printf("new thing %" PRId32 "\n", thing_count++);
    }
    return 0;
}

#if defined(ESP_PLATFORM) && !CONFIG_IDF_TARGET_LINUX
#include "camera_pins.h"
#include "esp_camera.h"

/* The frame size of preprocess.h as esp32-camera names it. */
#if PREPROCESS_FRAME_WIDTH == 160 && PREPROCESS_FRAME_HEIGHT == 120
#define FRAME_SIZE FRAMESIZE_QQVGA
#elif PREPROCESS_FRAME_WIDTH == 320 && PREPROCESS_FRAME_HEIGHT == 240
#define FRAME_SIZE FRAMESIZE_QVGA
#else
#error "name esp32-camera's frame size for PREPROCESS_FRAME_WIDTH x PREPROCESS_FRAME_HEIGHT"
#endif

static void camera_task(void *unused)
{
    (void)unused;
    const camera_config_t config = {
        CAMERA_PINS,
        .xclk_freq_hz = 20000000,
        .ledc_timer = LEDC_TIMER_0,
        .ledc_channel = LEDC_CHANNEL_0,
        .pixel_format = PIXFORMAT_RGB565,
        .frame_size = FRAME_SIZE,
        .fb_count = 1,
        .fb_location = CAMERA_FB_IN_DRAM,
        .grab_mode = CAMERA_GRAB_WHEN_EMPTY,
    };
    if (esp_camera_init(&config) != ESP_OK) {
        printf("FAIL: no camera; see camera_pins.h\n");
        vTaskDelete(NULL);
        return;
    }
    for (;;) {
        camera_fb_t *frame = esp_camera_fb_get();
        if (frame == NULL) {
            printf("no frame\n");
            platform_yield();
            continue;
        }
        if (frame->len != PREPROCESS_FRAME_RGB565_BE_SIZE) {
            printf("FAIL: a frame of %zu bytes, expected %d\n", frame->len, PREPROCESS_FRAME_RGB565_BE_SIZE);
        } else if (recognize(frame->buf) != 0) {
            printf("FAIL: the model refused its input\n");
        }
        esp_camera_fb_return(frame);
        platform_yield();
    }
}

void app_main(void)
{
    const BaseType_t core = CONFIG_INFERENCE_TASK_CORE < 0 ? tskNO_AFFINITY : CONFIG_INFERENCE_TASK_CORE;
    if (xTaskCreatePinnedToCore(camera_task, "camera", CONFIG_INFERENCE_TASK_STACK_SIZE, NULL,
                                CONFIG_INFERENCE_TASK_PRIORITY, NULL, core) != pdPASS) {
        printf("FAIL: no memory for the camera task\n");
    }
}
#else
static int recognize_stdin(void)
{
    static uint8_t frame[PREPROCESS_FRAME_RGB565_BE_SIZE];
    while (fread(frame, 1, sizeof(frame), stdin) == sizeof(frame)) {
        if (recognize(frame) != 0) {
            return 1;
        }
    }
    return 0;
}

#ifdef ESP_PLATFORM
void app_main(void)
{
    if (recognize_stdin() != 0) {
        printf("FAIL: the model refused its input\n");
    }
}
#else
int main(void)
{
    return recognize_stdin();
}
#endif
#endif
