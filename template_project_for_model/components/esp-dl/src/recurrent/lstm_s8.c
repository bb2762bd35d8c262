#include "recurrent/gates.h"

/* Gate `number` (input, output, forget, cell) of unit i, before its activation function. */
static int32_t gate(const esp_dl_recurrent_t *p, int32_t number, int32_t i, const int8_t *x, const int16_t *state)
{
    const int32_t row = number * p->hidden + i;
    return esp_dl_sat16(esp_dl_gate_input(p, row, x) + esp_dl_gate_state(p, row, state));
}

/* One step: `next` and the new `cell` from `state` and the old cell. */
static void step(const esp_dl_recurrent_t *p, const int8_t *x, const int16_t *state, int16_t *cell, int16_t *next)
{
    for (int32_t i = 0; i < p->hidden; i++) {
        const int32_t in = esp_dl_sigmoid16(p->sigmoid, gate(p, 0, i, x, state));
        const int32_t out = esp_dl_sigmoid16(p->sigmoid, gate(p, 1, i, x, state));
        const int32_t forget = esp_dl_sigmoid16(p->sigmoid, gate(p, 2, i, x, state));
        const int32_t candidate = esp_dl_tanh16(p->tanh, gate(p, 3, i, x, state));
        cell[i] = (int16_t)esp_dl_sat16(esp_dl_fraction(forget, cell[i], 15) + esp_dl_fraction(in, candidate, 19));
        next[i] = (int16_t)esp_dl_fraction(out, esp_dl_tanh16(p->tanh, cell[i]), 15 + p->drop);
    }
}

int32_t esp_dl_lstm_s8_scratch(const esp_dl_recurrent_t *p)
{
    return esp_dl_state_bytes(p);
}

void esp_dl_lstm_s8(const int8_t *input, const int8_t *start, const int8_t *start_cell, const esp_dl_recurrent_t *p,
                    int16_t *scratch, int8_t *output)
{
    for (int32_t batch = 0; batch < p->batch; batch++) {
        int16_t *state = scratch;
        int16_t *next = scratch + p->hidden;
        int16_t *cell = scratch + 2 * p->hidden;
        esp_dl_first_state(p, start, batch, p->start_shift, state);
        esp_dl_first_state(p, start_cell, batch, p->start_cell_shift, cell);
        for (int32_t count = 0; count < p->steps; count++) {
            const int32_t time = p->reverse ? p->steps - 1 - count : count;
            const int32_t place = time * p->batch + batch;
            step(p, input + place * p->inputs, state, cell, next);
            int16_t *old = state;
            state = next;
            next = old;
            if (p->sequence) {
                esp_dl_write_state(p, state, output + place * p->hidden);
            }
        }
        if (!p->sequence) {
            esp_dl_write_state(p, p->cell ? cell : state, output + batch * p->hidden);
        }
    }
}
