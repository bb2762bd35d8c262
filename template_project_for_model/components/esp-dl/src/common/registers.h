/* For loops that need all registers, where the compiler's own order would cost more instructions. */
#ifndef ESP_DL_COMMON_REGISTERS_H
#define ESP_DL_COMMON_REGISTERS_H

#include <stdint.h>

/* Keeps a value in a register here, and prevents the compiler from mixing the code before with the code after:
 * otherwise so many values would be live at once that sums would be spilled. */
#define ESP_DL_KEEP(value) __asm__ volatile("" : "+r"(value))

/* Needs a value here: what is computed of it behind this line is not computed before. */
#define ESP_DL_READ(value) __asm__ volatile("" : : "r"(value))

/* Keeps a store before this line from being joined with one of another branch. */
#define ESP_DL_APART __asm__ volatile("" : : : "memory")

/* *y = (sum >> shift) within [min, max], which lie in int8; below: min << shift. What is less, half of the values
 * behind many a relu, is neither shifted nor compared again: it is stored elsewhere, behind the code of the others,
 * where the compiler is kept from joining both stores, and the shift from being done before the comparison. */
static inline void esp_dl_store_shifted(int8_t *y, int32_t sum, int32_t shift, int32_t below, int32_t min, int32_t max)
{
    if (__builtin_expect(sum < below, 0)) {
        ESP_DL_READ(min);
        *y = (int8_t)min;
    } else {
        ESP_DL_READ(sum);
        int32_t value = sum >> shift;
        if (value > max) {
            value = max;
        }
        ESP_DL_KEEP(value);
        *y = (int8_t)value;
        ESP_DL_APART;
    }
}

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
