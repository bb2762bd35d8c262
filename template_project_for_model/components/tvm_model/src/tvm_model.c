#include "tvm_model.h"

#include "crt_config.h"
#include "esp_dl_cores.h"
#include "tvmgen_default.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#ifdef ESP_PLATFORM
#define LOG_LOCAL_LEVEL CONFIG_TVM_MODEL_LOG_LEVEL
#include "esp_log.h"
#define TAG "tvm_model"
#define LOG_ERROR(format, ...) ESP_LOGE(TAG, format, __VA_ARGS__)
#define LOG_INFO(format, ...) ESP_LOGI(TAG, format, __VA_ARGS__)
#define LOG_DEBUG(format, ...) ESP_LOGD(TAG, format, __VA_ARGS__)
#else
#define LOG_ERROR(format, ...) fprintf(stderr, "tvm_model: " format "\n", __VA_ARGS__)
#define LOG_INFO(format, ...) ((void)0)
#define LOG_DEBUG(format, ...) ((void)0)
#endif

/* The memory of the arena and of the constant data, for messages. */
#if defined(TVMGEN_DEFAULT_CALLERS_WORKSPACE)
#define ARENA_PLACE "the application's memory"
#elif CONFIG_TVM_MODEL_ARENA_PSRAM
#define ARENA_PLACE "PSRAM"
#else
#define ARENA_PLACE "internal RAM"
#endif
#if defined(TVMGEN_DEFAULT_CONSTANTS_MAPPED)
#define CONSTANTS_PLACE "a partition of their own"
#elif CONFIG_TVM_MODEL_CONSTANTS_RAM
#define CONSTANTS_PLACE "internal RAM"
#elif CONFIG_SPIRAM_RODATA
#define CONSTANTS_PLACE "PSRAM"
#else
#define CONSTANTS_PLACE "flash"
#endif

#if defined(TVMGEN_DEFAULT_CONSTANTS_MAPPED) && TVMGEN_DEFAULT_CONSTANTS_SIZE > 0

#ifdef TVM_MODEL_CONSTANTS_FILE
#define SOURCE TVM_MODEL_CONSTANTS_FILE
#define WRITE_THEM "export the model again"
#else
#include "esp_partition.h"
#define PARTITION "constants"
#define SOURCE "partition '" PARTITION "'"
#define WRITE_THEM "write them with `idf.py " PARTITION "-flash`"

__attribute__((weak)) const char *tvm_model_partition(void)
{
    return PARTITION;
}
#endif

/* The header of constants.bin; little-endian, as all chips of the family are. */
typedef struct {
    char magic[8];
    uint32_t version;
    uint32_t layout; /* identifies the layout that the program expects */
    uint32_t size;   /* bytes after this header */
    uint32_t crc;    /* CRC-32 of these bytes */
    uint8_t model[8];
} header_t;

_Static_assert(sizeof(header_t) == 32, "what follows the header is aligned to 16");

#define FILE_SIZE (sizeof(header_t) + TVMGEN_DEFAULT_CONSTANTS_SIZE)

extern const uint8_t *tvmgen_default_constants;

/* CRC-32 as in zlib. */
static uint32_t crc32(const uint8_t *data, size_t size)
{
    static const uint32_t table[16] = {
        0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
        0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c, 0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
    };
    uint32_t crc = 0xffffffff;
    for (size_t i = 0; i < size; i++) {
        crc = (crc >> 4) ^ table[(crc ^ data[i]) & 15];
        crc = (crc >> 4) ^ table[(crc ^ (uint32_t)(data[i] >> 4)) & 15];
    }
    return ~crc;
}

