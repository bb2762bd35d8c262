/* Where the generated model keeps its memory, and what it calls after each kernel. */
#ifndef CRT_CONFIG_H
#define CRT_CONFIG_H

/* The arena, e.g. EXT_RAM_BSS_ATTR (esp_attr.h) to put it in PSRAM:
 *   #define TVMGEN_DEFAULT_WORKSPACE_ATTRIBUTE EXT_RAM_BSS_ATTR
 * The constants, e.g. DRAM_ATTR to copy them to internal RAM:
 *   #define TVMGEN_DEFAULT_CONSTANT_ATTRIBUTE DRAM_ATTR
 * A function of your own after each kernel:
 *   #define TVMGEN_DEFAULT_TRACE(index, data, size) my_trace(index, data, size)
 */

#endif
