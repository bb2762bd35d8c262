/*
 * A board for examples/model_update: flash and NVS are files in the current folder, the network is the folder `server`,
 * restarting ends the process (status 3). The "model" answers with its first weight: 0 to 4 quarters of a probability,
 * 99 crashes (status 4).
 *
 *   board        runs app_main once: until it waits (status 0), restarts or crashes
 */
#include "esp_http_client.h"
#include "esp_log.h"
#include "esp_partition.h"
#include "esp_rom_crc.h"
#include "esp_system.h"
#include "freertos/FreeRTOS.h"
#include "freertos/task.h"
#include "model_update.h"
#include "nvs.h"
#include "nvs_flash.h"
#include "tvmgen_default.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PARTITION_SIZE 8192
#define ESP_FAIL -1

const uint8_t *tvmgen_default_constants;
static const esp_partition_t partitions[2] = {{PARTITION_SIZE, "constants"}, {PARTITION_SIZE, "constants_2"}};

int32_t tvmgen_default_run(struct tvmgen_default_inputs *inputs, struct tvmgen_default_outputs *outputs)
{
    const uint8_t weight = tvmgen_default_constants[0];
    if (weight == 99) {
        exit(4);
    }
    for (int i = 0; i < 4; i++) {
        outputs->probabilities[i] = (float)weight / 16 * (inputs->image[0] == 1.0f);
    }
    return 0;
}

/* --- flash: bits are only ever cleared by writing, as on a chip --- */

static FILE *open_partition(const esp_partition_t *partition, size_t offset, const char *mode)
{
    FILE *file = fopen(partition->label, mode);
    if (file == NULL || fseek(file, (long)offset, SEEK_SET) != 0) {
        abort();
    }
    return file;
}

const esp_partition_t *esp_partition_find_first(esp_partition_type_t type, esp_partition_subtype_t subtype,
                                                const char *label)
{
    for (int i = 0; i < 2; i++) {
        if (type == ESP_PARTITION_TYPE_DATA && subtype == ESP_PARTITION_SUBTYPE_ANY &&
            strcmp(label, partitions[i].label) == 0) {
            return &partitions[i];
        }
    }
    return NULL;
}

esp_err_t esp_partition_read(const esp_partition_t *partition, size_t offset, void *to, size_t size)
{
    FILE *file = open_partition(partition, offset, "rb");
    const size_t got = fread(to, 1, size, file);
    fclose(file);
    return got == size ? ESP_OK : ESP_FAIL;
}

esp_err_t esp_partition_write(const esp_partition_t *partition, size_t offset, const void *from, size_t size)
{
    uint8_t bytes[PARTITION_SIZE];
    if (offset + size > partition->size || esp_partition_read(partition, offset, bytes, size) != ESP_OK) {
        return ESP_FAIL;
    }
    for (size_t i = 0; i < size; i++) {
        bytes[i] &= ((const uint8_t *)from)[i];
    }
    FILE *file = open_partition(partition, offset, "r+b");
    fwrite(bytes, 1, size, file);
    fclose(file);
    return ESP_OK;
}

esp_err_t esp_partition_erase_range(const esp_partition_t *partition, size_t offset, size_t size)
{
    if (offset % 4096 != 0 || size % 4096 != 0 || offset + size > partition->size) {
        return ESP_FAIL;
    }
    FILE *file = open_partition(partition, offset, "r+b");
    for (size_t i = 0; i < size; i++) {
        fputc(0xff, file);
    }
    fclose(file);
    return ESP_OK;
}

esp_err_t esp_partition_mmap(const esp_partition_t *partition, size_t offset, size_t size,
                             esp_partition_mmap_memory_t memory, const void **out_ptr,
                             esp_partition_mmap_handle_t *out_handle)
{
    static _Alignas(16) uint8_t mapped[PARTITION_SIZE];
    (void)memory;
    *out_ptr = mapped;
    *out_handle = 1;
    return esp_partition_read(partition, offset, mapped, size);
}

