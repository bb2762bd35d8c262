/*
 * Camera frames -> detector -> a second detector in the square around each of its boxes, for ever: a line for each
 * thing that both find, with its landmarks, then one for the frame.
 *
 * The second model is in the components tvm_model_second and frontend_second: make component MODEL_NAME=second. Its
 * input is called `input`, as in the face detector of ESP-DL; its YAML has the same camera, with parts: true.
 */
#include <stdint.h>

/* camera_loop.h prepares the first model alone. */
static int32_t prepare_both(void);
#define CAMERA_LOOP_PREPARE prepare_both
#include "camera_loop.h"
#include "detection_model.h"
#include "input_data.h"
#include "platform.h"
#include "preprocess.h"
#include "second_detection_model.h"
#include "second_labels.h"
#include "second_preprocess.h"
#include "tvm_model_second.h"
#include "tvmgen_default.h"
#include "tvmgen_second.h"

#include <inttypes.h>
#include <stdio.h>

_Static_assert(sizeof(input_buffer) == PREPROCESS_INPUT_SIZE, "preprocess.c was made for another model");
_Static_assert(SECOND_PREPROCESS_FRAME_WIDTH == PREPROCESS_FRAME_WIDTH &&
                   SECOND_PREPROCESS_FRAME_HEIGHT == PREPROCESS_FRAME_HEIGHT,
               "both YAMLs describe the same camera");

/* Of both models, one after the other. */
static detection_results_t first_results;
static second_detection_results_t second_results;
static int8_t second_input[SECOND_PREPROCESS_INPUT_SIZE] __attribute__((aligned(16)));

/* Prints what the second model found in `part` of the frame; its landmarks with a dash for those that are more likely
 * hidden than seen. */
static void print_found(const detection_frame_t *part, const detection_t *box)
{
    const detection_rectangle_t at = detection_in_frame(part, box);
    printf("  %s %d %% from %" PRId32 ",%" PRId32 " to %" PRId32 ",%" PRId32, second_labels[box->label],
           box->score * 100 / DETECTION_SCORE_ONE, at.left, at.top, at.right, at.bottom);
#if SECOND_DETECTION_LANDMARKS > 0
    static detection_point_t points[SECOND_DETECTION_LANDMARKS];
    detection_landmarks(&second_detection_model, &second_results, box, points);
    printf(", landmarks");
    for (int i = 0; i < SECOND_DETECTION_LANDMARKS; i++) {
        const detection_point_t point = detection_point_in_frame(part, &points[i]);
        if (point.visible >= DETECTION_SCORE_ONE / 2) {
            printf(" %" PRId32 ",%" PRId32, point.x, point.y);
        } else {
            printf(" -");
        }
    }
#endif
    printf("\n");
}

/* The best box of the second model in `square` of the frame: 1, or 0 if there is none, or what the model returned if
 * that is below 0. */
static int32_t look_again(const uint8_t *frame, const detection_rectangle_t *square, detection_t *best)
{
    static detection_t boxes[SECOND_DETECTION_CANDIDATES];
    struct tvmgen_second_inputs inputs = {.input = second_input};
    struct tvmgen_second_outputs outputs = SECOND_DETECTION_OUTPUTS(second_results);
    const second_preprocess_part_t part = {square->left, square->top, square->right - square->left,
                                           square->bottom - square->top};
    if (!second_preprocess_rgb565_be_part(frame, &part, second_input)) {
        return 0;
    }
    const int32_t status = tvmgen_second_run(&inputs, &outputs);
    if (status != 0) {
        return status < 0 ? status : -status;
    }
    const int32_t count = detection_find(&second_detection_model, &second_results, boxes);
    *best = boxes[0];
    return count > 0;
}

/* One frame of RGB565, high byte first; prints what is found, in pixels of the frame. Returns 0, or what a model
 * returned. */
static int32_t detect(const uint8_t *frame)
{
    static detection_t boxes[DETECTION_CANDIDATES];
    static detection_rectangle_t kept[DETECTION_MOST];
    struct tvmgen_default_inputs inputs = MODEL_INPUT_BUFFERS;
    struct tvmgen_default_outputs outputs = DETECTION_OUTPUTS(first_results);

    const int64_t start = platform_time_us();
    preprocess_rgb565_be(frame, input_buffer);
    const int32_t status = tvmgen_default_run(&inputs, &outputs);
    if (status != 0) {
        return status;
    }
    const int32_t count = detection_find(&detection_model, &first_results, boxes);
    const int64_t first = platform_time_us();

    int32_t found = 0;
    for (int32_t i = 0; i < count; i++) {
        const detection_rectangle_t box = detection_in_frame(&detection_frame, &boxes[i]);
        const detection_rectangle_t square = detection_square(&box, PREPROCESS_FRAME_WIDTH, PREPROCESS_FRAME_HEIGHT);
        detection_t best;
        const int32_t any = look_again(frame, &square, &best);
        if (any < 0) {
            return any;
        }
        const detection_frame_t part = detection_frame_of(&second_detection_model, &square);
        const detection_rectangle_t at = any ? detection_in_frame(&part, &best) : (detection_rectangle_t){0};
        bool is_new = any;
        for (int32_t j = 0; j < found && is_new; j++) {
            is_new = !detection_same(&second_detection_model, &at, &kept[j]);
        }
        if (is_new) {
            kept[found++] = at;
            print_found(&part, &best);
        }
    }
    const int64_t end = platform_time_us();
    printf("%" PRId32 " found in %" PRId32 " boxes (first model %" PRId64 " us, second %" PRId64 " us)\n", found, count,
           first - start, end - first);
    return 0;
}

static int32_t prepare_both(void)
{
    return tvm_model_init() != 0 || tvm_model_second_init() != 0 ? -1 : 0;
}

#ifdef ESP_PLATFORM
void app_main(void)
{
    camera_loop(detect);
}
#else
int main(void)
{
    return camera_loop(detect);
}
#endif
