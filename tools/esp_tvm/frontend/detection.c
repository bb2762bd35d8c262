/* See detection.h; docs/detection.md has the formulas. */
#include "detection.h"

#include <stddef.h>

/* value * factor, factor in units of 2^-16, rounded to the nearest. */
static int32_t scaled(int32_t value, int32_t factor)
{
    return (int32_t)(((int64_t)value * factor + (1 << 15)) >> 16);
}

static int32_t limited(int32_t value, int32_t most)
{
    return value < 0 ? 0 : value > most ? most : value;
}

static const int8_t *numbers(const void *results, const detection_part_t *part, uint32_t cell, uint32_t anchor)
{
    return (const int8_t *)results + part->first + cell * part->cell + anchor * part->anchor;
}

/* The largest score of a box's classes, in units of 2^-15, and its class; of equal ones the first. */
static uint32_t best_score(const detection_model_t *model, const detection_level_t *level, const int8_t *values,
                           uint16_t *label)
{
    const uint32_t step = level->scores.channel;
    uint32_t object = DETECTION_SCORE_ONE;
    if (model->objectness) {
        object = level->score[*values + 128];
        if (object < model->score_threshold) {
            return 0;
        }
    }
    const bool softmax = level->score == NULL;
    const int8_t *classes = values + ((model->objectness || softmax ? 1 : 0) + model->between) * step;
    uint16_t best = 0;
    for (uint16_t i = 1; i < model->classes; i++) {
        best = classes[i * step] > classes[best * step] ? i : best;
    }
    *label = best;
    const int32_t value = classes[best * step];
    if (!softmax) {
        const uint32_t score = level->score[value + 128];
        return model->objectness ? (score * object + (1 << 14)) >> 15 : score;
    }
    const int32_t largest = *values > value ? *values : value;
    uint32_t total = level->score_decay[largest - *values];
    for (uint16_t i = 0; i < model->classes; i++) {
        total += level->score_decay[largest - classes[i * step]];
    }
    return (level->score_decay[largest - value] * DETECTION_SCORE_ONE + total / 2) / total;
}

/* The mean of a distribution over 0, 1, ... bins - 1 times `unit`, rounded to the nearest. */
static int32_t mean_distance(const int8_t *values, uint32_t step, uint32_t bins, const uint32_t *decay, int32_t unit)
{
    int32_t largest = values[0];
    for (uint32_t i = 1; i < bins; i++) {
        largest = values[i * step] > largest ? values[i * step] : largest;
    }
    uint32_t total = 0, sum = 0;
    for (uint32_t i = 0; i < bins; i++) {
        const uint32_t weight = decay[largest - values[i * step]];
        total += weight;
        sum += i * weight;
    }
    return (int32_t)(((uint64_t)sum * (uint32_t)unit + total / 2) / total);
}

/* The four numbers of a box in the order left or x, top or y, right or width, bottom or height, in 1/16 pixel. */
static void box_lengths(const detection_model_t *model, const detection_level_t *level, const int8_t *values,
                        const detection_anchor_t *anchor, int32_t lengths[4])
{
    const uint32_t step = level->boxes.channel;
    for (int i = 0; i < 4; i++) {
        const bool across = (i & 1) == 0;
        const int8_t *at = values + (model->y_first ? i ^ 1 : i) * model->bins * step;
        const int32_t unit = across ? anchor->unit_x : anchor->unit_y;
        if (model->bins > 1) {
            lengths[i] = mean_distance(at, step, model->bins, level->decay, unit);
        } else if (model->form == DETECTION_CENTRE_SIZE && i >= 2) {
            lengths[i] = scaled(across ? anchor->width : anchor->height, level->size[*at + 128]);
        } else {
            lengths[i] = scaled(unit, level->position[*at + 128]);
        }
    }
}

/* One axis of a box: its edges, limited to the input. Returns whether anything is left. */
static bool edges(detection_form_t form, int32_t centre, int32_t anchor, int32_t first, int32_t second, int32_t most,
                  int32_t *low, int32_t *high)
{
    if (form == DETECTION_DISTANCES) {
        *low = centre - first;
        *high = centre + second;
    } else if (form == DETECTION_CORNERS) {
        *low = centre - anchor / 2 + first;
        *high = centre - anchor / 2 + anchor + second;
    } else {
        *low = centre + first - second / 2;
        *high = *low + second;
    }
    *low = limited(*low, most);
    *high = limited(*high, most);
    return *low < *high;
}

