/* Copies for the vector unit of the ESP32-S3: the way through the axes. common/copy_esp32s3.S copies blocks. */
#include "common/walk.h"
#include "esp_dl_esp32s3.h"

#ifdef ESP_DL_ESP32S3
void esp_dl_copy_blocks_esp32s3(char *to, const char *from, int32_t vectors, int32_t blocks, int32_t to_step,
                                int32_t from_step);
#else
#include <string.h>

static void esp_dl_copy_blocks_esp32s3(char *to, const char *from, int32_t vectors, int32_t blocks, int32_t to_step,
                                       int32_t from_step)
{
    for (; blocks > 0; blocks--) {
        memcpy(to, from, (size_t)(16 * vectors));
        to += to_step;
        from += from_step;
    }
}
#endif

void esp_dl_copy_esp32s3(const void *input, const esp_dl_copy_t *p, void *output)
{
    if (!p->vectors) {
        esp_dl_copy(input, p, output);
        return;
    }
    const int32_t last = p->rank - 1, vectors = p->block / 16;
    const int8_t *from = (const int8_t *)input + p->from_offset;
    const int8_t *to = (int8_t *)output + p->to_offset; /* const for `esp_dl_next` alone */
    int32_t index[ESP_DL_MAX_COPY_RANK] = {0};
    do {
        esp_dl_copy_blocks_esp32s3((char *)to, (const char *)from, vectors, p->shape[last], p->to[last], p->from[last]);
    } while (esp_dl_next(last, p->shape, index, p->from, &from, p->to, &to));
}
