/*
 * From a detector's int8 outputs to boxes. Integers only, no heap, no state: any number of tasks may call this at once,
 * each with results and boxes of its own. detection_model.h, generated for the model, names what is passed here.
 *
 * Lengths are in 1/16 pixel of the model's input (DETECTION_ONE), x to the right, y down; scores in units of 2^-15.
 */
#ifndef DETECTION_H
#define DETECTION_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define DETECTION_ONE 16
#define DETECTION_SCORE_ONE 32768

/* A box: edges from 0 to the width and height of the model's input, left < right, top < bottom; score 1 to 32768;
 * label: number of the class; index: of the box among all that the model gives, by which its landmarks are found. */
typedef struct {
    int32_t left, top, right, bottom;
    uint16_t score, label;
    uint32_t index;
} detection_t;

/* A landmark: where it is, also outside of the input; visible: 0 to 32768, 32768 where the model does not say. */
typedef struct {
    int32_t x, y, visible;
} detection_point_t;

/* A box in whole pixels of the camera's frame; right and bottom are those of the first pixel outside. */
typedef struct {
    int32_t left, top, right, bottom;
} detection_rectangle_t;

/* Where in a frame the rectangle lies that became a rectangle of the model's input; whole pixels. */
typedef struct {
    int32_t source_x, source_y, source_width, source_height;
    int32_t target_x, target_y, target_width, target_height;
} detection_frame_t;

/* Number k of box a of cell c is the int8 at byte first + c * cell + a * anchor + k * channel of the results. */
typedef struct {
    uint32_t first, cell, anchor, channel;
} detection_part_t;

/* unit: what a position of 1 is worth; width, height: what a size of 1 is worth. At most 4096 pixels. */
typedef struct {
    int32_t unit_x, unit_y, width, height;
} detection_anchor_t;

/* What the numbers of a box are; by their order in the results (x and y may be exchanged):
 * DISTANCES: from the cell's centre to the left, upper, right and lower edge
 * CORNERS:   of the left upper and the right lower corner from those of the anchor around the cell's centre
 * CENTRE_SIZE: of the box's centre from the cell's centre, then width and height */
typedef enum { DETECTION_DISTANCES, DETECTION_CORNERS, DETECTION_CENTRE_SIZE } detection_form_t;

/* Where the landmarks of a box count from: the cell's centre, the left upper corner of the anchor around it, or the
 * cell's number times the stride. */
typedef enum { DETECTION_FROM_CENTRE, DETECTION_FROM_CORNER, DETECTION_FROM_CELL } detection_origin_t;

/* One grid of cells. Tables have an entry for each int8 value from -128 on.
 * position, size: in units of 2^-16, at most 2^30; size only for DETECTION_CENTRE_SIZE
 * point: of landmarks, like position; visible: like score; NULL where there are none
 * decay: e^-(difference) in units of 2^-16 for differences 0 to 255 of two int8 values, of distributions; or NULL
 * score: of a number alone, or NULL where scores are a softmax, which takes score_decay like decay */
typedef struct {
    detection_part_t boxes, scores, landmarks;
    uint16_t columns, rows, anchors;
    int32_t stride, offset;
    const detection_anchor_t *anchor;
    const int32_t *position, *size, *point;
    const uint32_t *decay, *score_decay;
    const uint16_t *score, *visible;
} detection_level_t;

/* width, height: of the input. classes: without the background, which softmax has before them. bins: numbers of a
 * distance. objectness: a number before the classes; between: numbers (landmarks) between that and the classes.
 * candidates: entries of `boxes` of detection_find. landmarks: of a box; origin: where they count from; in_strides:
 * whether in strides, else in anchors */
typedef struct {
    const detection_level_t *levels;
    uint16_t level_count, classes, candidates, most;
    detection_form_t form;
    uint8_t bins;
    uint8_t landmarks, between;
    detection_origin_t origin;
    bool y_first, objectness, across_classes, in_strides;
    int32_t width, height;
    uint32_t score_threshold, iou_threshold;
} detection_model_t;

/* The boxes of one picture, the best first, equal ones in the order of the results; returns how many (at most
 * model->most). results: the model's outputs, detection_results_t. boxes: model->candidates entries, all of which may
 * be written. */
int32_t detection_find(const detection_model_t *model, const void *results, detection_t *boxes);

/* The landmarks of a box that detection_find has found in `results`. points: model->landmarks entries, all of which are
 * written. */
void detection_landmarks(const detection_model_t *model, const void *results, const detection_t *box,
                         detection_point_t *points);

/* The box in pixels of the frame, rounded to the nearest, inside of it. */
detection_rectangle_t detection_in_frame(const detection_frame_t *frame, const detection_t *box);

/* The frame's pixel in which a landmark lies, for one outside of the model's input the nearest; visible stays. */
detection_point_t detection_point_in_frame(const detection_frame_t *frame, const detection_point_t *point);

/* For a second model, which looks at what the first has found: the square around a box with its longer side, as far as
 * it is inside of a frame of width x height pixels. It is empty (left == right or top == bottom) if the box is. */
detection_rectangle_t detection_square(const detection_rectangle_t *box, int32_t width, int32_t height);

/* Where that second model's boxes and landmarks are: for detection_in_frame, if `part` of the frame, not empty, became
 * the whole input of `model`. */
detection_frame_t detection_frame_of(const detection_model_t *model, const detection_rectangle_t *part);

/* Whether two boxes in a frame share more of their union than the model allows: then they are one thing. */
bool detection_same(const detection_model_t *model, const detection_rectangle_t *a, const detection_rectangle_t *b);

#ifdef __cplusplus
}
#endif

#endif