/* `box` among the `count` sorted ones, behind those that are as good; the last one is lost if there are too many. */
static int32_t insert(detection_t *boxes, int32_t count, int32_t most, const detection_t *box)
{
    if (count == most && boxes[count - 1].score >= box->score) {
        return count;
    }
    int32_t place = count < most ? count++ : count - 1;
    for (; place > 0 && boxes[place - 1].score < box->score; place--) {
        boxes[place] = boxes[place - 1];
    }
    boxes[place] = *box;
    return count;
}

static uint64_t area(int32_t left, int32_t top, int32_t right, int32_t bottom)
{
    return left < right && top < bottom ? (uint64_t)(uint32_t)(right - left) * (uint32_t)(bottom - top) : 0;
}

/* Whether intersection / union is above the threshold. */
static bool overlap(const detection_rectangle_t *a, const detection_rectangle_t *b, uint32_t threshold)
{
    const uint64_t both =
        area(a->left > b->left ? a->left : b->left, a->top > b->top ? a->top : b->top,
             a->right < b->right ? a->right : b->right, a->bottom < b->bottom ? a->bottom : b->bottom);
    const uint64_t all = area(a->left, a->top, a->right, a->bottom) + area(b->left, b->top, b->right, b->bottom) - both;
    return both * DETECTION_SCORE_ONE > threshold * all;
}

static detection_rectangle_t edges_of(const detection_t *box)
{
    return (detection_rectangle_t){box->left, box->top, box->right, box->bottom};
}

/* Non-maximum suppression: from the best on, what overlaps none that is kept. In place. */
static int32_t suppress(const detection_model_t *model, detection_t *boxes, int32_t count)
{
    int32_t kept = 0;
    for (int32_t i = 0; i < count && kept < model->most; i++) {
        const detection_rectangle_t at = edges_of(&boxes[i]);
        bool keep = true;
        for (int32_t j = 0; j < kept && keep; j++) {
            const detection_rectangle_t other = edges_of(&boxes[j]);
            keep = (boxes[j].label != boxes[i].label && !model->across_classes) ||
                   !overlap(&other, &at, model->iou_threshold);
        }
        if (keep) {
            boxes[kept++] = boxes[i];
        }
    }
    return kept;
}

static uint32_t boxes_in_all(const detection_level_t *level)
{
    return (uint32_t)level->columns * level->rows * level->anchors;
}

/* before: how many boxes the levels before have. */
static int32_t find_in_level(const detection_model_t *model, const detection_level_t *level, const void *results,
                             uint32_t before, detection_t *boxes, int32_t count)
{
    const uint32_t cells = (uint32_t)level->columns * level->rows;
    for (uint32_t cell = 0; cell < cells; cell++) {
        const int32_t x = level->offset + (int32_t)(cell % level->columns) * level->stride;
        const int32_t y = level->offset + (int32_t)(cell / level->columns) * level->stride;
        for (uint32_t i = 0; i < level->anchors; i++) {
            detection_t box;
            const uint32_t score = best_score(model, level, numbers(results, &level->scores, cell, i), &box.label);
            if (score < model->score_threshold) {
                continue;
            }
            const detection_anchor_t *anchor = &level->anchor[i];
            int32_t lengths[4];
            box_lengths(model, level, numbers(results, &level->boxes, cell, i), anchor, lengths);
            box.score = (uint16_t)score;
            box.index = before + cell * level->anchors + i;
            const bool wide =
                edges(model->form, x, anchor->width, lengths[0], lengths[2], model->width, &box.left, &box.right);
            const bool high =
                edges(model->form, y, anchor->height, lengths[1], lengths[3], model->height, &box.top, &box.bottom);
            if (wide && high) {
                count = insert(boxes, count, model->candidates, &box);
            }
        }
    }
    return count;
}

int32_t detection_find(const detection_model_t *model, const void *results, detection_t *boxes)
{
    int32_t count = 0;
    uint32_t before = 0;
    for (uint16_t i = 0; i < model->level_count; i++) {
        count = find_in_level(model, &model->levels[i], results, before, boxes, count);
        before += boxes_in_all(&model->levels[i]);
    }
    return suppress(model, boxes, count);
}

/* Where the landmarks of a box count from along one axis, in 1/16 pixel. cell: its column or row. */
static int32_t origin_of(const detection_model_t *model, const detection_level_t *level, uint32_t cell, int32_t anchor)
{
    const int32_t corner = (int32_t)cell * level->stride;
    if (model->origin == DETECTION_FROM_CELL) {
        return corner;
    }
    return corner + level->offset - (model->origin == DETECTION_FROM_CORNER ? anchor / 2 : 0);
}

