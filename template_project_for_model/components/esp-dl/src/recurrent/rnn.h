/* One step of an RNN, for tensors of both widths. */
#ifndef ESP_DL_RECURRENT_RNN_H
#define ESP_DL_RECURRENT_RNN_H

#include "recurrent/gates.h"

static inline void esp_dl_rnn_step(const esp_dl_recurrent_t *p, const void *x, const int16_t *state, int16_t *more,
                                   int16_t *next, bool wide)
{
    (void)more;
    for (int32_t i = 0; i < p->hidden; i++) {
        const int32_t gate = esp_dl_sat16(esp_dl_gate_input(p, i, x, wide) + esp_dl_gate_state(p, i, state));
        if (p->tanh == NULL) {
            next[i] = (int16_t)(gate > 0 ? gate : 0);
        } else {
            next[i] = (int16_t)((esp_dl_tanh16(p->tanh, gate) + esp_dl_half(p->drop)) >> p->drop);
        }
    }
}

#endif
