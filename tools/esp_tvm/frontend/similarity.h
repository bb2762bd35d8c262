/*
 * How alike two descriptors are: int8 vectors, such as a network's features of a face, a person or a thing. Integers
 * only, no heap, no state.
 */
#ifndef SIMILARITY_H
#define SIMILARITY_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SIMILARITY_ONE 32768

/* The cosine of the angle between a and b, 1 to 65536 numbers each: from -SIMILARITY_ONE, opposite, to SIMILARITY_ONE,
 * the same direction; off by less than 1. 0 where one of them is all zero. Both must have one exponent each; which does
 * not matter. */
int32_t similarity_cosine(const int8_t *a, const int8_t *b, uint32_t count);

#ifdef __cplusplus
}
#endif

#endif
