/* A row of output pixels of a convolution: what conv2d_s8_esp32s3.c prepares and the vector unit computes. */
#ifndef ESP_DL_CONVOLUTION_CONV2D_ROW_ESP32S3_H
#define ESP_DL_CONVOLUTION_CONV2D_ROW_ESP32S3_H

/* Where the assembly finds the fields of esp_dl_conv2d_row_t, in bytes. */
#define CONV2D_AT_SEGMENTS 0
#define CONV2D_AT_SEGMENT_COUNT 4
#define CONV2D_AT_SEGMENT_BYTES 8
#define CONV2D_AT_STEP 12
#define CONV2D_AT_WEIGHTS 16
#define CONV2D_AT_OUTPUT 20
#define CONV2D_AT_PIXELS 24
#define CONV2D_AT_CHANNELS 28
#define CONV2D_AT_MIN 32
#define CONV2D_AT_MAX 36
#define CONV2D_AT_VECTORS 40
#define CONV2D_AT_SUMS 44
#define CONV2D_AT_CHECK_BITS 48
#define CONV2D_AT_OPEN 52
#define CONV2D_AT_CLAMP 56
#define CONV2D_AT_CHECK_EVERY 60
#define CONV2D_AT_OUTPUT_STEP 64
#define CONV2D_AT_ADDEND 68
#define CONV2D_AT_FACTORS 72

/* Sources that include themselves with ESP_DL_ADDED 1 have the functions of the same names and _add once more, which
 * add a tensor to the sums. */
#ifndef ESP_DL_ADDED
#define ESP_DL_ADDED 0
#endif
#if ESP_DL_ADDED
#define ESP_DL_ROW(kind) esp_dl_conv2d_row_##kind##_add_esp32s3
#else
#define ESP_DL_ROW(kind) esp_dl_conv2d_row_##kind##_esp32s3
#endif

#ifndef __ASSEMBLER__

#include "common/fields.h"

#include <stdint.h>

/* The assembly reads fields at the places above. */
typedef struct {
    const int8_t *const *segments; /* where the first window's segments lie */
    int32_t segment_count;
    int32_t segment_bytes;
    int32_t step;          /* bytes from a window to the next */
    const int8_t *weights; /* as in esp_dl_conv2d_esp32s3_t */
    int8_t *output;
    int32_t pixels;
    int32_t channels; /* of the output */
    int32_t min, max;
    int32_t vectors;     /* 0: lanes of 20 bits */
    int64_t *sums;       /* [channels] where vectors is not 0, 64 bytes where sums are checked */
    int32_t check_bits;  /* as in esp_dl_conv2d_esp32s3_t */
    int32_t open;        /* the same */
    const int8_t *clamp; /* sixteen times min, sixteen times max; at a multiple of 16 */
    int32_t check_every; /* as check_bits; where it is 2, `segments` lies at a multiple of 16 */
    int32_t output_step; /* bytes from a pixel to the next in the output, as many as channels but for `one` */
    intptr_t addend;     /* bytes from a value of the output to what is added to its sum */
    int32_t factors;     /* vectors of factors of what is added, behind the head of sixteen channels; 0: nothing is */
    const int8_t *addend_shift;            /* wide: of the channels */
    const struct esp_dl_conv2d_ways *ways; /* how rows like this one are computed */
    int32_t in_sequence;                   /* sums fit in the order of the products, maybe not in another (for the C) */
} esp_dl_conv2d_row_t;

