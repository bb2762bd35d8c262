/*
 * Convolution by the MAC16 unit of the ESP32: the same bytes as the plain kernel of esp_dl.h.
 *
 * On the ESP32 the inner loops are assembly (src/convolution/mac16_esp32.S); elsewhere C computes the same from the
 * same data, so that a project for the ESP32 also runs on a computer. Which layers it computes, and the data for it, is
 * decided at export: tools/esp_tvm/compile/kernels/mac16.py.
 */
#ifndef ESP_DL_ESP32_H
#define ESP_DL_ESP32_H

#include "esp_dl.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * groups = 1, dilation_w = 1, shifts of 0 to 23. The exporter has proved that the sum of all products and the bias is
 * within -2^23..2^23 - 1 for every pixel.
 *
 * A few rows of the image are widened to 16 bits, with their borders, then, unless they are stored so, the weights of
 * one output channel after the other, which computes its pixels of all these rows.
 *
 * weights: for every output channel, for every row of the window, its kernel_w * input.c weights (where input.c and
 * stride_w are odd, a zero behind those of every tap), made a multiple of 4 by zeros.
 * - int8: the channel's weights together are made a multiple of 8. Unless input.c is a multiple of 4, every four of
 * them are in the order 0, 2, 1, 3.
 * - wide: int16, times 256, behind each channel's the first two again. If input.c is a multiple of 4, every four of
 * them are in the order 0, 2, 1, 3. bias: less 128 times the sum of the channel's weights. The output may overlap the
 * input as with the kernels of esp_dl_fast.h.
 */
typedef struct {
    esp_dl_shape_t input;
    esp_dl_shape_t output;
    esp_dl_window_t window;
    int32_t rows; /* of the output, that are computed together: 1..output.h */
    bool wide;
    const void *weights; /* int8_t or, wide, int16_t; at a multiple of 4 */
    const int32_t *bias;
    const int8_t *shift; /* right shift per output channel */
    int8_t min, max;     /* clamp */
    int8_t pad_value;    /* what taps outside the image read */
} esp_dl_conv2d_esp32_t;

/* scratch: at a multiple of 4. */
void esp_dl_conv2d_s8_esp32(const int8_t *input, const esp_dl_conv2d_esp32_t *p, void *scratch, int8_t *output);

/* With an addend, as esp_dl_conv2d_add_s8: the sums with it are within the same bounds. In place: the output may be the
 * addend. */
typedef struct {
    esp_dl_conv2d_esp32_t conv2d;
    const int8_t *addend_shift; /* left shift per output channel */
} esp_dl_conv2d_esp32_add_t;

void esp_dl_conv2d_add_s8_esp32(const int8_t *input, const int8_t *addend, const esp_dl_conv2d_esp32_add_t *p,
                                void *scratch, int8_t *output);

/* Bytes of scratch memory that they need. */
int32_t esp_dl_conv2d_s8_esp32_scratch(const esp_dl_conv2d_esp32_t *p);
int32_t esp_dl_conv2d_add_s8_esp32_scratch(const esp_dl_conv2d_esp32_add_t *p);

/*
 * Depthwise convolution: one filter per channel, windows of 3x3, dilation 1, stride_w 1 or 2, shifts of 0 to 31.
 *
 * Of some rows of the image one channel at a time is widened to 16 bits, with its borders.
 *
 * weights: [channels][3][3]; bias: less 128 times the sum of the channel's weights. The output may overlap the input as
 * with the kernels of esp_dl_fast.h.
 */
typedef struct {
    esp_dl_shape_t input;
    esp_dl_shape_t output;
    esp_dl_window_t window;
    int32_t rows; /* of the output, that are computed together: 1..output.h */
    const int8_t *weights;
    const int32_t *bias;
    const int8_t *shift; /* right shift per channel */
    int8_t min, max;     /* clamp */
    int8_t pad_value;    /* what taps outside the image read */
} esp_dl_depthwise_conv2d_esp32_t;

/* scratch: at a multiple of 4. */
void esp_dl_depthwise_conv2d_s8_esp32(const int8_t *input, const esp_dl_depthwise_conv2d_esp32_t *p, void *scratch,
                                      int8_t *output);

/* Bytes of scratch memory that it needs. */
int32_t esp_dl_depthwise_conv2d_s8_esp32_scratch(const esp_dl_depthwise_conv2d_esp32_t *p);

#ifdef __cplusplus
}
#endif

#endif /* ESP_DL_ESP32_H */
