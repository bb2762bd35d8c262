/* The compiler's own; without a C library it is reached by no other way. */
#include <stdint-gcc.h>
