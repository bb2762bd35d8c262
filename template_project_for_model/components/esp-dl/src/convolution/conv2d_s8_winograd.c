/*
 * Convolution of 3x3 windows with stride 1, by minimal filtering (Winograd's F(4x4, 3x3)): 36 multiply-accumulates
 * for 4x4 output pixels instead of 144. Exact: all of it is integer arithmetic modulo 2^32.
 *
 * A tile is 4x4 output pixels, a point one of the 6x6 places of its transform. With G, B and A as below, a tile's sums
 * are A' ((G g G') * (B' d B)) A / 576, where g are the weights, d the 6x6 inputs and * multiplies point by point:
 *
 *        [ 1  0  0 ]         [ 4  0 -5  0  1  0 ]          [ 6 -4 -4  1  1  0 ]
 *        [ 1  1  1 ]         [ 0 -4 -4  1  1  0 ]          [ 0 -4  4  2 -2  0 ]
 *    G = [ 1 -1  1 ]    B' = [ 0  4 -4 -1  1  0 ]     A' = [ 0 -4 -4  4  4  0 ]
 *        [ 1  2  4 ]         [ 0 -2 -1  2  1  0 ]          [ 0 -4  4  8 -8 24 ]
 *        [ 1 -2  4 ]         [ 0  2 -1 -2  1  0 ]
 *        [ 0  0  1 ]         [ 0  4  0 -5  0  1 ]
 *
 * (each row of A' as it is multiplied by 24, which makes it whole.) Transformed weights are at most 49 * 128, inputs
 * 100 * 128: both fit int16. The division is exact: 576 = 9 * 2^6, and 9 has an inverse modulo 2^32.
 *
 * Four tiles are computed by four output channels at a time. The weights are transformed here, for as many input
 * channels at a time as the scratch memory holds: transformed they would take eight times the flash.
 */
#include "common/registers.h"
#include "convolution/conv2d_end.h"
#include "esp_dl_fast.h"

#include <stddef.h>
#include <string.h>

#define TILES ESP_DL_WINOGRAD_TILES
#define OUTPUTS ESP_DL_WINOGRAD_OUTPUTS
#define POINTS 36
#define INVERSE_OF_9 0x38E38E39u

/* Store an int32: without this the compiler computes in 16 bits, and truncates every value on the way. */
#define STORE(place, value)                                                                                            \
    do {                                                                                                               \
        const int32_t stored = (value);                                                                                \
        __asm__ volatile("" : : "r"(stored));                                                                          \
        (place) = (int16_t)stored;                                                                                     \
    } while (0)

/* --- inputs ---------------------------------------------------------------------------------------------------- */

/* Six values, `step` apart from each other in `to`, multiplied by B'. */
static inline void transform_six(int32_t d0, int32_t d1, int32_t d2, int32_t d3, int32_t d4, int32_t d5, int16_t *to,
                                 const int32_t step)
{
    const int32_t even = d4 - d2, odd = d3 - d1, d2x4 = d2 * 4;
    const int32_t sum = d4 - d2x4, difference = d3 - d1 * 4;
    STORE(to[0], d0 * 4 - d2x4 + even);
    STORE(to[step], sum + difference);
    STORE(to[2 * step], sum - difference);
    STORE(to[3 * step], even + odd * 2);
    STORE(to[4 * step], even - odd * 2);
    STORE(to[5 * step], d5 - d3 - odd * 4);
}

/* One row of six pixels. values: the row's first point of the first channel. */
__attribute__((noinline)) static void transform_row(const int8_t *const *pixels, int32_t channels, int16_t *values)
{
    const int8_t *x0 = pixels[0], *x1 = pixels[1], *x2 = pixels[2], *x3 = pixels[3], *x4 = pixels[4], *x5 = pixels[5];
    for (const int8_t *end = x0 + channels; x0 != end;) {
        transform_six(*x0, *x1, *x2, *x3, *x4, *x5, values, TILES);
        x0++, x1++, x2++, x3++, x4++, x5++;
        values += POINTS * TILES;
        ESP_DL_KEEP(values);
    }
}

/* The columns of a tile, in place. */
__attribute__((noinline)) static void transform_columns(int16_t *values, int32_t channels)
{
    const int32_t row = 6 * TILES;
    for (; channels > 0; channels--) {
        for (const int16_t *end = values + row; values != end; values += TILES) {
            transform_six(values[0], values[row], values[2 * row], values[3 * row], values[4 * row], values[5 * row],
                          values, row);
        }
        values += (POINTS - 6) * TILES;
    }
}

