/* Sixteen rows of sixteen bytes as columns; those who call it say what it is elsewhere. */
#include "common/esp32s3.inc"

/*
 * A row and a column have four bits each. To zip the rows i and i + 8 into the rows 2 i and 2 i + 1, for all i, moves
 * every bit of the eight up by one: the highest of the row becomes the lowest of the column. Four times that is a
 * transpose. The first three times stay within eight rows, which registers hold: every second one.
 */

/* q\a .. q\h, in the order of the rows, to the same registers in another order. */
    .macro zip_eight a, b, c, d, e, f, g, h
    ee.vzip.8 q\a, q\e
    ee.vzip.8 q\b, q\f
    ee.vzip.8 q\c, q\g
    ee.vzip.8 q\d, q\h
    .endm

/*
 * esp_dl_transpose_tile_esp32s3(const int8_t *from, int32_t from_step, int8_t *to, int32_t to_step, int8_t *temp)
 *
 * All at multiples of 16, the steps too. temp: 256 bytes.
 */
    function esp_dl_transpose_tile_esp32s3
    slli a7, a3, 1
    mov a9, a6
    movi a8, 2
1:  /* the even rows, the odd ones */
    mov a10, a2
    .irp i, 0, 1, 2, 3, 4, 5, 6, 7
    ee.vld.128.xp q\i, a10, a7
    .endr
    zip_eight 0, 1, 2, 3, 4, 5, 6, 7
    zip_eight 0, 4, 1, 5, 2, 6, 3, 7
    zip_eight 0, 2, 4, 6, 1, 3, 5, 7
    .irp i, 0, 1, 2, 3, 4, 5, 6, 7
    ee.vst.128.ip q\i, a9, 16
    .endr
    add a2, a2, a3
    addi a8, a8, -1
    bnez a8, 1b
    movi a8, 8
    addi a9, a6, 127
    addi a9, a9, 1
    loop a8, 2f
    ee.vld.128.ip q0, a6, 16
    ee.vld.128.ip q1, a9, 16
    ee.vzip.8 q0, q1
    ee.vst.128.xp q0, a4, a5
    ee.vst.128.xp q1, a4, a5
2:
    return
    .size esp_dl_transpose_tile_esp32s3, . - esp_dl_transpose_tile_esp32s3
