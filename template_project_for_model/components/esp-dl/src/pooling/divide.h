/* The division of averages. */
#ifndef ESP_DL_POOLING_DIVIDE_H
#define ESP_DL_POOLING_DIVIDE_H

#include <stdint.h>

/* floor(a / b + 1/2) for b > 0, without the overflow that adding b / 2 could bring. */
static inline int32_t esp_dl_divide(int32_t a, int32_t b)
{
    int32_t quotient = a / b;
    int32_t rest = a % b;
    if (rest < 0) { /* C rounds towards zero */
        quotient--;
        rest += b;
    }
    return quotient + (2 * rest >= b);
}

#endif
