/* One step of an LSTM, for tensors of both widths. */
#ifndef ESP_DL_RECURRENT_LSTM_H
#define ESP_DL_RECURRENT_LSTM_H

#include "recurrent/gates.h"

/* Gate `number` (input, output, forget, cell) of unit i, before its activation function. */
static inline int32_t esp_dl_lstm_gate(const esp_dl_recurrent_t *p, int32_t number, int32_t i, const void *x,
                                       const int16_t *state, bool wide)
{
    const int32_t row = number * p->hidden + i;
    return esp_dl_sat16(esp_dl_gate_input(p, row, x, wide) + esp_dl_gate_state(p, row, state));
}

static inline void esp_dl_lstm_step(const esp_dl_recurrent_t *p, const void *x, const int16_t *state, int16_t *cell,
                                    int16_t *next, bool wide)
{
    for (int32_t i = 0; i < p->hidden; i++) {
        const int32_t in = esp_dl_sigmoid16(p->sigmoid, esp_dl_lstm_gate(p, 0, i, x, state, wide));
        const int32_t out = esp_dl_sigmoid16(p->sigmoid, esp_dl_lstm_gate(p, 1, i, x, state, wide));
        const int32_t forget = esp_dl_sigmoid16(p->sigmoid, esp_dl_lstm_gate(p, 2, i, x, state, wide));
        const int32_t candidate = esp_dl_tanh16(p->tanh, esp_dl_lstm_gate(p, 3, i, x, state, wide));
        cell[i] = (int16_t)esp_dl_sat16(esp_dl_fraction(forget, cell[i], 15) + esp_dl_fraction(in, candidate, 19));
        next[i] = (int16_t)esp_dl_fraction(out, esp_dl_tanh16(p->tanh, cell[i]), 15 + p->drop);
    }
}

#endif
