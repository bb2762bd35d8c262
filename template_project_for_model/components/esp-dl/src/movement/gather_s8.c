#include "esp_dl.h"

#include <stddef.h>
#include <string.h>

void esp_dl_gather_s8(const int8_t *input, const esp_dl_gather_t *p, int8_t *output)
{
    int32_t place[6] = {0};
    int32_t axis;
    do {
        const int8_t *from = input;
        for (axis = 0; axis < p->rank; axis++) {
            const int32_t index = p->index[axis] != NULL ? p->index[axis][place[axis]] : place[axis];
            if (index < 0) {
                from = NULL;
                break;
            }
            from += (ptrdiff_t)index * p->step[axis];
        }
        if (from != NULL) {
            memcpy(output, from, (size_t)p->block);
        } else {
            memset(output, p->fill, (size_t)p->block);
        }
        output += p->block;
        for (axis = p->rank - 1; axis >= 0; axis--) {
            if (++place[axis] < p->shape[axis]) {
                break;
            }
            place[axis] = 0;
        }
    } while (axis >= 0);
}
