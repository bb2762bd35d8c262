/*
 * The memory of the generated model, and what it prints. Under ESP-IDF the choices are made in menuconfig, "TVM
 * model"; elsewhere the compiler's -D decides. Included by the generated C before everything else.
 *
 *   TVMGEN_DEFAULT_WORKSPACE_ATTRIBUTE  of the arena, e.g. EXT_RAM_BSS_ATTR
 *   TVMGEN_DEFAULT_PSRAM_WORKSPACE_ATTRIBUTE  of the second arena, which models have that do not fit inside
 *   TVMGEN_DEFAULT_INPUT_ATTRIBUTE      of the application's buffers for inputs
 *   TVMGEN_DEFAULT_OUTPUT_ATTRIBUTE     of those for outputs
 *   TVMGEN_DEFAULT_CALLERS_WORKSPACE    defined: no arena, and no tvmgen_default_run
 *   TVMGEN_DEFAULT_CONSTANT_ATTRIBUTE   of weights and tables, e.g. DRAM_ATTR
 *   TVMGEN_DEFAULT_CONSTANTS_MAPPED     defined: weights and tables are in constants.bin, which tvm_model_init maps
 *   TVMGEN_DEFAULT_TRACE_HEADER         a header that defines TVMGEN_DEFAULT_TRACE(index, data, size), which is called
 *                                       after every kernel
 */
#ifndef CRT_CONFIG_H
#define CRT_CONFIG_H

#ifdef ESP_PLATFORM
#include "esp_attr.h"
#include "sdkconfig.h"

#if CONFIG_TVM_MODEL_ARENA_PSRAM
#define TVMGEN_DEFAULT_WORKSPACE_ATTRIBUTE EXT_RAM_BSS_ATTR
#elif CONFIG_TVM_MODEL_ARENA_CALLER
#define TVMGEN_DEFAULT_CALLERS_WORKSPACE
#endif

#define TVMGEN_DEFAULT_PSRAM_WORKSPACE_ATTRIBUTE EXT_RAM_BSS_ATTR

#if CONFIG_TVM_MODEL_INPUTS_PSRAM
#define TVMGEN_DEFAULT_INPUT_ATTRIBUTE EXT_RAM_BSS_ATTR
#endif
#if CONFIG_TVM_MODEL_OUTPUTS_PSRAM
#define TVMGEN_DEFAULT_OUTPUT_ATTRIBUTE EXT_RAM_BSS_ATTR
#endif

#if CONFIG_TVM_MODEL_CONSTANTS_RAM
#define TVMGEN_DEFAULT_CONSTANT_ATTRIBUTE DRAM_ATTR
#elif CONFIG_TVM_MODEL_CONSTANTS_PARTITION
#define TVMGEN_DEFAULT_CONSTANTS_MAPPED
#endif

#if CONFIG_TVM_MODEL_TRACE_CHECKSUMS || CONFIG_TVM_MODEL_TRACE_TENSORS || CONFIG_TVM_MODEL_TRACE_PROFILE
#define TVMGEN_DEFAULT_TRACE_HEADER "tvmgen_default_trace.h"
#if CONFIG_TVM_MODEL_TRACE_TENSORS
#define TVMGEN_TRACE_TENSORS 1
#else
#define TVMGEN_TRACE_TENSORS 0
#endif
#if CONFIG_TVM_MODEL_TRACE_PROFILE
#define TVMGEN_TRACE_PROFILE 1
#else
#define TVMGEN_TRACE_PROFILE 0
#endif
#endif
#endif /* ESP_PLATFORM */

#ifndef TVMGEN_DEFAULT_PSRAM_WORKSPACE_ATTRIBUTE
#define TVMGEN_DEFAULT_PSRAM_WORKSPACE_ATTRIBUTE
#endif
#ifndef TVMGEN_DEFAULT_INPUT_ATTRIBUTE
#define TVMGEN_DEFAULT_INPUT_ATTRIBUTE
#endif
#ifndef TVMGEN_DEFAULT_OUTPUT_ATTRIBUTE
#define TVMGEN_DEFAULT_OUTPUT_ATTRIBUTE
#endif

#endif
