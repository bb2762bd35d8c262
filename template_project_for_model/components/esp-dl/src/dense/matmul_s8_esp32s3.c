/*
 * Products of matrices for the vector unit of the ESP32-S3: columns of b are laid out like the weights of a convolution
 * of 1x1, whose code then computes rows of a as pixels.
 */
#include "common/borders_esp32s3.h"
#include "convolution/conv2d_row_esp32s3.h"
#include "esp_dl_esp32s3.h"

#include <stddef.h>
#include <string.h>

#define HEAD 48       /* bytes before the weights of sixteen channels */
#define READ_AHEAD 32 /* bytes that are read behind all weights */
#define TILE 256      /* bytes of sixteen rows and columns */

/* Where things lie in scratch memory, in bytes from its start; first the columns of b. */
typedef struct {
    int32_t input, output, tile, end;
} places_t;

static places_t places_of(const esp_dl_matmul_esp32s3_t *p)
{
    const int32_t padded = esp_dl_aligned(p->matmul.inner);
    places_t places;
    places.input = p->block / ESP_DL_LANES * (HEAD + ESP_DL_LANES * padded) + READ_AHEAD;
    places.output = places.input + padded;
    places.tile = places.output + p->block;
    places.end = places.tile + 2 * TILE;
    return places;
}

int32_t esp_dl_matmul_s8_esp32s3_scratch(const esp_dl_matmul_esp32s3_t *p)
{
    return places_of(p).end;
}

#ifdef ESP_DL_ESP32S3

/* One below the other, at multiples of 16: `rows` times sixteen bytes that begin `step` bytes apart. */
static void copy_sixteens(int8_t *to, const int8_t *from, int32_t step, int32_t rows)
{
    void esp_dl_copy_blocks_esp32s3(char *to, const char *from, int32_t vectors, int32_t blocks, int32_t to_step,
                                    int32_t from_step);
    esp_dl_copy_blocks_esp32s3((char *)to, (const char *)from, 1, rows, ESP_DL_LANES, step);
}

/* Sixteen columns of `padded` bytes, `step` apart, as rows of sixteen. tile: memory */
static void columns_to_rows(int8_t *to, const int8_t *from, int32_t step, int32_t padded, int8_t *tile)
{
    void esp_dl_transpose_tile_esp32s3(const int8_t *from, int32_t from_step, int8_t *to, int32_t to_step,
                                       int8_t *temp);
    const bool aligned = (((uintptr_t)from | (uintptr_t)step) & 15) == 0;
    for (int32_t k = 0; k < padded; k += ESP_DL_LANES, to += TILE) {
        if (aligned) {
            esp_dl_transpose_tile_esp32s3(from + k, step, to, ESP_DL_LANES, tile);
        } else {
            copy_sixteens(tile + TILE, from + k, step, ESP_DL_LANES);
            esp_dl_transpose_tile_esp32s3(tile + TILE, ESP_DL_LANES, to, ESP_DL_LANES, tile);
        }
    }
}

#endif

/* `count` columns of b (at most sixteen) as [padded][16] from `to` on, zero where b ends. b: the first column */
static void lay_out(int8_t *to, const int8_t *b, const esp_dl_matmul_t *m, int32_t count, int8_t *tile)
{
    const int32_t inner = m->inner, padded = esp_dl_aligned(inner);
#ifdef ESP_DL_ESP32S3
    if (!m->transpose_b) {
        /* Columns that are not there have whatever lies behind: they are not stored. */
        copy_sixteens(to, b, m->columns, inner);
        esp_dl_fill_esp32s3(to + inner * ESP_DL_LANES, 0, padded - inner);
        return;
    }
    if (count == ESP_DL_LANES) {
        columns_to_rows(to, b, inner, padded, tile);
        esp_dl_fill_esp32s3(to + inner * ESP_DL_LANES, 0, padded - inner);
        return;
    }
#else
    (void)tile;
#endif
    memset(to, 0, (size_t)(padded * ESP_DL_LANES));
    const int32_t column_step = m->transpose_b ? inner : 1, inner_step = m->transpose_b ? 1 : m->columns;
    for (int32_t c = 0; c < count; c++) {
        const int8_t *from = b + (ptrdiff_t)c * column_step;
        int8_t *column = to + c;
        for (int32_t k = 0; k < inner; k++, from += inner_step, column += ESP_DL_LANES) {
            *column = *from;
        }
    }
}

static void compute(const esp_dl_conv2d_row_t *row, bool parts)
{
    if (parts) {
        esp_dl_conv2d_row_parts_esp32s3(row);
    } else {
        esp_dl_conv2d_row_lanes_esp32s3(row);
    }
}

/*
 * All rows of a by the `count` columns in row.weights; output: the first of them. In parts, rows are read and written
 * at multiples of 16.
 */
static void multiply(esp_dl_conv2d_row_t row, const int8_t *a, const esp_dl_matmul_esp32s3_t *p, int32_t count,
                     int8_t *copy, int8_t *output)
{
    const int32_t inner = p->matmul.inner, columns = p->matmul.columns;
    const int8_t *segment = a;
    int8_t *const result = copy + esp_dl_aligned(inner);
    row.segments = &segment;
    row.output = output;
    row.channels = count;
    if (count == columns &&
        (!p->parts || (((uintptr_t)a | (uintptr_t)output) % 16 == 0 && (inner | count) % 16 == 0))) {
        row.pixels = p->matmul.rows;
        compute(&row, p->parts);
        return;
    }
    row.pixels = 1;
    row.channels = esp_dl_aligned(count);
    for (int32_t i = 0; i < p->matmul.rows; i++, a += inner, output += columns) {
        segment = a;
        if (p->parts && (uintptr_t)a % 16 != 0) {
            esp_dl_copy_row(copy, a, inner);
            segment = copy;
        }
        row.output = result;
        compute(&row, p->parts);
        memcpy(output, result, (size_t)count);
    }
}

void esp_dl_matmul_s8_esp32s3(const int8_t *a, const int8_t *b, const esp_dl_matmul_esp32s3_t *p, void *scratch,
                              int8_t *output)
{
    const esp_dl_matmul_t *m = &p->matmul;
    const int32_t padded = esp_dl_aligned(m->inner);
    const places_t places = places_of(p);
    int8_t *const memory = scratch;
    const esp_dl_conv2d_row_t row = {
        .segment_count = 1,
        .segment_bytes = padded,
        .step = m->inner,
        .weights = memory,
        .min = m->min,
        .max = m->max,
        .output_step = m->columns,
    };
    memset(memory + places.input, 0, (size_t)padded); /* behind a copied row */
    for (int32_t batch = 0; batch < m->batch; batch++) {
        for (int32_t c = 0; c < m->columns; c += p->block) {
            const int32_t count = m->columns - c < p->block ? m->columns - c : p->block;
            int8_t *to = memory;
            for (int32_t done = 0; done < count; done += ESP_DL_LANES) {
                const int32_t some = count - done < ESP_DL_LANES ? count - done : ESP_DL_LANES;
                memcpy(to, p->head, HEAD);
                lay_out(to + HEAD, b + (ptrdiff_t)(c + done) * (m->transpose_b ? m->inner : 1), m, some,
                        memory + places.tile);
                to += HEAD + ESP_DL_LANES * padded;
            }
            multiply(row, a, p, count, memory + places.input, output + c);
        }
        a += (ptrdiff_t)m->rows * m->inner;
        b += (ptrdiff_t)m->inner * m->columns;
        output += (ptrdiff_t)m->rows * m->columns;
    }
}
