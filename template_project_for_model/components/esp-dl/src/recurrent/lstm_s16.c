#include "recurrent/lstm.h"

int32_t esp_dl_lstm_s16_scratch(const esp_dl_recurrent_t *p)
{
    return esp_dl_state_bytes(p);
}

void esp_dl_lstm_s16(const void *input, const void *start, const void *start_cell, const esp_dl_recurrent_t *p,
                     int16_t *scratch, void *sequence, void *last, void *last_cell)
{
    const esp_dl_states_t output = {sequence, last, last_cell};
    esp_dl_all_steps(input, start, start_cell, p, scratch, output, esp_dl_lstm_step, true, true);
}
