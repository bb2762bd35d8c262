/*
 * Camera frames -> preprocess -> model -> descriptor, for ever: what looks like nothing seen before is remembered, and
 * of everything else it is said which of the remembered things it is.
 *
 * camera_loop.h gives the frames: on a board those of the camera, elsewhere (host/) those of stdin.
 */
#include "camera_loop.h"
#include "embedding_model.h"
#include "input_data.h"
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

#ifdef ESP_PLATFORM
void app_main(void)
{
    camera_loop(recognize);
}
#else
int main(void)
{
    return camera_loop(recognize);
}
#endif
