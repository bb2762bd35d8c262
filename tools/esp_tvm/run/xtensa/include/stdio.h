/* Files of the computer that runs the emulator, without buffers. */
#ifndef XTENSA_STDIO_H
#define XTENSA_STDIO_H

#include <stddef.h>

typedef struct {
    int descriptor;
} FILE;

/* mode: "rb" or "wb"; at most four files in all */
FILE *fopen(const char *name, const char *mode);
size_t fread(void *data, size_t size, size_t count, FILE *file);
size_t fwrite(const void *data, size_t size, size_t count, FILE *file);
int fclose(FILE *file);

#endif