void esp_partition_munmap(esp_partition_mmap_handle_t handle)
{
    (void)handle;
}

uint32_t esp_rom_crc32_le(uint32_t crc, const uint8_t *data, uint32_t size)
{
    crc = ~crc;
    for (uint32_t i = 0; i < size; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
        }
    }
    return ~crc;
}

/* --- NVS: one blob --- */

static uint8_t blob[64];
static size_t blob_size;

esp_err_t nvs_flash_init(void)
{
    return ESP_OK;
}

esp_err_t nvs_open(const char *name, nvs_open_mode_t mode, nvs_handle_t *handle)
{
    (void)name, (void)mode;
    *handle = 1;
    return ESP_OK;
}

esp_err_t nvs_get_blob(nvs_handle_t handle, const char *key, void *value, size_t *length)
{
    (void)handle, (void)key;
    FILE *file = fopen("nvs", "rb");
    if (file == NULL) {
        return ESP_ERR_NVS_NOT_FOUND;
    }
    *length = fread(value, 1, *length, file);
    fclose(file);
    return ESP_OK;
}

esp_err_t nvs_set_blob(nvs_handle_t handle, const char *key, const void *value, size_t length)
{
    (void)handle, (void)key;
    if (length > sizeof(blob)) {
        return ESP_FAIL;
    }
    memcpy(blob, value, length);
    blob_size = length;
    return ESP_OK;
}

esp_err_t nvs_commit(nvs_handle_t handle)
{
    (void)handle;
    FILE *file = fopen("nvs", "wb");
    fwrite(blob, 1, blob_size, file);
    fclose(file);
    return ESP_OK;
}

void nvs_close(nvs_handle_t handle)
{
    (void)handle;
}

/* --- the network --- */

struct esp_http_client {
    FILE *file;
    long size;
};

esp_http_client_handle_t esp_http_client_init(const esp_http_client_config_t *config)
{
    static struct esp_http_client client;
    char path[64];
    snprintf(path, sizeof(path), "server/%s", strrchr(config->url, '/') + 1);
    client.file = fopen(path, "rb");
    return &client;
}

esp_err_t esp_http_client_open(esp_http_client_handle_t client, int write_len)
{
    (void)write_len;
    return client->file != NULL ? ESP_OK : ESP_FAIL;
}

int64_t esp_http_client_fetch_headers(esp_http_client_handle_t client)
{
    fseek(client->file, 0, SEEK_END);
    client->size = ftell(client->file);
    rewind(client->file);
    /* The file `break` stands for a connection that breaks off: as long as promised, but half of it comes. */
    FILE *broken = fopen("server/break", "rb");
    const long promised = client->size;
    if (broken != NULL && client->size > 100) {
        client->size /= 2;
    }
    if (broken != NULL) {
        fclose(broken);
    }
    return promised;
}

int esp_http_client_get_status_code(esp_http_client_handle_t client)
{
    (void)client;
    return 200;
}

int esp_http_client_read(esp_http_client_handle_t client, char *buffer, int len)
{
    const long left = client->size - ftell(client->file);
    return (int)fread(buffer, 1, (size_t)(left < len ? left : len), client->file);
}

esp_err_t esp_http_client_cleanup(esp_http_client_handle_t client)
{
    if (client->file != NULL) {
        fclose(client->file);
    }
    return ESP_OK;
}

/* --- the rest --- */

void esp_restart(void)
{
    exit(3);
}

void vTaskDelay(TickType_t ticks)
{
    (void)ticks;
    exit(0);
}

esp_log_level_t stub_log_level = ESP_LOG_DEBUG;

const char *esp_err_to_name(esp_err_t error)
{
    return error == ESP_OK ? "ESP_OK" : "ESP_FAIL";
}

void esp_log_level_set(const char *tag, esp_log_level_t level)
{
    (void)tag, (void)level;
}

void app_main(void);

int main(void)
{
    app_main();
    return 1;
}
