/* Sums of products of two lanes of 16 bits in one word, as packing.py of the exporter describes them. */
#ifndef ESP_DL_CONVOLUTION_LANES_H
#define ESP_DL_CONVOLUTION_LANES_H

#include "common/registers.h"

#define ESP_DL_ADD_PRODUCT(sum, a, b)                                                                                  \
    do {                                                                                                               \
        sum += (a) * (b);                                                                                              \
        ESP_DL_KEEP(sum);                                                                                              \
    } while (0)

/* Adds the lanes of a piece to the sums of words and of their high lanes. One piece's sum after the other: temporary
 * values of several would take registers from the sums. */
#define ESP_DL_SEPARATE(total, high, sum)                                                                              \
    do {                                                                                                               \
        total += sum, high += sum >> 16;                                                                               \
        ESP_DL_KEEP(total);                                                                                            \
        ESP_DL_KEEP(high);                                                                                             \
    } while (0)

#endif
