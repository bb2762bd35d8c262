/*
 * Numbers that the kernels and the exporter share. This is their only definition: tools/esp_tvm/kernel_limits.py reads
 * this file, so every line is a #define of a decimal number.
 */
#ifndef ESP_DL_LIMITS_H
#define ESP_DL_LIMITS_H

/* Axes: of a copy (esp_dl_copy_t), of everything else that goes through axes. */
#define ESP_DL_MAX_COPY_RANK 8
#define ESP_DL_MAX_RANK 6

/* Bits of the weights of a linear resize. */
#define ESP_DL_RESIZE_BITS 10

/* Two sums in a word (esp_dl_fast.h): the starting value of each, 2^15 - 1, so that it is never negative. */
#define ESP_DL_HALF_START 32767

/* By so many bits the kernels of esp_dl_fast.h that compare sums with the least value, shifted to the left by as many,
 * shift them to the right at most. */
#define ESP_DL_COMPARED_SHIFT 24

/* Pixels that the kernels of these names compute at a time; the limits of 3x4. */
#define ESP_DL_6X2_PIXELS 6
#define ESP_DL_3X4_PIXELS 3
#define ESP_DL_3X4_MAX_TAPS 25
#define ESP_DL_3X4_MAX_CHANNELS 64

/* 8x2: its input channels, the pixels that it copies at a time, and what is added to the shift of the first of two
 * channels whose sums fit the halves of a word. */
#define ESP_DL_8X2_INPUTS 8
#define ESP_DL_8X2_PIXELS 32
#define ESP_DL_8X2_LANES 64

/* Depthwise 3x3: what is added to the shift of a channel whose sums fit the halves of a word. */
#define ESP_DL_3X3_LANES 64

/* Of the kernels named winograd: tiles of 4x4 pixels and output channels that are computed at a time, the most input
 * channels. */
#define ESP_DL_WINOGRAD_TILES 4
#define ESP_DL_WINOGRAD_OUTPUTS 4
#define ESP_DL_WINOGRAD_MAX_CHANNELS 2304

/* Outputs of esp_dl_dense_s8_8 that are computed together at least; twice as many where there are. */
#define ESP_DL_8_OUTPUTS 8

/* The vector unit of the ESP32-S3: bytes of a vector, which are as many channels. */
#define ESP_DL_LANES 16

/* The largest magnitude in a lane of 20 bits, 2^19 - 1; on the chip, but not in emulators, also -2^19. */
#define ESP_DL_LANE_MAX 524287

/* The most different shifts in sixteen channels. */
#define ESP_DL_LANE_SHIFTS 7

/* The most bytes of a segment of windows that are gathered first. */
#define ESP_DL_MAX_GATHERED 24

/* The most bytes of a window in one segment for which there is code of its own. */
#define ESP_DL_MAX_HELD 64

/* Tensors that a layer in strips reads, at most (esp_dl_strips.h). */
#define ESP_DL_STRIP_INPUTS 4

#endif /* ESP_DL_LIMITS_H */