/* Whether the weights at `header` belong to this program; otherwise logs why not. */
static int32_t check(const header_t *header)
{
    char model[2 * sizeof(header->model) + 1];
    for (size_t i = 0; i < sizeof(header->model); i++) {
        snprintf(model + 2 * i, 3, "%02x", header->model[i]);
    }
    if (memcmp(header->magic, "TVMCONST", sizeof(header->magic)) != 0 || header->version != 1) {
        LOG_ERROR("%s holds no weights; %s", SOURCE, WRITE_THEM);
        return -1;
    }
    if (header->layout != TVMGEN_DEFAULT_CONSTANTS_LAYOUT || header->size != TVMGEN_DEFAULT_CONSTANTS_SIZE) {
        LOG_ERROR("%s holds the weights of model %s, which this program (of model %s) cannot use; %s", SOURCE, model,
                  TVMGEN_DEFAULT_MODEL_HASH, WRITE_THEM);
        return -1;
    }
    const uint32_t crc = crc32((const uint8_t *)(header + 1), header->size);
    if (crc != header->crc) {
        LOG_ERROR("the weights in %s are damaged (CRC-32 %08" PRIx32 ", must be %08" PRIx32 "); %s", SOURCE, crc,
                  header->crc, WRITE_THEM);
        return -1;
    }
#if !CONFIG_TVM_MODEL_CONSTANTS_OTHER_MODELS
    if (crc != TVMGEN_DEFAULT_CONSTANTS_CRC) {
        LOG_ERROR("%s holds the weights of model %s, this program is of model %s; %s", SOURCE, model,
                  TVMGEN_DEFAULT_MODEL_HASH, WRITE_THEM);
        return -1;
    }
#endif
    LOG_DEBUG("%s holds the weights of model %s at %p", SOURCE, model, (const void *)(header + 1));
    return 0;
}

#ifdef TVM_MODEL_CONSTANTS_FILE
/* On a computer the file replaces the partition. */
static int32_t map_constants(void)
{
    static _Alignas(16) uint8_t content[FILE_SIZE];
    FILE *file = fopen(TVM_MODEL_CONSTANTS_FILE, "rb");
    const size_t size = file == NULL ? 0 : fread(content, 1, sizeof(content), file);
    if (file != NULL) {
        fclose(file);
    }
    if (size < sizeof(header_t)) {
        LOG_ERROR("%s is not there or holds no weights; %s", SOURCE, WRITE_THEM);
        return -1;
    }
    if (check((const header_t *)content) != 0) {
        return -1;
    }
    tvmgen_default_constants = content + sizeof(header_t);
    return 0;
}
#else
static int32_t map_constants(void)
{
    const char *label = tvm_model_partition();
    const esp_partition_t *partition =
        esp_partition_find_first(ESP_PARTITION_TYPE_DATA, ESP_PARTITION_SUBTYPE_ANY, label);
    if (partition == NULL || partition->size < FILE_SIZE) {
        LOG_ERROR("the partition table has no data partition '%s' of %u bytes; take the partitions.csv of the export",
                  label, (unsigned)FILE_SIZE);
        return -1;
    }
    const void *mapped;
    esp_partition_mmap_handle_t handle;
    const esp_err_t error = esp_partition_mmap(partition, 0, FILE_SIZE, ESP_PARTITION_MMAP_DATA, &mapped, &handle);
    if (error != ESP_OK) {
        LOG_ERROR("%s cannot be mapped: %s", SOURCE, esp_err_to_name(error));
        return -1;
    }
    if (check(mapped) != 0) {
        esp_partition_munmap(handle);
        return -1;
    }
    tvmgen_default_constants = (const uint8_t *)mapped + sizeof(header_t);
    return 0;
}
#endif
#endif

int32_t tvm_model_init(void)
{
#ifdef ESP_PLATFORM
    esp_log_level_set(TAG, CONFIG_TVM_MODEL_LOG_LEVEL);
#endif
#if defined(TVMGEN_DEFAULT_CONSTANTS_MAPPED) && TVMGEN_DEFAULT_CONSTANTS_SIZE > 0
    if (tvmgen_default_constants == NULL && map_constants() != 0) {
        return -1;
    }
#endif
    LOG_INFO("model %s: arena of %d bytes in %s, weights of %u bytes in %s", TVMGEN_DEFAULT_MODEL_HASH,
             TVMGEN_DEFAULT_WORKSPACE_SIZE, ARENA_PLACE, TVMGEN_DEFAULT_CONSTANTS_SIZE, CONSTANTS_PLACE);
#ifdef TVMGEN_DEFAULT_PSRAM_WORKSPACE_SIZE
    LOG_INFO("second arena of %d bytes in PSRAM", TVMGEN_DEFAULT_PSRAM_WORKSPACE_SIZE);
#endif
#if TVMGEN_DEFAULT_SPLIT_KERNELS > 0
    LOG_INFO("%d kernels are computed on both cores", TVMGEN_DEFAULT_SPLIT_KERNELS);
    esp_dl_start_cores();
#endif
    return 0;
}
