/* The parts of a generated header that the example uses, for weights of 5000 bytes. */
#pragma once
#include <stdint.h>
#define TVMGEN_DEFAULT_MODEL_HASH "0011223344556677"
#define TVMGEN_DEFAULT_CONSTANTS_LAYOUT 0x12345678u
#define TVMGEN_DEFAULT_CONSTANTS_SIZE 5000u
#define TVMGEN_DEFAULT_CONSTANTS_CRC 0u
#define TVMGEN_DEFAULT_WORKSPACE_SIZE 16
#define TVMGEN_DEFAULT_SPLIT_KERNELS 0
#define TVMGEN_DEFAULT_OUTPUT_PROBABILITIES_ELEMENTS 4
extern const uint8_t *tvmgen_default_constants;
struct tvmgen_default_inputs {
    const float *image;
};
struct tvmgen_default_outputs {
    float *probabilities;
};
int32_t tvmgen_default_run(struct tvmgen_default_inputs *inputs, struct tvmgen_default_outputs *outputs);
