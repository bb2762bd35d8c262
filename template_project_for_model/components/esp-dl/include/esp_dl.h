/*
 * Kernels for quantized neural networks: int8 values q with the real value q * 2^e, the same bytes on every chip and
 * host. esp_dl/types.h describes what applies to all of them; each family of operators has its own header.
 */
#ifndef ESP_DL_H
#define ESP_DL_H

#include "esp_dl/types.h"

#include "esp_dl/convolution.h"
#include "esp_dl/dense.h"
#include "esp_dl/elementwise.h"
#include "esp_dl/movement.h"
#include "esp_dl/normalization.h"
#include "esp_dl/pooling.h"
#include "esp_dl/quantization.h"
#include "esp_dl/recurrent.h"
#include "esp_dl/reduction.h"
#include "esp_dl/resize.h"
#include "esp_dl/softmax.h"

#endif /* ESP_DL_H */
