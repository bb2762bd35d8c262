/* Rows of convolutions as in conv2d_row_s16_esp32s3.S, with what is added to their sums. */
#define ESP_DL_ADDED 1
#include "convolution/conv2d_row_s16_esp32s3.S"
