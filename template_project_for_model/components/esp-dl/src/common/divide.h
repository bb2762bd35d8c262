/* Division as in the rules of averages and quotients: C rounds towards zero, these round down. */
#ifndef ESP_DL_COMMON_DIVIDE_H
#define ESP_DL_COMMON_DIVIDE_H

#include <stdint.h>

/* floor(a / b) for b > 0. floor(x / y + 1/2) is that of 2 * x + y and 2 * y, where these do not overflow. */
static inline int32_t esp_dl_floor(int32_t a, int32_t b)
{
    return a / b - (a % b < 0);
}

/* floor(a / b + 1/2) for b > 0 and any a. */
static inline int32_t esp_dl_divide(int32_t a, int32_t b)
{
    int32_t quotient = a / b;
    int32_t rest = a % b;
    if (rest < 0) {
        quotient--;
        rest += b;
    }
    return quotient + (rest >= b - rest);
}

#endif
