/*
 * The frames of a camera, RGB565 with the high byte first, for ever.
 *
 * On a board in a task of its own: esp32-camera gives the frames; camera_pins.h, which the export writes for the board,
 * says how the camera is connected.
 * Elsewhere (host/): raw frames of the same kind come from stdin, one after the other, until it ends.
 */
#ifndef CAMERA_LOOP_H
#define CAMERA_LOOP_H

#include "platform.h"
#include "preprocess.h"
#include "tvm_model.h"

#include <stdint.h>
#include <stdio.h>

/* Called once before the first frame, in the task that runs the model (tvm_model.h); returns 0, or else what is wrong
 * is in the log. An application with further models names a function that prepares them all. */
#ifndef CAMERA_LOOP_PREPARE
#define CAMERA_LOOP_PREPARE tvm_model_init
#endif

/* Takes PREPROCESS_FRAME_RGB565_BE_SIZE bytes. Returns 0, or what the model returned. */
typedef int32_t (*camera_take_t)(const uint8_t *frame);

#if defined(ESP_PLATFORM) && !CONFIG_IDF_TARGET_LINUX
#include "camera_pins.h"
#include "esp_camera.h"

/* The frame size of preprocess.h as esp32-camera names it. */
#if PREPROCESS_FRAME_WIDTH == 160 && PREPROCESS_FRAME_HEIGHT == 120
#define CAMERA_FRAME_SIZE FRAMESIZE_QQVGA
#elif PREPROCESS_FRAME_WIDTH == 320 && PREPROCESS_FRAME_HEIGHT == 240
#define CAMERA_FRAME_SIZE FRAMESIZE_QVGA
#else
#error "name esp32-camera's frame size for PREPROCESS_FRAME_WIDTH x PREPROCESS_FRAME_HEIGHT"
#endif

/* take: a camera_take_t * */
static void camera_task(void *take)
{
    const camera_config_t config = {
        CAMERA_PINS,
        .xclk_freq_hz = 20000000,
        .ledc_timer = LEDC_TIMER_0,
        .ledc_channel = LEDC_CHANNEL_0,
        .pixel_format = PIXFORMAT_RGB565,
        .frame_size = CAMERA_FRAME_SIZE,
        .fb_count = 1,
        .fb_location = CAMERA_FB_IN_DRAM,
        .grab_mode = CAMERA_GRAB_WHEN_EMPTY,
    };
    if (CAMERA_LOOP_PREPARE() != 0) {
        vTaskDelete(NULL);
        return;
    }
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
        } else if ((*(camera_take_t *)take)(frame->buf) != 0) {
            printf("FAIL: the model refused its input\n");
        }
        esp_camera_fb_return(frame);
        platform_yield();
    }
}

/* Starts the task that calls `function` with each frame. Returns 0, or 1 where there is no memory for it. */
static int camera_loop(camera_take_t function)
{
    static camera_take_t take;
    take = function;
    const BaseType_t core = CONFIG_INFERENCE_TASK_CORE < 0 ? tskNO_AFFINITY : CONFIG_INFERENCE_TASK_CORE;
    if (xTaskCreatePinnedToCore(camera_task, "camera", CONFIG_INFERENCE_TASK_STACK_SIZE, &take,
                                CONFIG_INFERENCE_TASK_PRIORITY, NULL, core) != pdPASS) {
        printf("FAIL: no memory for the camera task\n");
        return 1;
    }
    return 0;
}
#else
/* Calls `function` with each frame of stdin. Returns 0, or 1 as soon as the function does not, or without a model. */
static int camera_loop(camera_take_t function)
{
    static uint8_t frame[PREPROCESS_FRAME_RGB565_BE_SIZE];
    if (CAMERA_LOOP_PREPARE() != 0) {
        return 1;
    }
    while (fread(frame, 1, sizeof(frame), stdin) == sizeof(frame)) {
        if (function(frame) != 0) {
            printf("FAIL: the model refused its input\n");
            return 1;
        }
    }
    return 0;
}
#endif

#endif
