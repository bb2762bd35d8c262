/* How the I2S microphone is connected: ESP32-S3-EYE. For another board put its pins here. */
#ifndef MICROPHONE_PINS_H
#define MICROPHONE_PINS_H

#include "driver/gpio.h"

#define MICROPHONE_PINS                                                                                                \
    {                                                                                                                  \
        .mclk = I2S_GPIO_UNUSED, .bclk = GPIO_NUM_41, .ws = GPIO_NUM_42, .dout = I2S_GPIO_UNUSED, .din = GPIO_NUM_2,   \
    }
/* Microphones are quiet: speech at an arm's length has about a tenth of the full range with this. */
#define MICROPHONE_GAIN_BITS 2

#endif
