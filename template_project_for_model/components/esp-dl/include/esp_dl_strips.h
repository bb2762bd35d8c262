/*
 * Strips of rows: what generated code needs to compute several layers together, a few rows at a time.
 *
 * Of an image that only such layers read, a window of rows lies in memory: those that are still read, and the new ones
 * behind them. Kernels find in it an image of fewer rows; nothing is computed twice.
 */
#ifndef ESP_DL_STRIPS_H
#define ESP_DL_STRIPS_H

#include "esp_dl/limits.h"

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What one layer does in one strip. Offsets and counts of elements. */
typedef struct {
    int32_t kind;                       /* which parameters its function takes; -1: it has no rows in this strip */
    int32_t kept_from, kept;            /* rows of its output's window that are still read: they move to its start */
    int32_t output;                     /* new rows: their start in the window, or their count in a whole tensor */
    int32_t size;                       /* new rows, bytes */
    int32_t input[ESP_DL_STRIP_INPUTS]; /* rows that it reads: their start in the window, or how much further those of
                                         * the next strip lie in a whole tensor */
} esp_dl_strip_t;

/* Move `bytes` of a window, which begin at `from`, to its start: before `from`, both may overlap. */
void esp_dl_keep_rows(void *window, const void *from, int32_t bytes);

#ifdef __cplusplus
}
#endif

#endif /* ESP_DL_STRIPS_H */
