/* Structs whose fields assembly addresses by their places: the headers have a #define and a check for each field, since
 * the assembler knows no structs. */
#ifndef ESP_DL_COMMON_FIELDS_H
#define ESP_DL_COMMON_FIELDS_H

#include <stddef.h>

/* Where pointers have 32 bits, as on the chip, `field` lies `place` bytes from the start of the struct. */
#define ESP_DL_FIELD(type, field, place)                                                                               \
    _Static_assert(sizeof(void *) != 4 || offsetof(type, field) == (place),                                            \
                   "the assembly looks for " #field " elsewhere")

#endif
