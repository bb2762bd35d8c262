#include "common/walk.h"
#include "esp_dl.h"

#include <string.h>

/* The input address for a position of the output; NULL if there is none. */
static const int8_t *source(const int8_t *input, const esp_dl_gather_t *p, const int32_t *place)
{
    for (int32_t axis = 0; axis < p->rank; axis++) {
        const int32_t index = p->index[axis] != NULL ? p->index[axis][place[axis]] : place[axis];
        if (index < 0) {
            return NULL;
        }
        input += (ptrdiff_t)index * p->step[axis];
    }
    return input;
}

void esp_dl_gather_s8(const int8_t *input, const esp_dl_gather_t *p, int8_t *output)
{
    int32_t place[ESP_DL_MAX_RANK] = {0};
    do {
        const int8_t *from = source(input, p, place);
        if (from != NULL) {
            memcpy(output, from, (size_t)p->block);
        } else {
            memset(output, p->fill, (size_t)p->block);
        }
        output += p->block;
    } while (esp_dl_next(p->rank, p->shape, place, NULL, NULL, NULL, NULL));
}
