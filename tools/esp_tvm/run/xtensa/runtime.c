/*
 * The C library and the compiler's helpers, as far as generated programs need them: Debian's compiler for the lx106
 * comes without a C library, and its libgcc without what the ESP8266 has in its ROM (divisions, additions and
 * multiplications of float). Floats are rounded to nearest even, as everywhere.
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* --- memory ---------------------------------------------------------------------------------------------- */

void *memcpy(void *to, const void *from, size_t count)
{
    unsigned char *target = to;
    const unsigned char *source = from;
    if (((uintptr_t)target | (uintptr_t)source) % 4 == 0) {
        for (; count >= 4; count -= 4, target += 4, source += 4) {
            *(uint32_t *)(void *)target = *(const uint32_t *)(const void *)source;
        }
    }
    for (; count > 0; count--) {
        *target++ = *source++;
    }
    return to;
}

void *memmove(void *to, const void *from, size_t count)
{
    unsigned char *target = to;
    const unsigned char *source = from;
    if (target <= source) {
        return memcpy(to, from, count);
    }
    while (count-- > 0) {
        target[count] = source[count];
    }
    return to;
}

void *memset(void *to, int value, size_t count)
{
    for (unsigned char *target = to, *end = target + count; target != end; target++) {
        *target = (unsigned char)value;
    }
    return to;
}

/* --- files ----------------------------------------------------------------------------------------------- */

enum { CALL_READ = 3, CALL_WRITE = 4, CALL_OPEN = 5, CALL_CLOSE = 6 };
/* Flags and permissions of open as QEMU hands them on to Linux. */
enum { OPEN_TO_READ = 0, OPEN_TO_WRITE = 01 | 0100 | 01000, PERMISSIONS = 0644 };

int emulator_call(int number, int first, int second, int third);

FILE *fopen(const char *name, const char *mode)
{
    static FILE files[4];
    static unsigned int used;
    if (used == sizeof(files) / sizeof(files[0])) {
        return NULL;
    }
    const int flags = mode[0] == 'w' ? OPEN_TO_WRITE : OPEN_TO_READ;
    const int descriptor = emulator_call(CALL_OPEN, (int)(uintptr_t)name, flags, PERMISSIONS);
    if (descriptor < 0) {
        return NULL;
    }
    files[used].descriptor = descriptor;
    return &files[used++];
}

static size_t transfer(int call, uintptr_t data, size_t bytes, const FILE *file)
{
    size_t done = 0;
    while (done < bytes) {
        const int now = emulator_call(call, file->descriptor, (int)(data + done), (int)(bytes - done));
        if (now <= 0) {
            break;
        }
        done += (size_t)now;
    }
    return done;
}

size_t fread(void *data, size_t size, size_t count, FILE *file)
{
    return transfer(CALL_READ, (uintptr_t)data, size * count, file) / size;
}

size_t fwrite(const void *data, size_t size, size_t count, FILE *file)
{
    return transfer(CALL_WRITE, (uintptr_t)data, size * count, file) / size;
}

int fclose(FILE *file)
{
    return emulator_call(CALL_CLOSE, file->descriptor, 0, 0);
}

/* --- division -------------------------------------------------------------------------------------------- */

uint32_t __udivsi3(uint32_t dividend, uint32_t divisor);
uint32_t __umodsi3(uint32_t dividend, uint32_t divisor);
int32_t __divsi3(int32_t dividend, int32_t divisor);

/* Bit by bit, from the first that the quotient can have. */
static inline uint32_t divide(uint32_t dividend, uint32_t divisor, uint32_t *remainder)
{
    uint32_t quotient = 0;
    if (divisor != 0 && dividend >= divisor) {
        int bit = __builtin_clz(divisor) - __builtin_clz(dividend);
        for (divisor <<= bit; bit >= 0; bit--, divisor >>= 1) {
            quotient <<= 1;
            if (dividend >= divisor) {
                dividend -= divisor;
                quotient |= 1;
            }
        }
    }
    *remainder = dividend;
    return quotient;
}

