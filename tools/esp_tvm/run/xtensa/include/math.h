/* What generated code may call is declared; this C library has none of it: a program that needs it does not link. */
#ifndef XTENSA_MATH_H
#define XTENSA_MATH_H

#define INFINITY __builtin_inff()
#define NAN __builtin_nanf("")
#define isnan(x) __builtin_isnan(x)

float expf(float);
float logf(float);
float powf(float, float);
float sqrtf(float);
float floorf(float);
float ceilf(float);
float roundf(float);
float fabsf(float);
float tanhf(float);
float erff(float);

#endif