typedef struct {
    int32_t image, h, w; /* its first output pixel */
} tile_t;

/* values: [input channel][point][TILES], of place `place` among the tiles; outside: a pixel for those outside the image
 */
static void transform_tile(const int8_t *input, const esp_dl_conv2d_t *p, const tile_t *tile, const int8_t *outside,
                           int16_t *values)
{
    const int32_t channels = p->input.c, width = p->input.w;
    const int32_t w0 = tile->w - p->window.pad_left;
    int32_t h = tile->h - p->window.pad_top;
    ptrdiff_t row = ((ptrdiff_t)(tile->image * p->input.h + h) * width + w0) * channels;
    int16_t *to = values;
    for (const int16_t *end = values + POINTS * TILES; to != end; to += 6 * TILES) {
        const int8_t *pixels[6];
        ptrdiff_t place = row;
        for (int32_t w = w0, i = 0; i < 6; w++, i++) {
            const int inside = h >= 0 && h < p->input.h && w >= 0 && w < width;
            pixels[i] = inside ? input + place : outside;
            place += channels;
            ESP_DL_KEEP(w); /* not unrolled */
        }
        transform_row(pixels, channels, to);
        row += (ptrdiff_t)width * channels;
        h++;
    }
    transform_columns(values, channels);
}

/* --- weights --------------------------------------------------------------------------------------------------- */

/* Three weights multiplied by G: SET takes the number of a row and its value. */
#define TRANSFORM_THREE(g0, g1, g2, SET, other)                                                                        \
    do {                                                                                                               \
        const int32_t ends = g0 + g2, middle = g1 * 2;                                                                 \
        int32_t far = g2 * 4;                                                                                          \
        SET##_SAME(other, 0, g0);                                                                                      \
        SET##_SAME(other, 5, g2);                                                                                      \
        SET(other, 1, ends + g1);                                                                                      \
        SET(other, 2, ends - g1);                                                                                      \
        far += g0;                                                                                                     \
        SET(other, 3, far + middle);                                                                                   \
        SET(other, 4, far - middle);                                                                                   \
    } while (0)