uint32_t __udivsi3(uint32_t dividend, uint32_t divisor)
{
    uint32_t remainder;
    return divide(dividend, divisor, &remainder);
}

uint32_t __umodsi3(uint32_t dividend, uint32_t divisor)
{
    uint32_t remainder;
    divide(dividend, divisor, &remainder);
    return remainder;
}

static uint32_t magnitude(int32_t value)
{
    return value < 0 ? 0 - (uint32_t)value : (uint32_t)value;
}

int32_t __divsi3(int32_t dividend, int32_t divisor)
{
    const uint32_t quotient = __udivsi3(magnitude(dividend), magnitude(divisor));
    return (int32_t)((dividend ^ divisor) < 0 ? 0 - quotient : quotient);
}

/* --- products of 64 bits --------------------------------------------------------------------------------- */

uint64_t __muldi3(uint64_t a, uint64_t b);

/* From products of 16 bits: the core has no instruction for the upper half of a product. */
uint64_t __muldi3(uint64_t a, uint64_t b)
{
    const uint32_t a_low = (uint32_t)a, a_high = (uint32_t)(a >> 32), b_low = (uint32_t)b, b_high = (uint32_t)(b >> 32);
    const uint32_t a0 = a_low & 0xffff, a1 = a_low >> 16, b0 = b_low & 0xffff, b1 = b_low >> 16;
    const uint32_t low = a0 * b0;
    const uint32_t middle = a1 * b0 + (low >> 16);
    const uint32_t second = a0 * b1 + (middle & 0xffff);
    const uint32_t high = a1 * b1 + (middle >> 16) + (second >> 16);
    return (uint64_t)(high + a_low * b_high + a_high * b_low) << 32 | (second << 16 | (low & 0xffff));
}

/* --- float ----------------------------------------------------------------------------------------------- */

float __addsf3(float a, float b);
float __subsf3(float a, float b);
float __mulsf3(float a, float b);
float __floatsisf(int32_t value);
float __floatunsisf(uint32_t value);

#define SIGN 0x80000000u
#define INFINITE 0x7f800000u
#define NOT_A_NUMBER 0x7fc00000u
#define HIDDEN 0x800000u

static uint32_t bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

