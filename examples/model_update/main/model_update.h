/*
 * A new model over the air: its weights alone, into the second of two partitions, on trial until they are confirmed.
 *
 * Partitions 'constants' and 'constants_2' each hold a constants.bin. NVS remembers which one is used, its version, and
 * whether the other is on trial. A trial ends with model_update_confirm(), or, after MODEL_UPDATE_TRIES starts without
 * it, with the old weights: so a model that crashes the program, or whose self-test fails, does no lasting harm.
 *
 * Functions return MODEL_UPDATE_OK or say what is wrong; nothing is logged. One task may call them.
 */
#ifndef MODEL_UPDATE_H
#define MODEL_UPDATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MODEL_UPDATE_TRIES 3

typedef enum {
    MODEL_UPDATE_OK = 0,
    MODEL_UPDATE_NOT_NEWER,   /* the version is not above that of the weights in use, or was rolled back before */
    MODEL_UPDATE_WRONG_SIZE,  /* more or fewer bytes than this program's weights have */
    MODEL_UPDATE_NOT_WEIGHTS, /* no constants.bin */
    MODEL_UPDATE_OTHER_MODEL, /* weights of another network, or of other exponents: the program must be updated too */
    MODEL_UPDATE_DAMAGED,     /* their CRC-32 is wrong */
    MODEL_UPDATE_NO_PARTITION,
    MODEL_UPDATE_FLASH, /* flash or NVS could not be written or read */
    MODEL_UPDATE_NOT_BEGUN,
} model_update_t;

/* Chooses the weights: once, after nvs_flash_init() and before tvm_model_init(). Counts the start of a trial. */
model_update_t model_update_start(void);

/* Whether the weights in use are on trial, and their version (0: as flashed). */
bool model_update_on_trial(void);
uint32_t model_update_version(void);

/* The weights on trial are good: they stay. */
model_update_t model_update_confirm(void);

/* The weights on trial are bad: restart after this; the old ones are used again, and this version is never taken again.
 */
model_update_t model_update_roll_back(void);

/* Receiving: begin, write in pieces of any length, finish. The weights in use are not touched. After finish the next
 * start tries the new ones. */
model_update_t model_update_begin(uint32_t version, size_t size);
model_update_t model_update_write(const void *data, size_t size);
model_update_t model_update_finish(void);

#endif /* MODEL_UPDATE_H */
