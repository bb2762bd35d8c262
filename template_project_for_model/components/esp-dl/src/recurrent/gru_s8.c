#include "recurrent/gru.h"

int32_t esp_dl_gru_s8_scratch(const esp_dl_recurrent_t *p)
{
    return esp_dl_state_bytes(p);
}

void esp_dl_gru_s8(const int8_t *input, const int8_t *start, const esp_dl_recurrent_t *p, int16_t *scratch,
                   int8_t *sequence, int8_t *last)
{
    const esp_dl_states_t output = {sequence, last, NULL};
    esp_dl_all_steps(input, start, NULL, p, scratch, output, esp_dl_gru_step, false, false);
}
