/*
 * Runs the model, looks for a newer one, and takes it on trial. The network must be up before `update` is called
 * (esp_wifi, or protocol_examples_common's example_connect).
 *
 * The server has two files: `version`, a number as text, and `constants.bin` of the export with that number.
 */
#include "input_data.h"
#include "model_update.h"
#include "tvm_model.h"
#include "tvmgen_default.h"

#include "esp_http_client.h"
#include "esp_log.h"
#include "esp_system.h"
#include "freertos/FreeRTOS.h"
#include "freertos/task.h"
#include "nvs_flash.h"

#include <stdio.h>
#include <stdlib.h>

#define SERVER "http://192.168.1.2:8000/" /* https:// and .cert_pem for devices in the field */
#define TAG "app"

/* Whether new weights can be trusted: the model runs, and what it says of known input is plausible. Here: an answer
 * without NaN for the sample of the export. Put what your product must always get right here. */
static bool self_test(void)
{
    static float probabilities[TVMGEN_DEFAULT_OUTPUT_PROBABILITIES_ELEMENTS];
    struct tvmgen_default_inputs inputs = MODEL_INPUTS;
    struct tvmgen_default_outputs outputs = {.probabilities = probabilities};
    if (tvmgen_default_run(&inputs, &outputs) != 0) {
        return false;
    }
    float sum = 0;
    for (int i = 0; i < TVMGEN_DEFAULT_OUTPUT_PROBABILITIES_ELEMENTS; i++) {
        sum += probabilities[i];
    }
    return sum > 0.99f && sum < 1.01f;
}

static esp_http_client_handle_t open_file(const char *url, int64_t *length)
{
    const esp_http_client_config_t config = {.url = url, .timeout_ms = 10000};
    esp_http_client_handle_t client = esp_http_client_init(&config);
    if (client == NULL) {
        return NULL;
    }
    if (esp_http_client_open(client, 0) == ESP_OK) {
        *length = esp_http_client_fetch_headers(client);
        if (*length > 0 && esp_http_client_get_status_code(client) == 200) {
            return client;
        }
    }
    esp_http_client_cleanup(client);
    return NULL;
}

static uint32_t newest_version(void)
{
    char text[16] = "";
    int64_t length;
    esp_http_client_handle_t client = open_file(SERVER "version", &length);
    if (client == NULL) {
        return 0;
    }
    const int got = esp_http_client_read(client, text, sizeof(text) - 1);
    esp_http_client_cleanup(client);
    return got > 0 ? (uint32_t)strtoul(text, NULL, 10) : 0;
}

static model_update_t download(uint32_t version)
{
    static char piece[1024];
    int64_t length;
    esp_http_client_handle_t client = open_file(SERVER "constants.bin", &length);
    if (client == NULL) {
        return MODEL_UPDATE_WRONG_SIZE;
    }
    model_update_t status = model_update_begin(version, (size_t)length);
    int got = 1;
    while (status == MODEL_UPDATE_OK && (got = esp_http_client_read(client, piece, sizeof(piece))) > 0) {
        status = model_update_write(piece, (size_t)got);
    }
    esp_http_client_cleanup(client);
    /* A connection that broke off has left too few bytes: finish refuses them. */
    return status == MODEL_UPDATE_OK ? model_update_finish() : status;
}

static void update(void)
{
    const uint32_t version = newest_version();
    if (version <= model_update_version()) {
        return;
    }
    const model_update_t status = download(version);
    if (status == MODEL_UPDATE_OK) {
        ESP_LOGI(TAG, "model %u is here; restarting to try it", (unsigned)version);
        esp_restart();
    }
    ESP_LOGE(TAG, "model %u was not taken: %d (model_update.h)", (unsigned)version, (int)status);
}

void app_main(void)
{
    if (nvs_flash_init() != ESP_OK || model_update_start() != MODEL_UPDATE_OK) {
        ESP_LOGE(TAG, "NVS cannot be read; erase it: the weights that were flashed are used then");
    }
    if (tvm_model_init() != 0 || !self_test()) {
        if (model_update_on_trial() && model_update_roll_back() == MODEL_UPDATE_OK) {
            ESP_LOGE(TAG, "model %u fails; back to the one before", (unsigned)model_update_version());
            esp_restart();
        }
        ESP_LOGE(TAG, "no model");
        return;
    }
    model_update_confirm();
    ESP_LOGI(TAG, "model %u runs", (unsigned)model_update_version());
    for (;;) {
        update();
        vTaskDelay(pdMS_TO_TICKS(60 * 60 * 1000));
    }
}