ESP_DL_FIELD(esp_dl_conv2d_row_t, segments, CONV2D_AT_SEGMENTS);
ESP_DL_FIELD(esp_dl_conv2d_row_t, segment_count, CONV2D_AT_SEGMENT_COUNT);
ESP_DL_FIELD(esp_dl_conv2d_row_t, segment_bytes, CONV2D_AT_SEGMENT_BYTES);
ESP_DL_FIELD(esp_dl_conv2d_row_t, step, CONV2D_AT_STEP);
ESP_DL_FIELD(esp_dl_conv2d_row_t, weights, CONV2D_AT_WEIGHTS);
ESP_DL_FIELD(esp_dl_conv2d_row_t, output, CONV2D_AT_OUTPUT);
ESP_DL_FIELD(esp_dl_conv2d_row_t, pixels, CONV2D_AT_PIXELS);
ESP_DL_FIELD(esp_dl_conv2d_row_t, channels, CONV2D_AT_CHANNELS);
ESP_DL_FIELD(esp_dl_conv2d_row_t, min, CONV2D_AT_MIN);
ESP_DL_FIELD(esp_dl_conv2d_row_t, max, CONV2D_AT_MAX);
ESP_DL_FIELD(esp_dl_conv2d_row_t, vectors, CONV2D_AT_VECTORS);
ESP_DL_FIELD(esp_dl_conv2d_row_t, sums, CONV2D_AT_SUMS);
ESP_DL_FIELD(esp_dl_conv2d_row_t, check_bits, CONV2D_AT_CHECK_BITS);
ESP_DL_FIELD(esp_dl_conv2d_row_t, open, CONV2D_AT_OPEN);
ESP_DL_FIELD(esp_dl_conv2d_row_t, clamp, CONV2D_AT_CLAMP);
ESP_DL_FIELD(esp_dl_conv2d_row_t, check_every, CONV2D_AT_CHECK_EVERY);
ESP_DL_FIELD(esp_dl_conv2d_row_t, output_step, CONV2D_AT_OUTPUT_STEP);
ESP_DL_FIELD(esp_dl_conv2d_row_t, addend, CONV2D_AT_ADDEND);
ESP_DL_FIELD(esp_dl_conv2d_row_t, factors, CONV2D_AT_FACTORS);

/*
 * vectors = 0: sixteen channels at a time in lanes of 20 bits. Not 0 where sums are checked and one became so large
 * that it may have left its lane: then the output must be computed again.
 */
int32_t esp_dl_conv2d_row_lanes_esp32s3(const esp_dl_conv2d_row_t *row);

/*
 * Channels in sixteens: these of all pixels, then the next sixteen. Windows of 8 to 64 bytes in one segment, all
 * multiples of 8; and all windows whose segments are multiples of 16 bytes at multiples of 16. Sums are not checked.
 */
void esp_dl_conv2d_row_one_esp32s3(const esp_dl_conv2d_row_t *row);
void esp_dl_conv2d_row_held_esp32s3(const esp_dl_conv2d_row_t *row);

/* The same of windows of three rows of 9 or 15 bytes, at any address. */
void esp_dl_conv2d_row_three_esp32s3(const esp_dl_conv2d_row_t *row);

/* Of windows of three rows of 48 bytes, at multiples of 16. */
void esp_dl_conv2d_row_nine_esp32s3(const esp_dl_conv2d_row_t *row);

/*
 * Where sums are checked: what the lanes cannot hold, in lanes all the same. First the lower four bits of the input are
 * multiplied, then the upper ones: exact, in twice the instructions.
 */
void esp_dl_conv2d_row_parts_esp32s3(const esp_dl_conv2d_row_t *row);

/* vectors > 0: a channel at a time in the accumulator of 40 bits. */
void esp_dl_conv2d_row_wide_esp32s3(const esp_dl_conv2d_row_t *row);

/* The same with `factors`; and of one pixel whose sums begin with `sums`, in place of the biases. */
int32_t esp_dl_conv2d_row_lanes_add_esp32s3(const esp_dl_conv2d_row_t *row);
void esp_dl_conv2d_row_one_add_esp32s3(const esp_dl_conv2d_row_t *row);
void esp_dl_conv2d_row_held_add_esp32s3(const esp_dl_conv2d_row_t *row);
void esp_dl_conv2d_row_nine_add_esp32s3(const esp_dl_conv2d_row_t *row);
void esp_dl_conv2d_row_parts_add_esp32s3(const esp_dl_conv2d_row_t *row);
void esp_dl_conv2d_row_wide_add_esp32s3(const esp_dl_conv2d_row_t *row);

/* The ways to compute a row: with nothing added, or with an addend. */
typedef struct esp_dl_conv2d_ways {
    int32_t (*lanes)(const esp_dl_conv2d_row_t *);
    void (*one)(const esp_dl_conv2d_row_t *);
    void (*held)(const esp_dl_conv2d_row_t *);
    void (*nine)(const esp_dl_conv2d_row_t *);
    void (*parts)(const esp_dl_conv2d_row_t *);
    void (*wide)(const esp_dl_conv2d_row_t *);
} esp_dl_conv2d_ways_t;

/* A convolution with `addend`, `factors`, `addend_shift` and `ways` of every row as those of `more`. Nothing is shifted
 * left. */
struct esp_dl_conv2d_esp32s3;
void esp_dl_convolve_esp32s3(const int8_t *input, const struct esp_dl_conv2d_esp32s3 *p,
                             const esp_dl_conv2d_row_t *more, void *scratch, int8_t *output);

#endif /* __ASSEMBLER__ */

#endif
