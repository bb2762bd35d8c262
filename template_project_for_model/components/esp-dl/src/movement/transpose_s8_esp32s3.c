/* Matrices of int8, rows and columns exchanged, by tiles of 16x16 on the vector unit of the ESP32-S3. */
#include "common/borders_esp32s3.h"
#include "esp_dl_esp32s3.h"

#define SIDE 16
#define TILE (SIDE * SIDE)

int32_t esp_dl_transpose_s8_esp32s3_scratch(const esp_dl_transpose_esp32s3_t *p)
{
    (void)p;
    return 3 * TILE;
}

#ifdef ESP_DL_ESP32S3

void esp_dl_transpose_tile_esp32s3(const int8_t *from, int32_t from_step, int8_t *to, int32_t to_step, int8_t *temp);

/* A tile of a matrix whose rows are `columns` bytes to one whose rows are `rows` bytes. memory: of three tiles */
static void turn(const int8_t *from, int32_t columns, int8_t *to, int32_t rows, int8_t *memory)
{
    int8_t *const input = memory + TILE, *const output = input + TILE;
    if ((((uintptr_t)from | (uintptr_t)columns) & 15) != 0) {
        esp_dl_copy_blocks(input, from, SIDE, SIDE, SIDE, columns);
        from = input;
        columns = SIDE;
    }
    if ((((uintptr_t)to | (uintptr_t)rows) & 15) == 0) {
        esp_dl_transpose_tile_esp32s3(from, columns, to, rows, memory);
        return;
    }
    esp_dl_transpose_tile_esp32s3(from, columns, output, SIDE, memory);
    for (int32_t i = 0; i < SIDE; i++, to += rows) {
        memcpy(__builtin_assume_aligned(to, 4), __builtin_assume_aligned(output + i * SIDE, 4), SIDE);
    }
}

#else

static void turn(const int8_t *from, int32_t columns, int8_t *to, int32_t rows, int8_t *memory)
{
    (void)memory;
    for (int32_t row = 0; row < SIDE; row++) {
        for (int32_t column = 0; column < SIDE; column++) {
            to[column * rows + row] = from[row * columns + column];
        }
    }
}

#endif

/* Where the tile behind one at `first` begins: the last one ends where the matrix does, and overlaps the one before. */
static int32_t next_tile(int32_t first, int32_t size)
{
    const int32_t next = first + SIDE;
    return next < size && next > size - SIDE ? size - SIDE : next;
}

void esp_dl_transpose_s8_esp32s3(const int8_t *input, const esp_dl_transpose_esp32s3_t *p, void *scratch,
                                 int8_t *output)
{
    const int32_t rows = p->rows, columns = p->columns;
    for (int32_t n = 0; n < p->count; n++) {
        for (int32_t row = 0; row < rows; row = next_tile(row, rows)) {
            for (int32_t column = 0; column < columns; column = next_tile(column, columns)) {
                turn(input + row * columns + column, columns, output + column * rows + row, rows, scratch);
            }
        }
        input += rows * columns;
        output += rows * columns;
    }
}
