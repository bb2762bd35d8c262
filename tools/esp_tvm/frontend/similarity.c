/* See similarity.h; docs/detection.md has the formula. */
#include "similarity.h"

/* The largest number whose square is at most n, n < 2^62. */
static uint32_t square_root(uint64_t n)
{
    uint32_t root = 0;
    for (int bit = 30; bit >= 0; bit--) {
        const uint64_t larger = root | UINT32_C(1) << bit;
        if (larger * larger <= n) {
            root = (uint32_t)larger;
        }
    }
    return root;
}

int32_t similarity_cosine(const int8_t *a, const int8_t *b, uint32_t count)
{
    int32_t product = 0, squares_a = 0, squares_b = 0;
    for (uint32_t i = 0; i < count; i++) {
        product += a[i] * b[i];
        squares_a += a[i] * a[i];
        squares_b += b[i] * b[i];
    }
    if (squares_a == 0 || squares_b == 0) {
        return 0;
    }
    /* The length of both, with as many fractional bits as there are. */
    uint64_t squares = (uint64_t)squares_a * (uint32_t)squares_b;
    int bits = 15;
    for (; squares < UINT64_C(1) << 60; bits++) {
        squares <<= 2;
    }
    const uint32_t length = square_root(squares);
    const uint64_t size = (uint64_t)(product < 0 ? -(int64_t)product : product) << bits;
    const int32_t cosine = (int32_t)((size + length / 2) / length);
    return product < 0 ? -cosine : cosine;
}
