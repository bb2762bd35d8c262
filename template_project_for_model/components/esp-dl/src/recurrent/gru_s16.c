#include "recurrent/gru.h"

int32_t esp_dl_gru_s16_scratch(const esp_dl_recurrent_t *p)
{
    return esp_dl_state_bytes(p);
}

void esp_dl_gru_s16(const void *input, const void *start, const esp_dl_recurrent_t *p, int16_t *scratch, void *sequence,
                    void *last)
{
    const esp_dl_states_t output = {sequence, last, NULL};
    esp_dl_all_steps(input, start, NULL, p, scratch, output, esp_dl_gru_step, false, true);
}
