/* Structs whose fields are addressed from assembly by offsets: the headers have a #define and a check for each field,
 * since the assembler has no structs. */
#ifndef ESP_DL_COMMON_FIELDS_H
#define ESP_DL_COMMON_FIELDS_H

#include <stddef.h>

/* With 32-bit pointers, as on the chip, `field` is `place` bytes from the start of the struct. */
#define ESP_DL_FIELD(type, field, place)                                                                               \
    _Static_assert(sizeof(void *) != 4 || offsetof(type, field) == (place),                                            \
                   "the assembly looks for " #field " elsewhere")

#endif
