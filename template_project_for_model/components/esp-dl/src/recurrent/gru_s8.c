#include "recurrent/gates.h"

/* One step: `next` from `state`; `reset` is memory for the reset gate times the state. */
static void step(const esp_dl_recurrent_t *p, const int8_t *x, const int16_t *state, int16_t *reset, int16_t *next)
{
    const int32_t hidden = p->hidden;
    for (int32_t i = 0; i < hidden && !p->linear_before_reset; i++) {
        const int32_t gate =
            esp_dl_sat16(esp_dl_gate_input(p, hidden + i, x) + esp_dl_gate_state(p, hidden + i, state));
        reset[i] = (int16_t)esp_dl_fraction(esp_dl_sigmoid16(p->sigmoid, gate), state[i], 15);
    }
    for (int32_t i = 0; i < hidden; i++) {
        int32_t gate = esp_dl_sat16(esp_dl_gate_input(p, i, x) + esp_dl_gate_state(p, i, state));
        const int32_t z = esp_dl_sigmoid16(p->sigmoid, gate);
        int32_t remembered;
        if (p->linear_before_reset) {
            gate = esp_dl_sat16(esp_dl_gate_input(p, hidden + i, x) + esp_dl_gate_state(p, hidden + i, state));
            const int32_t r = esp_dl_sigmoid16(p->sigmoid, gate);
            remembered = esp_dl_fraction(r, esp_dl_gate_state(p, 2 * hidden + i, state), 15);
        } else {
            remembered = esp_dl_gate_state(p, 2 * hidden + i, reset);
        }
        gate = esp_dl_sat16(esp_dl_gate_input(p, 2 * hidden + i, x) + remembered);
        const int32_t n = (esp_dl_tanh16(p->tanh, gate) + esp_dl_half(p->drop)) >> p->drop;
        next[i] = (int16_t)esp_dl_sat16(n + esp_dl_fraction(z, state[i] - n, 15));
    }
}

int32_t esp_dl_gru_s8_scratch(const esp_dl_recurrent_t *p)
{
    return esp_dl_state_bytes(p);
}

void esp_dl_gru_s8(const int8_t *input, const int8_t *start, const esp_dl_recurrent_t *p, int16_t *scratch,
                   int8_t *output)
{
    for (int32_t batch = 0; batch < p->batch; batch++) {
        int16_t *state = scratch;
        int16_t *next = scratch + p->hidden;
        esp_dl_first_state(p, start, batch, p->start_shift, state);
        for (int32_t count = 0; count < p->steps; count++) {
            const int32_t time = p->reverse ? p->steps - 1 - count : count;
            const int32_t place = time * p->batch + batch;
            step(p, input + place * p->inputs, state, scratch + 2 * p->hidden, next);
            int16_t *old = state;
            state = next;
            next = old;
            if (p->sequence) {
                esp_dl_write_state(p, state, output + place * p->hidden);
            }
        }
        if (!p->sequence) {
            esp_dl_write_state(p, state, output + batch * p->hidden);
        }
    }
}
