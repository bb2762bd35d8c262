/* One step of a GRU, for tensors of both widths. */
#ifndef ESP_DL_RECURRENT_GRU_H
#define ESP_DL_RECURRENT_GRU_H

#include "recurrent/gates.h"

/* reset: memory for the reset gate times the state */
static inline void esp_dl_gru_step(const esp_dl_recurrent_t *p, const void *x, const int16_t *state, int16_t *reset,
                                   int16_t *next, bool wide)
{
    const int32_t hidden = p->hidden;
    for (int32_t i = 0; i < hidden && !p->linear_before_reset; i++) {
        const int32_t gate =
            esp_dl_sat16(esp_dl_gate_input(p, hidden + i, x, wide) + esp_dl_gate_state(p, hidden + i, state));
        reset[i] = (int16_t)esp_dl_fraction(esp_dl_sigmoid16(p->sigmoid, gate), state[i], 15);
    }
    for (int32_t i = 0; i < hidden; i++) {
        int32_t gate = esp_dl_sat16(esp_dl_gate_input(p, i, x, wide) + esp_dl_gate_state(p, i, state));
        const int32_t z = esp_dl_sigmoid16(p->sigmoid, gate);
        int32_t remembered;
        if (p->linear_before_reset) {
            gate = esp_dl_sat16(esp_dl_gate_input(p, hidden + i, x, wide) + esp_dl_gate_state(p, hidden + i, state));
            const int32_t r = esp_dl_sigmoid16(p->sigmoid, gate);
            remembered = esp_dl_fraction(r, esp_dl_gate_state(p, 2 * hidden + i, state), 15);
        } else {
            remembered = esp_dl_gate_state(p, 2 * hidden + i, reset);
        }
        gate = esp_dl_sat16(esp_dl_gate_input(p, 2 * hidden + i, x, wide) + remembered);
        const int32_t n = (esp_dl_tanh16(p->tanh, gate) + esp_dl_half(p->drop)) >> p->drop;
        next[i] = (int16_t)esp_dl_sat16(n + esp_dl_fraction(z, state[i] - n, 15));
    }
}

#endif
