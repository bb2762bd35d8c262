/*
 * Camera frames -> preprocess -> model -> boxes, for ever: of each frame a line, and one for each box in it.
 *
 * camera_loop.h gives the frames: on a board those of the camera, elsewhere (host/) those of stdin.
 */
#include "camera_loop.h"
#include "detection_model.h"
#include "input_data.h"
#include "labels.h"
#include "platform.h"
#include "preprocess.h"
#include "tvmgen_default.h"

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>

_Static_assert(sizeof(input_buffer) == PREPROCESS_INPUT_SIZE, "preprocess.c was made for another model");

/* The landmarks of a box, in pixels of the frame; a dash for those that are more likely hidden than seen. */
static void print_landmarks(const detection_results_t *results, const detection_t *box)
{
#if DETECTION_LANDMARKS > 0
    static detection_point_t points[DETECTION_LANDMARKS];
    detection_landmarks(&detection_model, results, box, points);
    printf(", landmarks");
    for (int i = 0; i < DETECTION_LANDMARKS; i++) {
        const detection_point_t at = detection_point_in_frame(&detection_frame, &points[i]);
        if (at.visible >= DETECTION_SCORE_ONE / 2) {
            printf(" %" PRId32 ",%" PRId32, at.x, at.y);
        } else {
            printf(" -");
        }
    }
#else
    (void)results;
    (void)box;
#endif
}

/* One frame of RGB565, high byte first, to its boxes; prints them, in pixels of the frame. Returns 0, or what the model
 * returned. */
static int32_t detect(const uint8_t *frame)
{
    static detection_results_t results;
    static detection_t boxes[DETECTION_CANDIDATES];
    struct tvmgen_default_inputs inputs = MODEL_INPUT_BUFFERS;
    struct tvmgen_default_outputs outputs = DETECTION_OUTPUTS(results);

    const int64_t start = platform_time_us();
    preprocess_rgb565_be(frame, input_buffer);
    const int64_t prepared = platform_time_us();
    const int32_t status = tvmgen_default_run(&inputs, &outputs);
    if (status != 0) {
        return status;
    }
    const int64_t computed = platform_time_us();
    const int32_t count = detection_find(&detection_model, &results, boxes);
    const int64_t end = platform_time_us();

    printf("%" PRId32 " boxes (preprocess %" PRId64 " us, model %" PRId64 " us, boxes %" PRId64 " us)\n", count,
           prepared - start, computed - prepared, end - computed);
    for (int32_t i = 0; i < count; i++) {
        const detection_rectangle_t at = detection_in_frame(&detection_frame, &boxes[i]);
        printf("  %s %d %% from %" PRId32 ",%" PRId32 " to %" PRId32 ",%" PRId32, labels[boxes[i].label],
               boxes[i].score * 100 / DETECTION_SCORE_ONE, at.left, at.top, at.right, at.bottom);
        print_landmarks(&results, &boxes[i]);
        printf("\n");
    }
    return 0;
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