void detection_landmarks(const detection_model_t *model, const void *results, const detection_t *box,
                         detection_point_t *points)
{
    const detection_level_t *level = model->levels;
    uint32_t index = box->index;
    for (; index >= boxes_in_all(level); level++) {
        index -= boxes_in_all(level);
    }
    const uint32_t cell = index / level->anchors, which = index % level->anchors;
    const detection_anchor_t *anchor = &level->anchor[which];
    const int32_t origin_x = origin_of(model, level, cell % level->columns, anchor->width);
    const int32_t origin_y = origin_of(model, level, cell / level->columns, anchor->height);
    const int32_t unit_x = model->in_strides ? level->stride : anchor->width;
    const int32_t unit_y = model->in_strides ? level->stride : anchor->height;
    const uint32_t step = level->landmarks.channel;
    const int8_t *values = numbers(results, &level->landmarks, cell, which);
    for (uint8_t i = 0; i < model->landmarks; i++, values += (level->visible == NULL ? 2 : 3) * step) {
        const int8_t x = values[model->y_first ? step : 0], y = values[model->y_first ? 0 : step];
        points[i] = (detection_point_t){
            .x = origin_x + scaled(unit_x, level->point[x + 128]),
            .y = origin_y + scaled(unit_y, level->point[y + 128]),
            .visible = level->visible == NULL ? DETECTION_SCORE_ONE : level->visible[values[2 * step] + 128],
        };
    }
}

/* An edge at `value` sixteenths of a pixel of the input, in pixels of the frame. */
static int32_t in_source(int32_t value, int32_t target, int32_t target_size, int32_t source, int32_t source_size)
{
    const int32_t inside = limited(value - target * DETECTION_ONE, target_size * DETECTION_ONE);
    const int32_t divisor = target_size * DETECTION_ONE;
    return source + (int32_t)(((int64_t)inside * source_size + divisor / 2) / divisor);
}

detection_rectangle_t detection_in_frame(const detection_frame_t *frame, const detection_t *box)
{
    const detection_frame_t f = *frame;
    return (detection_rectangle_t){
        .left = in_source(box->left, f.target_x, f.target_width, f.source_x, f.source_width),
        .top = in_source(box->top, f.target_y, f.target_height, f.source_y, f.source_height),
        .right = in_source(box->right, f.target_x, f.target_width, f.source_x, f.source_width),
        .bottom = in_source(box->bottom, f.target_y, f.target_height, f.source_y, f.source_height),
    };
}

/* The pixel of the frame in which `value` sixteenths of a pixel of the input lie. */
static int32_t pixel_in_source(int32_t value, int32_t target, int32_t target_size, int32_t source, int32_t source_size)
{
    const int32_t divisor = target_size * DETECTION_ONE;
    const int32_t inside = limited(value - target * DETECTION_ONE, divisor - 1);
    return source + (int32_t)((int64_t)inside * source_size / divisor);
}

detection_point_t detection_point_in_frame(const detection_frame_t *frame, const detection_point_t *point)
{
    const detection_frame_t f = *frame;
    return (detection_point_t){
        .x = pixel_in_source(point->x, f.target_x, f.target_width, f.source_x, f.source_width),
        .y = pixel_in_source(point->y, f.target_y, f.target_height, f.source_y, f.source_height),
        .visible = point->visible,
    };
}

detection_rectangle_t detection_square(const detection_rectangle_t *box, int32_t width, int32_t height)
{
    const int32_t across = box->right - box->left, down = box->bottom - box->top;
    const int32_t side = across > down ? across : down;
    const int32_t left = (box->left + box->right) / 2 - side / 2, top = (box->top + box->bottom) / 2 - side / 2;
    return (detection_rectangle_t){
        .left = limited(left, width),
        .top = limited(top, height),
        .right = limited(left + side, width),
        .bottom = limited(top + side, height),
    };
}

detection_frame_t detection_frame_of(const detection_model_t *model, const detection_rectangle_t *part)
{
    return (detection_frame_t){
        .source_x = part->left,
        .source_y = part->top,
        .source_width = part->right - part->left,
        .source_height = part->bottom - part->top,
        .target_width = model->width / DETECTION_ONE,
        .target_height = model->height / DETECTION_ONE,
    };
}

bool detection_same(const detection_model_t *model, const detection_rectangle_t *a, const detection_rectangle_t *b)
{
    return overlap(a, b, model->iou_threshold);
}
