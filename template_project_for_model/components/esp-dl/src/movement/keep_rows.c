#include "esp_dl_strips.h"

#include <string.h>

/* A word, of whatever type the bytes are. */
typedef uint32_t __attribute__((may_alias)) word_t;

/* The C library's memmove goes byte by byte on some of the chips. */
void esp_dl_keep_rows(void *window, const void *from, int32_t bytes)
{
    uint8_t *to = window;
    const uint8_t *x = from;
    if (((uintptr_t)to | (uintptr_t)x) % sizeof(word_t) == 0) {
        /* The window starts at least a word before, so what is overwritten was read. */
        word_t *words = window;
        const word_t *others = from;
        for (int32_t i = bytes / 16; i > 0; i--, words += 4, others += 4) {
            const word_t a = others[0], b = others[1], c = others[2], d = others[3];
            words[0] = a;
            words[1] = b;
            words[2] = c;
            words[3] = d;
        }
        const int32_t done = bytes / 16 * 16;
        to += done, x += done, bytes -= done;
    }
    for (; bytes > 0; bytes--) {
        *to++ = *x++;
    }
}
