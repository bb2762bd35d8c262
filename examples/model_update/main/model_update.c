#include "model_update.h"

#include "esp_partition.h"
#include "esp_rom_crc.h"
#include "nvs.h"
#include "tvm_model.h"
#include "tvmgen_default.h"

#include <string.h>

#define SECTOR 4096
#define NAMESPACE "model_update"
#define KEY "state"

/* The header of constants.bin (docs/metadata.md); the data follows it. */
typedef struct {
    char magic[8];
    uint32_t format;
    uint32_t layout;
    uint32_t size;
    uint32_t crc;
    uint8_t model[8];
} header_t;

#define FILE_SIZE (sizeof(header_t) + TVMGEN_DEFAULT_CONSTANTS_SIZE)

/* What is remembered. slot: of the confirmed weights. trial: the other slot is to be tried. */
typedef struct {
    uint8_t slot;
    uint8_t trial;
    uint8_t starts; /* of the trial */
    uint8_t unused;
    uint32_t version[2];
    uint32_t refused; /* the highest version that was rolled back */
} state_t;

static const char *const LABELS[2] = {"constants", "constants_2"};
static state_t state;
static uint8_t used; /* the slot of this start */

/* Receiving. */
static const esp_partition_t *target;
static uint32_t new_version;
static size_t expected, received;

const char *tvm_model_partition(void)
{
    return LABELS[used];
}

static model_update_t load(void)
{
    memset(&state, 0, sizeof(state));
    nvs_handle_t nvs;
    esp_err_t error = nvs_open(NAMESPACE, NVS_READWRITE, &nvs);
    if (error != ESP_OK) {
        return MODEL_UPDATE_FLASH;
    }
    size_t size = sizeof(state);
    error = nvs_get_blob(nvs, KEY, &state, &size);
    nvs_close(nvs);
    if (error == ESP_ERR_NVS_NOT_FOUND || (error == ESP_OK && (size != sizeof(state) || state.slot > 1))) {
        /* The first start, or a state that another program wrote: the weights that were flashed. */
        memset(&state, 0, sizeof(state));
        return MODEL_UPDATE_OK;
    }
    return error == ESP_OK ? MODEL_UPDATE_OK : MODEL_UPDATE_FLASH;
}

static model_update_t save(void)
{
    nvs_handle_t nvs;
    if (nvs_open(NAMESPACE, NVS_READWRITE, &nvs) != ESP_OK) {
        return MODEL_UPDATE_FLASH;
    }
    esp_err_t error = nvs_set_blob(nvs, KEY, &state, sizeof(state));
    if (error == ESP_OK) {
        error = nvs_commit(nvs);
    }
    nvs_close(nvs);
    return error == ESP_OK ? MODEL_UPDATE_OK : MODEL_UPDATE_FLASH;
}

model_update_t model_update_start(void)
{
    used = 0;
    target = NULL;
    const model_update_t status = load();
    if (status != MODEL_UPDATE_OK) {
        return status;
    }
    used = state.slot;
    if (!state.trial) {
        return MODEL_UPDATE_OK;
    }
    if (state.starts >= MODEL_UPDATE_TRIES) {
        return model_update_roll_back();
    }
    /* Counted before the weights are used: a crash counts too. */
    state.starts++;
    const model_update_t saved = save();
    if (saved == MODEL_UPDATE_OK) {
        used = !state.slot;
    }
    return saved;
}

bool model_update_on_trial(void)
{
    return used != state.slot;
}

uint32_t model_update_version(void)
{
    return state.version[used];
}

model_update_t model_update_confirm(void)
{
    if (!model_update_on_trial()) {
        return MODEL_UPDATE_OK;
    }
    state.slot = used;
    state.trial = state.starts = 0;
    return save();
}

model_update_t model_update_roll_back(void)
{
    if (!state.trial) {
        return MODEL_UPDATE_OK;
    }
    const uint32_t version = state.version[!state.slot];
    state.refused = version > state.refused ? version : state.refused;
    state.trial = state.starts = 0;
    return save();
}

model_update_t model_update_begin(uint32_t version, size_t size)
{
    target = NULL;
    if (model_update_on_trial()) {
        /* The other slot holds the weights to go back to. */
        return MODEL_UPDATE_NOT_NEWER;
    }
    if (version <= state.version[state.slot] || version <= state.refused) {
        return MODEL_UPDATE_NOT_NEWER;
    }
    if (size != FILE_SIZE) {
        return MODEL_UPDATE_WRONG_SIZE;
    }
    const esp_partition_t *partition =
        esp_partition_find_first(ESP_PARTITION_TYPE_DATA, ESP_PARTITION_SUBTYPE_ANY, LABELS[!state.slot]);
    if (partition == NULL || partition->size < size) {
        return MODEL_UPDATE_NO_PARTITION;
    }
    /* From here on what lies there is no model: a trial that was not started yet is given up. */
    state.trial = state.starts = 0;
    if (save() != MODEL_UPDATE_OK ||
        esp_partition_erase_range(partition, 0, (size + SECTOR - 1) / SECTOR * SECTOR) != ESP_OK) {
        return MODEL_UPDATE_FLASH;
    }
    target = partition;
    new_version = version;
    expected = size;
    received = 0;
    return MODEL_UPDATE_OK;
}

model_update_t model_update_write(const void *data, size_t size)
{
    if (target == NULL) {
        return MODEL_UPDATE_NOT_BEGUN;
    }
    if (size > expected - received) {
        target = NULL;
        return MODEL_UPDATE_WRONG_SIZE;
    }
    if (esp_partition_write(target, received, data, size) != ESP_OK) {
        target = NULL;
        return MODEL_UPDATE_FLASH;
    }
    received += size;
    return MODEL_UPDATE_OK;
}

/* Reads back what was written. */
static model_update_t check(const esp_partition_t *partition)
{
    header_t header;
    if (esp_partition_read(partition, 0, &header, sizeof(header)) != ESP_OK) {
        return MODEL_UPDATE_FLASH;
    }
    if (memcmp(header.magic, "TVMCONST", sizeof(header.magic)) != 0 || header.format != 1) {
        return MODEL_UPDATE_NOT_WEIGHTS;
    }
    if (header.layout != TVMGEN_DEFAULT_CONSTANTS_LAYOUT || header.size != TVMGEN_DEFAULT_CONSTANTS_SIZE) {
        return MODEL_UPDATE_OTHER_MODEL;
    }
    static uint8_t piece[512];
    uint32_t crc = 0;
    for (size_t at = sizeof(header); at < FILE_SIZE;) {
        const size_t size = FILE_SIZE - at < sizeof(piece) ? FILE_SIZE - at : sizeof(piece);
        if (esp_partition_read(partition, at, piece, size) != ESP_OK) {
            return MODEL_UPDATE_FLASH;
        }
        crc = esp_rom_crc32_le(crc, piece, size);
        at += size;
    }
    return crc == header.crc ? MODEL_UPDATE_OK : MODEL_UPDATE_DAMAGED;
}

model_update_t model_update_finish(void)
{
    const esp_partition_t *partition = target;
    target = NULL;
    if (partition == NULL) {
        return MODEL_UPDATE_NOT_BEGUN;
    }
    if (received != expected) {
        return MODEL_UPDATE_WRONG_SIZE;
    }
    const model_update_t status = check(partition);
    if (status != MODEL_UPDATE_OK) {
        return status;
    }
    state.version[!state.slot] = new_version;
    state.trial = 1;
    state.starts = 0;
    return save();
}
