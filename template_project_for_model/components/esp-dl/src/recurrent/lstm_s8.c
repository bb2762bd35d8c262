#include "recurrent/lstm.h"

int32_t esp_dl_lstm_s8_scratch(const esp_dl_recurrent_t *p)
{
    return esp_dl_state_bytes(p);
}

void esp_dl_lstm_s8(const int8_t *input, const int8_t *start, const int8_t *start_cell, const esp_dl_recurrent_t *p,
                    int16_t *scratch, int8_t *sequence, int8_t *last, int8_t *last_cell)
{
    const esp_dl_states_t output = {sequence, last, last_cell};
    esp_dl_all_steps(input, start, start_cell, p, scratch, output, esp_dl_lstm_step, true, false);
}
