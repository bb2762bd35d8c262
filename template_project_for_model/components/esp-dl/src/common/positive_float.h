/* Sums, products and quotients of floats that are not negative, rounded as IEEE 754 says (to nearest, ties to even).
 *
 * Cores without a floating point unit compute them here with integers: the functions of the compiler's library know
 * signs, infinities and NaN too and take 2 kB of flash, twice the instructions. No value is infinite or NaN.
 */
#ifndef ESP_DL_COMMON_POSITIVE_FLOAT_H
#define ESP_DL_COMMON_POSITIVE_FLOAT_H

#include <float.h>
#include <stdint.h>
#include <string.h>

/* The bytes of the result depend on every intermediate value: float must be computed as float. */
_Static_assert(FLT_EVAL_METHOD == 0, "compile for a target that evaluates float as float (32-bit x86: -mfpmath=sse)");

#if (defined(__riscv) && !defined(__riscv_flen)) || defined(__XTENSA_SOFT_FLOAT__)
#define ESP_DL_SOFT_FLOAT
#endif

#ifdef ESP_DL_SOFT_FLOAT

/* significand * 2^(exponent - 150); subnormal numbers have exponent 1 and no hidden bit */
typedef struct {
    uint32_t significand;
    int32_t exponent;
} esp_dl_parts_t;

static inline uint32_t esp_dl_bits_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline esp_dl_parts_t esp_dl_parts(uint32_t bits)
{
    const uint32_t fraction = bits & 0x7fffff;
    const int32_t exponent = (int32_t)(bits >> 23);
    return exponent == 0 ? (esp_dl_parts_t){fraction, 1} : (esp_dl_parts_t){fraction | 0x800000, exponent};
}

/* The hidden bit, or a carry out of the significand, counts the exponent up. */
static inline float esp_dl_from_parts(uint32_t significand, int32_t exponent)
{
    const uint32_t bits = ((uint32_t)(exponent - 1) << 23) + significand;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

#endif

/* a + b */
static inline float esp_dl_add_positive(float a, float b)
{
#ifdef ESP_DL_SOFT_FLOAT
    const uint32_t x = esp_dl_bits_of(a), y = esp_dl_bits_of(b);
    const esp_dl_parts_t large = esp_dl_parts(x > y ? x : y), small = esp_dl_parts(x > y ? y : x);
    const int32_t places = large.exponent - small.exponent;
    int32_t exponent = large.exponent;
    /* Three more bits; the last is set where a bit further to the right was. */
    uint32_t addend = small.significand << 3;
    addend = places > 26 ? addend != 0 : addend >> places | ((addend & (((uint32_t)1 << places) - 1)) != 0);
    uint32_t sum = (large.significand << 3) + addend;
    if (sum >> 27 != 0) {
        sum = sum >> 1 | (sum & 1);
        exponent++;
    }
    return esp_dl_from_parts((sum + 3 + (sum >> 3 & 1)) >> 3, exponent);
#else
    return a + b;
#endif
}

/* a * b: 0, or neither factors nor product are subnormal */
static inline float esp_dl_multiply_positive(float a, float b)
{
#ifdef ESP_DL_SOFT_FLOAT
    const esp_dl_parts_t x = esp_dl_parts(esp_dl_bits_of(a)), y = esp_dl_parts(esp_dl_bits_of(b));
    if (x.significand == 0 || y.significand == 0) {
        return 0.0f;
    }
    const uint64_t product = (uint64_t)x.significand * y.significand;
    const int32_t carry = (int32_t)(product >> 47);
    uint32_t significand = (uint32_t)(product >> (23 + carry));
    const uint32_t rest = (uint32_t)product << (9 - carry);
    significand += rest > 0x80000000u || (rest == 0x80000000u && (significand & 1) != 0);
    return esp_dl_from_parts(significand, x.exponent + y.exponent - 127 + carry);
#else
    return a * b;
#endif
}

/* a / b: b >= 1 */
static inline float esp_dl_divide_positive(float a, float b)
{
#ifdef ESP_DL_SOFT_FLOAT
    const esp_dl_parts_t divisor = esp_dl_parts(esp_dl_bits_of(b));
    esp_dl_parts_t rest = esp_dl_parts(esp_dl_bits_of(a));
    if (rest.significand == 0) {
        return 0.0f;
    }
    while (rest.significand < divisor.significand) {
        rest.significand *= 2;
        rest.exponent--;
    }
    /* 24 bits of the quotient, which is 1 to 2. */
    uint32_t quotient = 0;
    for (int32_t places = 7; quotient >> 23 == 0; places = 8) {
        const uint32_t dividend = rest.significand << places;
        quotient = quotient << places | dividend / divisor.significand;
        rest.significand = dividend % divisor.significand;
    }
    const int32_t exponent = rest.exponent - divisor.exponent + 127;
    if (exponent > 0) {
        return esp_dl_from_parts(quotient + (2 * rest.significand > divisor.significand), exponent);
    }
    /* Subnormal. */
    const int32_t places = 1 - exponent;
    if (places > 24) {
        return 0.0f;
    }
    const uint32_t half = (uint32_t)1 << (places - 1), below = quotient & (2 * half - 1);
    quotient >>= places;
    const int up = below > half || (below == half && (rest.significand != 0 || (quotient & 1) != 0));
    return esp_dl_from_parts(quotient + (uint32_t)up, 1);
#else
    return a / b;
#endif
}

#endif
