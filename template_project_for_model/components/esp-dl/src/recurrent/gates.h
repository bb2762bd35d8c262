/* Shared by RNN, GRU and LSTM. Gates before their activation function are int16 at 2^-11, results and states at 2^-15.
 */
#ifndef ESP_DL_RECURRENT_GATES_H
#define ESP_DL_RECURRENT_GATES_H

#include <stddef.h>

#include "common/requantize.h"
#include "common/wide.h"
#include "common/window.h"
#include "esp_dl.h"

static inline int32_t esp_dl_sat16(int32_t value)
{
    return esp_dl_clamp(value, INT16_MIN, INT16_MAX);
}

/* sat16(acc >> shift) or sat16(acc << -shift); acc already contains the half that rounding adds. */
static inline int32_t esp_dl_requantize16(int32_t acc, int32_t shift)
{
    return esp_dl_sat16(shift >= 0 ? acc >> shift : esp_dl_sat16(acc) * (1 << -shift));
}

/* Bytes of the three vectors of int16 that a step works on. */
static inline int32_t esp_dl_state_bytes(const esp_dl_recurrent_t *p)
{
    return 3 * p->hidden * (int32_t)sizeof(int16_t);
}

/* sum + the products of `count` weights and states; as esp_dl_dot. */
static int32_t esp_dl_dot_state(const int8_t *weights, const int16_t *state, int32_t count, int32_t sum)
{
    for (const int8_t *end = weights + (count & ~3); weights != end; weights += 4, state += 4) {
        sum += weights[0] * state[0];
        sum += weights[1] * state[1];
        sum += weights[2] * state[2];
        sum += weights[3] * state[3];
    }
    for (const int8_t *end = weights + (count & 3); weights != end;) {
        sum += *weights++ * *state++;
    }
    return sum;
}

/* Row `row` of the weights times the input of one step. */
static inline int32_t esp_dl_gate_input(const esp_dl_recurrent_t *p, int32_t row, const void *x, bool wide)
{
    const int8_t *weights = p->weights + row * p->inputs;
    const int32_t bias = p->weights_bias[row];
    const int32_t sum = wide && p->input_s16 ? esp_dl_dot_state(weights, (const int16_t *)x, p->inputs, bias)
                                             : esp_dl_dot((const int8_t *)x, weights, p->inputs, bias);
    return esp_dl_requantize16(sum, p->weights_shift[row]);
}

/* Row `row` of the recurrence weights times a state. */
static inline int32_t esp_dl_gate_state(const esp_dl_recurrent_t *p, int32_t row, const int16_t *state)
{
    const int8_t *weights = p->recurrence + row * p->hidden;
    const int32_t sum = esp_dl_dot_state(weights, state, p->hidden, p->recurrence_bias[row]);
    return esp_dl_requantize16(sum, p->recurrence_shift[row]);
}

/* f(v * 2^-11) for v >= 0 from a table in steps of 2^-5, linear between them. */
static inline int32_t esp_dl_interpolate(const int16_t table[513], int32_t v)
{
    v = v > 32767 ? 32767 : v;
    const int32_t part = v & 63;
    return (table[v >> 6] * (64 - part) + table[(v >> 6) + 1] * part + 32) >> 6;
}

static inline int32_t esp_dl_sigmoid16(const int16_t table[513], int32_t v)
{
    return v >= 0 ? esp_dl_interpolate(table, v) : 32768 - esp_dl_interpolate(table, -v);
}

static inline int32_t esp_dl_tanh16(const int16_t table[513], int32_t v)
{
    return v >= 0 ? esp_dl_interpolate(table, v) : -esp_dl_interpolate(table, -v);
}

/* rshift(a * b, places) */
static inline int32_t esp_dl_fraction(int32_t a, int32_t b, int32_t places)
{
    return (a * b + (1 << (places - 1))) >> places;
}

/* The state before the first step of a sequence: zeros, or values with a right shift. */
static inline void esp_dl_first_state(const esp_dl_recurrent_t *p, const void *start, int32_t batch, int32_t shift,
                                      bool s16, int16_t *state)
{
    for (int32_t i = 0; i < p->hidden; i++) {
        const int32_t value = start == NULL ? 0 : esp_dl_load(start, batch * p->hidden + i, s16);
        state[i] = (int16_t)esp_dl_requantize16(value + (start == NULL ? 0 : esp_dl_half(shift)), shift);
    }
}

/* A state or a cell, from place `at` of an output on; nothing where the output is not wanted. */
static inline void esp_dl_write_state(const esp_dl_recurrent_t *p, const int16_t *state, int32_t shift, int32_t at,
                                      bool s16, void *output)
{
    for (int32_t i = 0; i < p->hidden && output != NULL; i++) {
        const int32_t acc = state[i] + esp_dl_half(shift);
        esp_dl_store(output, at + i, esp_dl_requantize_wide(acc, shift, INT16_MIN, INT16_MAX, s16), s16);
    }
}

/* One step: `next` from `state` and the input x; `more`: the cell of an LSTM, else memory that a step may use. wide:
 * tensors may be int16, as the parameters say. */
typedef void esp_dl_step_t(const esp_dl_recurrent_t *p, const void *x, const int16_t *state, int16_t *more,
                           int16_t *next, bool wide);

/* What a layer writes: each NULL where it is not wanted. */
typedef struct {
    void *sequence, *last, *last_cell;
} esp_dl_states_t;

/* All steps of all sequences. scratch: [3][hidden], of an RNN [2][hidden]; start_cell: of a layer with a cell. */
__attribute__((always_inline)) static inline void esp_dl_all_steps(const void *input, const void *start,
                                                                   const void *start_cell, const esp_dl_recurrent_t *p,
                                                                   int16_t *scratch, esp_dl_states_t output,
                                                                   esp_dl_step_t *step, bool has_cell, bool wide)
{
    const bool input_s16 = wide && p->input_s16, sequence_s16 = wide && p->sequence_s16;
    for (int32_t batch = 0; batch < p->batch; batch++) {
        int16_t *state = scratch;
        int16_t *next = scratch + p->hidden;
        int16_t *more = scratch + 2 * p->hidden;
        esp_dl_first_state(p, start, batch, p->start_shift, wide && p->start_s16, state);
        if (has_cell) {
            esp_dl_first_state(p, start_cell, batch, p->start_cell_shift, wide && p->start_cell_s16, more);
        }
        for (int32_t count = 0; count < p->steps; count++) {
            const int32_t time = p->reverse ? p->steps - 1 - count : count;
            const int32_t place = time * p->batch + batch;
            step(p, esp_dl_at(input, place * p->inputs, input_s16), state, more, next, wide);
            int16_t *old = state;
            state = next;
            next = old;
            esp_dl_write_state(p, state, p->sequence_shift, place * p->hidden, sequence_s16, output.sequence);
        }
        esp_dl_write_state(p, state, p->last_shift, batch * p->hidden, wide && p->last_s16, output.last);
        if (has_cell) {
            esp_dl_write_state(p, more, p->cell_shift, batch * p->hidden, wide && p->cell_s16, output.last_cell);
        }
    }
}

#endif