/* Point i of column j, in a variable of its own: in an array they would go through memory. */
#define SET_COLUMN(j, i, value)                                                                                        \
    c##j##i = (value);                                                                                                 \
    ESP_DL_KEEP(c##j##i)
#define SET_COLUMN_SAME(j, i, value) c##j##i = (value)
#define SET_POINT_SAME(i, j, value) transformed[((i)*6 + (j)) * OUTPUTS] = (int16_t)(value)
#define SET_POINT(i, j, value) STORE(transformed[((i)*6 + (j)) * OUTPUTS], value)

#define COLUMN(j)                                                                                                      \
    int32_t c##j##0, c##j##1, c##j##2, c##j##3, c##j##4, c##j##5;                                                      \
    do {                                                                                                               \
        const int32_t g0 = weights[j], g1 = weights[3 + j], g2 = weights[6 + j];                                       \
        TRANSFORM_THREE(g0, g1, g2, SET_COLUMN, j);                                                                    \
    } while (0)

/* weights: [channels][OUTPUTS][3][3] -> [channels][point][OUTPUTS] */
__attribute__((noinline)) static void transform_weights(const int8_t *weights, int32_t channels, int16_t *transformed)
{
    for (const int8_t *end = weights + channels * OUTPUTS * 9; weights != end;) {
        for (const int16_t *stop = transformed + OUTPUTS; transformed != stop; transformed++) {
            COLUMN(0);
            COLUMN(1);
            COLUMN(2);
            TRANSFORM_THREE(c00, c10, c20, SET_POINT, 0);
            TRANSFORM_THREE(c01, c11, c21, SET_POINT, 1);
            TRANSFORM_THREE(c02, c12, c22, SET_POINT, 2);
            TRANSFORM_THREE(c03, c13, c23, SET_POINT, 3);
            TRANSFORM_THREE(c04, c14, c24, SET_POINT, 4);
            TRANSFORM_THREE(c05, c15, c25, SET_POINT, 5);
            weights += 9;
            ESP_DL_KEEP(weights);
        }
        transformed += (POINTS - 1) * OUTPUTS;
    }
}

/* --- products -------------------------------------------------------------------------------------------------- */

#define ADD(sum, value)                                                                                                \
    do {                                                                                                               \
        sum += (value)*weight;                                                                                         \
        ESP_DL_KEEP(sum);                                                                                              \
    } while (0)

#define PRODUCTS(o)                                                                                                    \
    do {                                                                                                               \
        const uint32_t weight = (uint32_t)w[o];                                                                        \
        ADD(s0##o, x0);                                                                                                \
        ADD(s1##o, x1);                                                                                                \
        ADD(s2##o, x2);                                                                                                \
        ADD(s3##o, x3);                                                                                                \
    } while (0)

/* sums [point][TILES][OUTPUTS]: those of `channels` more input channels, or of the first ones. */
__attribute__((noinline)) static void multiply(const int16_t *values, const int16_t *weights, int32_t channels,
                                               int first, uint32_t *sums)
{
    for (const uint32_t *stop = sums + POINTS * TILES * OUTPUTS; sums != stop; sums += TILES * OUTPUTS) {
        uint32_t s00 = 0, s01 = 0, s02 = 0, s03 = 0, s10 = 0, s11 = 0, s12 = 0, s13 = 0;
        uint32_t s20 = 0, s21 = 0, s22 = 0, s23 = 0, s30 = 0, s31 = 0, s32 = 0, s33 = 0;
        if (!first) {
            s00 = sums[0], s01 = sums[1], s02 = sums[2], s03 = sums[3];
            s10 = sums[4], s11 = sums[5], s12 = sums[6], s13 = sums[7];
            s20 = sums[8], s21 = sums[9], s22 = sums[10], s23 = sums[11];
            s30 = sums[12], s31 = sums[13], s32 = sums[14], s33 = sums[15];
        }
        const int16_t *x = values, *w = weights, *end = values + channels * POINTS * TILES;
        do {
            const uint32_t x0 = (uint32_t)x[0], x1 = (uint32_t)x[1], x2 = (uint32_t)x[2], x3 = (uint32_t)x[3];
            PRODUCTS(0);
            PRODUCTS(1);
            PRODUCTS(2);
            PRODUCTS(3);
            x += POINTS * TILES;
            w += POINTS * OUTPUTS;
            ESP_DL_KEEP(x);
            ESP_DL_KEEP(w);
        } while (x != end);
        sums[0] = s00, sums[1] = s01, sums[2] = s02, sums[3] = s03;
        sums[4] = s10, sums[5] = s11, sums[6] = s12, sums[7] = s13;
        sums[8] = s20, sums[9] = s21, sums[10] = s22, sums[11] = s23;
        sums[12] = s30, sums[13] = s31, sums[14] = s32, sums[15] = s33;
        values += TILES;
        weights += OUTPUTS;
    }
}

/* --- outputs --------------------------------------------------------------------------------------------------- */

/* Six sums, `step` apart, multiplied by A'. */
static inline void sum_six(const uint32_t *from, const int32_t step, uint32_t *to, const int32_t to_step)
{
    const uint32_t m0 = from[0], m1 = from[step], m2 = from[2 * step], m3 = from[3 * step], m4 = from[4 * step];
    const uint32_t m5 = from[5 * step];
    const uint32_t sum = (m1 + m2) * 4, difference = (m1 - m2) * 4, outer = m3 + m4, across = (m3 - m4) * 2;
    to[0] = m0 * 6 - sum + outer;
    to[to_step] = across - difference;
    to[2 * to_step] = outer * 4 - sum;
    to[3 * to_step] = across * 4 - difference + m5 * 24;
}

/* A tile's output channel `o`. sums: its first point, the others TILES * OUTPUTS apart. */
__attribute__((noinline)) static void finish(uint32_t *sums, const esp_dl_conv2d_t *p, const tile_t *tile, int32_t o,
                                             const esp_dl_addend_t *add, int8_t *output)
{
    const int32_t step = TILES * OUTPUTS, bias = p->bias[o], channels = p->output.c, width = p->output.w;
    const int32_t rows = p->output.h - tile->h, columns = width - tile->w;
    const int32_t pixels = columns < 4 ? columns : 4;
    const esp_dl_conv2d_end_t end = esp_dl_conv2d_end(p, add, o);
    for (const uint32_t *stop = sums + 6 * step; sums != stop; sums += step) {
        sum_six(sums, 6 * step, sums, 6 * step);
    }
    sums -= 6 * step;
    ptrdiff_t place = ((ptrdiff_t)(tile->image * p->output.h + tile->h) * width + tile->w) * channels + o;
    for (const uint32_t *stop = sums + (rows < 4 ? rows : 4) * 6 * step; sums != stop; sums += 6 * step) {
        uint32_t products[4];
        sum_six(sums, step, products, 1);
        int8_t *y = output + place;
        const int8_t *a = add->values + place;
        for (const uint32_t *product = products; product != products + pixels; product++) {
            const int32_t sum = ((int32_t)(*product * INVERSE_OF_9) >> 6) + bias;
            if (add->values == NULL) {
                esp_dl_store_shifted(y, sum, end.shift, end.below, end.min, end.max);
            } else {
                esp_dl_conv2d_store_sum(&end, sum, *a, y);
                a += channels;
            }
            y += channels;
        }
        place += width * channels;
    }
}

/* --- all of it ------------------------------------------------------------------------------------------------- */

static tile_t next(tile_t tile, const esp_dl_conv2d_t *p)
{
    tile.w += 4;
    if (tile.w >= p->output.w) {
        tile.w = 0;
        tile.h += 4;
        if (tile.h >= p->output.h) {
            tile.h = 0;
            tile.image++;
        }
    }
    return tile;
}

static void convolve(const int8_t *input, esp_dl_addend_t add, const esp_dl_conv2d_t *p, void *scratch, int8_t *output)
{
    const int32_t channels = p->input.c, block = (uint8_t)p->weights[0];
    uint32_t *sums = scratch;
    int16_t *values = (int16_t *)(sums + POINTS * TILES * OUTPUTS);
    int16_t *transformed = values + POINTS * TILES * channels;
    tile_t tile = {0, 0, 0};
    while (tile.image < p->output.n) {
        tile_t tiles[TILES];
        int32_t count = 0;
        /* Until there are products, the memory of the sums holds a pixel outside the image. */
        memset(sums, p->pad_value, (size_t)channels);
        for (; count < TILES && tile.image < p->output.n; count++) {
            tiles[count] = tile;
            transform_tile(input, p, &tile, (const int8_t *)sums, values + count);
            tile = next(tile, p);
        }
        const int8_t *weights = p->weights + 1;
        for (int32_t o = 0; o < p->output.c; o += OUTPUTS) {
            for (int32_t c = 0; c < channels; c += block) {
                const int32_t some = channels - c < block ? channels - c : block;
                transform_weights(weights, some, transformed);
                multiply(values + c * POINTS * TILES, transformed, some, c == 0, sums);
                weights += some * OUTPUTS * 9;
            }
            const int32_t outputs = p->output.c - o < OUTPUTS ? p->output.c - o : OUTPUTS;
            for (int32_t i = 0; i < count; i++) {
                for (int32_t k = 0; k < outputs; k++) {
                    finish(sums + i * OUTPUTS + k, p, tiles + i, o + k, &add, output);
                }
            }
        }
    }
}

int32_t esp_dl_conv2d_s8_winograd_scratch(const esp_dl_conv2d_t *p)
{
    const int32_t block = (uint8_t)p->weights[0];
    return POINTS * (TILES * OUTPUTS * (int32_t)sizeof(uint32_t) +
                     (TILES * p->input.c + OUTPUTS * block) * (int32_t)sizeof(int16_t));
}

int32_t esp_dl_conv2d_add_s8_winograd_scratch(const esp_dl_conv2d_add_t *p)
{
    return esp_dl_conv2d_s8_winograd_scratch(&p->conv2d);
}

void esp_dl_conv2d_s8_winograd(const int8_t *input, const esp_dl_conv2d_t *p, void *scratch, int8_t *output)
{
    convolve(input, (esp_dl_addend_t){NULL, NULL}, p, scratch, output);
}

void esp_dl_conv2d_add_s8_winograd(const int8_t *input, const int8_t *addend, const esp_dl_conv2d_add_t *p,
                                   void *scratch, int8_t *output)
{
    convolve(input, (esp_dl_addend_t){addend, p->addend_shift}, &p->conv2d, scratch, output);
}
