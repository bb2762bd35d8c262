/*
 * Sound -> features -> model -> a line for every keyword that is heard, for ever.
 *
 * On a board: an I2S microphone gives 16-bit samples at 16 kHz; microphone_pins.h, which
 * the export writes for the board, says how it is connected.
 * Elsewhere (host/): raw int16 samples come from stdin.
 */
#include "audio_features.h"
#include "input_data.h"
#include "labels.h"
#include "platform.h"
#include "tvm_model.h"
#include "tvmgen_default.h"

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define CLASSES TVMGEN_DEFAULT_OUTPUT_PROBABILITIES_ELEMENTS
/* Label 0 is "other": noise and words that are no keywords. */
#define OTHER 0
/* The model looks at the last second after every EVERY frames; the mean of its last ANSWERS answers counts. */
#define EVERY 4
#define ANSWERS 4
/* A keyword is heard above this mean, in percent, and the next one after this many frames at the earliest. */
#define THRESHOLD 75
#define PAUSE 40

_Static_assert(sizeof(input_buffer) == FEATURES_INPUT_SIZE, "audio_features.c was made for another model");
_Static_assert(CLASSES == LABELS_COUNT, "as many labels as classes");

typedef struct {
    features_t features;
    int8_t answers[ANSWERS][CLASSES]; /* in percent */
    int32_t next;
    int32_t pause;
    uint32_t frames;
} listener_t;

/* Runs the model on the last second. Returns the keyword that is heard, -1 for none, -2 when the model failed. */
static int32_t ask_model(listener_t *listener)
{
    static float probabilities[CLASSES];
    struct tvmgen_default_inputs inputs = MODEL_INPUT_BUFFERS;
    struct tvmgen_default_outputs outputs = {.probabilities = probabilities};
    features_input(&listener->features, input_buffer);
    if (tvmgen_default_run(&inputs, &outputs) != 0) {
        return -2;
    }
    for (int32_t c = 0; c < CLASSES; c++) {
        listener->answers[listener->next][c] = (int8_t)(probabilities[c] * 100.0f);
    }
    listener->next = (listener->next + 1) % ANSWERS;
    for (int32_t c = 0; c < CLASSES; c++) {
        int32_t sum = 0;
        for (int32_t i = 0; i < ANSWERS; i++) {
            sum += listener->answers[i][c];
        }
        if (c != OTHER && sum >= THRESHOLD * ANSWERS) {
            return c;
        }
    }
    return -1;
}

/* Takes samples as they come, any number; prints what is heard. Returns 0, or -1 when the model failed. */
static int32_t listen(listener_t *listener, const int16_t *samples, size_t count)
{
    while (count > 0) {
        bool frame;
        const size_t taken = features_push(&listener->features, samples, count, &frame);
        samples += taken;
        count -= taken;
        if (!frame) {
            continue;
        }
        listener->frames++;
        listener->pause -= listener->pause > 0;
        if (!features_ready(&listener->features) || listener->frames % EVERY != 0) {
            continue;
        }
        const int32_t heard = ask_model(listener);
        if (heard == -2) {
            return -1;
        }
        if (heard >= 0 && listener->pause == 0) {
            const uint64_t time = (uint64_t)listener->frames * FEATURES_HOP * 100 / FEATURES_SAMPLE_RATE;
            printf("%" PRIu64 ".%02" PRIu64 " s: %s\n", time / 100, time % 100, labels[heard]);
            listener->pause = PAUSE;
        }
    }
    return 0;
}

static listener_t listener;

#if defined(ESP_PLATFORM) && !CONFIG_IDF_TARGET_LINUX
#include "driver/i2s_std.h"
#include "microphone_pins.h"

/* Microphones are quiet: speech at an arm's length has about a tenth of the full range with this. */
#define MICROPHONE_GAIN_BITS 2

/* I2S microphones send 24 bits in 32; the upper 16 count, MICROPHONE_GAIN_BITS louder. */
static int16_t to_sample(int32_t word)
{
    const int32_t v = word >> (16 - MICROPHONE_GAIN_BITS);
    return (int16_t)(v < -32768 ? -32768 : v > 32767 ? 32767 : v);
}

static esp_err_t start_microphone(i2s_chan_handle_t *channel)
{
    const i2s_chan_config_t channel_config = I2S_CHANNEL_DEFAULT_CONFIG(I2S_NUM_AUTO, I2S_ROLE_MASTER);
    const i2s_std_config_t config = {
        .clk_cfg = I2S_STD_CLK_DEFAULT_CONFIG(FEATURES_SAMPLE_RATE),
        .slot_cfg = I2S_STD_PHILIPS_SLOT_DEFAULT_CONFIG(I2S_DATA_BIT_WIDTH_32BIT, I2S_SLOT_MODE_MONO),
        .gpio_cfg = MICROPHONE_PINS,
    };
    esp_err_t error = i2s_new_channel(&channel_config, NULL, channel);
    if (error == ESP_OK) {
        error = i2s_channel_init_std_mode(*channel, &config);
    }
    return error == ESP_OK ? i2s_channel_enable(*channel) : error;
}

static void listen_task(void *unused)
{
    (void)unused;
    static int32_t words[FEATURES_HOP];
    static int16_t samples[FEATURES_HOP];
    i2s_chan_handle_t channel;
    if (tvm_model_init() != 0) { /* the log says what is wrong */
        vTaskDelete(NULL);
        return;
    }
    if (start_microphone(&channel) != ESP_OK) {
        printf("FAIL: no microphone; see microphone_pins.h\n");
        vTaskDelete(NULL);
        return;
    }
    features_reset(&listener.features);
    printf("listening\n");
    for (;;) {
        /* Waits for samples, and lets other tasks run meanwhile. */
        size_t bytes = 0;
        if (i2s_channel_read(channel, words, sizeof(words), &bytes, portMAX_DELAY) != ESP_OK) {
            printf("FAIL: the microphone gives no samples\n");
            vTaskDelete(NULL);
            return;
        }
        const size_t count = bytes / sizeof(words[0]);
        for (size_t i = 0; i < count; i++) {
            samples[i] = to_sample(words[i]);
        }
        if (listen(&listener, samples, count) != 0) {
            printf("FAIL: the model refused its input\n");
        }
    }
}

void app_main(void)
{
    const BaseType_t core = CONFIG_INFERENCE_TASK_CORE < 0 ? tskNO_AFFINITY : CONFIG_INFERENCE_TASK_CORE;
    if (xTaskCreatePinnedToCore(listen_task, "listen", CONFIG_INFERENCE_TASK_STACK_SIZE, NULL,
                                CONFIG_INFERENCE_TASK_PRIORITY, NULL, core) != pdPASS) {
        printf("FAIL: no memory for the listening task\n");
    }
}
#else
static int listen_to_stdin(void)
{
    static int16_t samples[FEATURES_HOP];
    if (tvm_model_init() != 0) {
        return 1; /* the log says what is wrong */
    }
    features_reset(&listener.features);
    size_t count;
    while ((count = fread(samples, sizeof(samples[0]), FEATURES_HOP, stdin)) > 0) {
        if (listen(&listener, samples, count) != 0) {
            return 1;
        }
    }
    return 0;
}

#ifdef ESP_PLATFORM
void app_main(void)
{
    if (listen_to_stdin() != 0) {
        printf("FAIL: the model refused its input\n");
    }
}
#else
int main(void)
{
    return listen_to_stdin();
}
#endif
#endif
