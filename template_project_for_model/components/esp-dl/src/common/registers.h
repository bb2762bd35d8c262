/* For loops that need all registers, where the compiler's own order would cost more instructions. */
#ifndef ESP_DL_COMMON_REGISTERS_H
#define ESP_DL_COMMON_REGISTERS_H

#include <stdint.h>

/* Keeps a value in a register here, and prevents the compiler from mixing the code before with the code after:
 * otherwise so many values would be live at once that sums would be spilled. */
#define ESP_DL_KEEP(value) __asm__ volatile("" : "+r"(value))

/* *y = value within [min, max], which lie in int8. The value stays in a register of 32 bits: as int8 it would be
 * sign-extended once more, and the bounds held twice. */
static inline void esp_dl_store(int8_t *y, int32_t value, int32_t min, int32_t max)
{
    if (value < min) {
        value = min;
    }
    if (value > max) {
        value = max;
    }
    ESP_DL_KEEP(value);
    *y = (int8_t)value;
}

#endif
