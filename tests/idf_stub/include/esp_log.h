#pragma once
#include <stdio.h>
typedef enum { ESP_LOG_NONE, ESP_LOG_ERROR, ESP_LOG_WARN, ESP_LOG_INFO, ESP_LOG_DEBUG } esp_log_level_t;
void esp_log_level_set(const char *tag, esp_log_level_t level);
extern esp_log_level_t stub_log_level;
#ifndef LOG_LOCAL_LEVEL
#define LOG_LOCAL_LEVEL ESP_LOG_INFO
#endif
#define STUB_LOG(level, letter, tag, format, ...)                                                                      \
    do {                                                                                                               \
        if (LOG_LOCAL_LEVEL >= (level) && stub_log_level >= (level)) {                                                 \
            printf(letter " (0) %s: " format "\n", tag, ##__VA_ARGS__);                                                \
        }                                                                                                              \
    } while (0)
#define ESP_LOGE(tag, format, ...) STUB_LOG(ESP_LOG_ERROR, "E", tag, format, ##__VA_ARGS__)
#define ESP_LOGW(tag, format, ...) STUB_LOG(ESP_LOG_WARN, "W", tag, format, ##__VA_ARGS__)
#define ESP_LOGI(tag, format, ...) STUB_LOG(ESP_LOG_INFO, "I", tag, format, ##__VA_ARGS__)
#define ESP_LOGD(tag, format, ...) STUB_LOG(ESP_LOG_DEBUG, "D", tag, format, ##__VA_ARGS__)
