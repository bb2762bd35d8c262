/*
 * Numbers that the kernels and the exporter share. They stand here alone: tools/esp_tvm/kernel_limits.py reads them, so
 * a line is a #define of a decimal number.
 */
#ifndef ESP_DL_LIMITS_H
#define ESP_DL_LIMITS_H

/* Axes: of a copy (esp_dl_copy_t), of everything else that goes through axes. */
#define ESP_DL_MAX_COPY_RANK 8
#define ESP_DL_MAX_RANK 6

/* Bits of the weights of a linear resize. */
#define ESP_DL_RESIZE_BITS 10

/* Two sums in a word (esp_dl_fast.h): what each starts with, 2^15 - 1, so that it is never negative. */
#define ESP_DL_HALF_START 32767

/* Pixels at a time of the kernels of these names; what 3x4 takes at most. */
#define ESP_DL_6X2_PIXELS 6
#define ESP_DL_3X4_PIXELS 3
#define ESP_DL_3X4_MAX_TAPS 25
#define ESP_DL_3X4_MAX_CHANNELS 64

/* Outputs at a time of esp_dl_dense_s8_8. */
#define ESP_DL_8_OUTPUTS 8

/* The vector unit of the ESP32-S3: bytes of a vector, which are as many channels. */
#define ESP_DL_LANES 16

/* What a lane of 20 bits holds to both sides, 2^19 - 1; the chip one more below, emulators not. */
#define ESP_DL_LANE_MAX 524287

/* The most different shifts in sixteen channels. */
#define ESP_DL_LANE_SHIFTS 7

/* Bytes of a segment of windows that are put together, at most. */
#define ESP_DL_MAX_GATHERED 24

/* Tensors that a layer in strips reads, at most (esp_dl_strips.h). */
#define ESP_DL_STRIP_INPUTS 4

#endif /* ESP_DL_LIMITS_H */
