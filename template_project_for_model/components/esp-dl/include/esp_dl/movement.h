/* Operators that move values. */
#ifndef ESP_DL_MOVEMENT_H
#define ESP_DL_MOVEMENT_H

#include "esp_dl/types.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Axes permuted: axis i of the output is axis axes[i] of the input; as arithmetic.transpose. Elements of any type. */
typedef struct {
    int32_t rank;                   /* 1..ESP_DL_MAX_RANK */
    int32_t shape[ESP_DL_MAX_RANK]; /* of the input */
    int32_t axes[ESP_DL_MAX_RANK];  /* a permutation of 0..rank - 1 */
    int32_t element_size;           /* bytes */
} esp_dl_transpose_t;

void esp_dl_transpose(const void *input, const esp_dl_transpose_t *p, void *output);

/* A copy along axes: slices, parts of a concatenation, repeats, permuted blocks, the inside of a padding; as
 * arithmetic.strided_slice, concat, tile, broadcast, depth_to_space, space_to_depth, pad. Steps and offsets are in
 * bytes; a step of 0 repeats, a negative one goes backwards. */
typedef struct {
    int32_t rank; /* 1..ESP_DL_MAX_COPY_RANK */
    int32_t shape[ESP_DL_MAX_COPY_RANK];
    int32_t from[ESP_DL_MAX_COPY_RANK]; /* from one index to the next, in the input */
    int32_t to[ESP_DL_MAX_COPY_RANK];   /* the same in the output */
    int32_t from_offset, to_offset;
    int32_t block; /* adjacent bytes at every position */
    bool vectors;  /* all of block, to, to_offset are multiples of 16; read only by esp_dl_copy_esp32s3 */
} esp_dl_copy_t;

void esp_dl_copy(const void *input, const esp_dl_copy_t *p, void *output);

/* Output position i along an axis is input position index[i]; -1: the value `fill`. Indices are constants that the
 * exporter has checked; this kernel does not support indices known only at run time. As arithmetic.gather,
 * gather_rows, resize_nearest, pad. */
typedef struct {
    int32_t rank;                          /* 1..ESP_DL_MAX_RANK */
    int32_t shape[ESP_DL_MAX_RANK];        /* of the output, in blocks */
    int32_t step[ESP_DL_MAX_RANK];         /* bytes from one index to the next, in the input */
    const int32_t *index[ESP_DL_MAX_RANK]; /* NULL: position i is position i */
    int32_t block;                         /* bytes that lie together at every place */
    int8_t fill;
} esp_dl_gather_t;

void esp_dl_gather_s8(const int8_t *input, const esp_dl_gather_t *p, int8_t *output);

/* Slices of the input [outer][size][block] by indices [count] that are known only at run time: [outer][count][block]. A
 * negative index counts from the end; one outside of the axis becomes the nearest inside. Elements of any type. As
 * arithmetic.take. */
typedef struct {
    int32_t outer, size, count;
    int32_t block; /* bytes of one slice */
    bool wide;     /* indices are int64_t, otherwise int32_t */
} esp_dl_take_t;

void esp_dl_take(const void *input, const void *indices, const esp_dl_take_t *p, void *output);

/* The input with `count` of its rows replaced, in order: the last update of a row counts. In place. Rows are constants
 * that the exporter has checked. As arithmetic.scatter_rows. */
typedef struct {
    int32_t size;        /* bytes of the input */
    int32_t count;       /* rows of the updates */
    int32_t inner;       /* bytes of one row */
    const int32_t *rows; /* [count]: the row that each update replaces */
} esp_dl_scatter_t;

void esp_dl_scatter_s8(const int8_t *input, const int8_t *updates, const esp_dl_scatter_t *p, int8_t *output);

#ifdef __cplusplus
}
#endif

#endif /* ESP_DL_MOVEMENT_H */