static float float_of(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

static int is_nan(uint32_t bits)
{
    return (bits & ~SIGN) > INFINITE;
}

/* A finite value as mantissa * 2^(exponent - 150), 0 or with the hidden bit. */
static uint32_t unpack(uint32_t bits, int32_t *exponent)
{
    uint32_t mantissa = bits & (HIDDEN - 1);
    *exponent = (int32_t)(bits >> 23 & 0xff);
    if (*exponent != 0) {
        return mantissa | HIDDEN;
    }
    *exponent = 1;
    if (mantissa != 0) {
        const int shift = __builtin_clz(mantissa) - 8;
        mantissa <<= shift;
        *exponent -= shift;
    }
    return mantissa;
}

/* mantissa * 2^(exponent - 157), rounded: the mantissa has 7 bits more than a float, the last of which stands for all
 * behind it, and its highest bit is bit 30, unless it is 0. */
static float pack(uint32_t sign, int32_t exponent, uint32_t mantissa)
{
    if (mantissa == 0) {
        return float_of(sign);
    }
    if (exponent <= 0) {
        const int32_t shift = 1 - exponent;
        mantissa = shift > 31 ? 1 : mantissa >> shift | ((mantissa & ((1u << shift) - 1)) != 0);
        exponent = 0; /* subnormal, unless rounding carries into the hidden bit */
    } else {
        exponent--; /* the hidden bit adds 1 */
    }
    const uint32_t rest = mantissa & 0x7f;
    mantissa >>= 7;
    mantissa += rest > 0x40 || (rest == 0x40 && (mantissa & 1) != 0);
    const uint32_t bits = ((uint32_t)exponent << 23) + mantissa;
    return float_of(sign | (bits < INFINITE ? bits : INFINITE));
}

/* `mantissa` with its highest bit at bit 30, exponent to match; 0 stays 0. */
static float normalize(uint32_t sign, int32_t exponent, uint32_t mantissa)
{
    if (mantissa == 0) {
        return float_of(sign);
    }
    if ((mantissa & SIGN) != 0) {
        return pack(sign, exponent + 1, mantissa >> 1 | (mantissa & 1));
    }
    const int shift = __builtin_clz(mantissa) - 1;
    return pack(sign, exponent - shift, mantissa << shift);
}

float __addsf3(float x, float y)
{
    uint32_t a = bits_of(x), b = bits_of(y);
    if (is_nan(a) || is_nan(b)) {
        return float_of(NOT_A_NUMBER);
    }
    if ((a & ~SIGN) < (b & ~SIGN)) {
        const uint32_t other = a;
        a = b;
        b = other;
    }
    const uint32_t sign = a & SIGN, differ = (a ^ b) & SIGN;
    if ((a & ~SIGN) == INFINITE) {
        return float_of((b & ~SIGN) == INFINITE && differ != 0 ? NOT_A_NUMBER : a);
    }
    int32_t exponent, smaller;
    uint32_t mantissa = unpack(a, &exponent) << 7, other = unpack(b, &smaller) << 7;
    const int32_t shift = exponent - smaller;
    other = shift > 31 ? other != 0 : other >> shift | ((other & ((1u << shift) - 1)) != 0);
    if (mantissa == 0) {
        return float_of(differ != 0 ? 0 : sign); /* both are 0 */
    }
    if (differ != 0) {
        mantissa -= other;
        return normalize(mantissa != 0 ? sign : 0, exponent, mantissa);
    }
    return normalize(sign, exponent, mantissa + other);
}

float __subsf3(float x, float y)
{
    return __addsf3(x, float_of(bits_of(y) ^ SIGN));
}

float __mulsf3(float x, float y)
{
    const uint32_t a = bits_of(x), b = bits_of(y), sign = (a ^ b) & SIGN;
    const uint32_t more = (a & ~SIGN) > (b & ~SIGN) ? a & ~SIGN : b & ~SIGN;
    if (is_nan(a) || is_nan(b)) {
        return float_of(NOT_A_NUMBER);
    }
    int32_t exponent_a, exponent_b;
    if (more == INFINITE) {
        return float_of((a & ~SIGN) == 0 || (b & ~SIGN) == 0 ? NOT_A_NUMBER : sign | INFINITE);
    }
    const uint32_t mantissa_a = unpack(a, &exponent_a), mantissa_b = unpack(b, &exponent_b);
    /* 24 by 24 bits in halves of 12. */
    const uint32_t low = (mantissa_a & 0xfff) * (mantissa_b & 0xfff);
    const uint32_t middle = (mantissa_a & 0xfff) * (mantissa_b >> 12) + (mantissa_a >> 12) * (mantissa_b & 0xfff);
    const uint32_t high = (mantissa_a >> 12) * (mantissa_b >> 12) + (middle >> 12);
    const uint32_t rest = low + ((middle & 0xfff) << 12); /* less than 2^25 */
    /* The product is high * 2^24 + rest, and has 47 or 48 bits: 32 of them, and whether there are others. */
    const uint32_t whole = high + (rest >> 24), below = rest & 0xffffff;
    return normalize(sign, exponent_a + exponent_b - 127 + 1, whole << 7 | below >> 17 | ((below & 0x1ffff) != 0));
}

float __floatunsisf(uint32_t value)
{
    return normalize(0, 157, value);
}

float __floatsisf(int32_t value)
{
    return normalize(value < 0 ? SIGN : 0, 157, magnitude(value));
}
