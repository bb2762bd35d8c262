/*
 * The function that an application calls once before it runs the model. The model itself: tvmgen_default.h.
 */
#ifndef TVM_MODEL_H
#define TVM_MODEL_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Prepares the model. Weights in a data partition (menuconfig, "TVM model") are mapped and checked: their size, their
 * CRC-32 and whether they belong to this program. If the weights are part of the program there is nothing to do. A
 * model for two cores starts its task on the other core: call this function in the task that will run the model, pinned
 * to its core. Returns 0, or -1 after a line in the log that says what is wrong; then the model must not be run.
 */
int32_t tvm_model_init(void);

/*
 * The label of the partition that tvm_model_init maps the weights from: 'constants', unless the application defines a
 * function of this name (to have two sets of weights and choose one of them, see examples/model_update). Called only
 * if the weights are in a partition.
 */
const char *tvm_model_partition(void);

#ifdef __cplusplus
}
#endif

#endif /* TVM_MODEL_H */
