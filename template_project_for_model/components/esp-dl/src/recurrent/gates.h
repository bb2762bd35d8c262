/* Shared by GRU and LSTM. Gates before their activation function are int16 at 2^-11, results and states at 2^-15. */
#ifndef ESP_DL_RECURRENT_GATES_H
#define ESP_DL_RECURRENT_GATES_H

#include <stddef.h>

#include "common/requantize.h"
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

/* Row `row` of the weights times the input of one step. */
static inline int32_t esp_dl_gate_input(const esp_dl_recurrent_t *p, int32_t row, const int8_t *x)
{
    const int32_t sum = esp_dl_dot(x, p->weights + row * p->inputs, p->inputs, p->weights_bias[row]);
    return esp_dl_requantize16(sum, p->weights_shift[row]);
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

/* The state before the first step of a sequence: zeros, or int8 values with a right shift. */
static inline void esp_dl_first_state(const esp_dl_recurrent_t *p, const int8_t *start, int32_t batch, int32_t shift,
                                      int16_t *state)
{
    for (int32_t i = 0; i < p->hidden; i++) {
        const int32_t value = start == NULL ? 0 : start[batch * p->hidden + i];
        state[i] = (int16_t)esp_dl_requantize16(value + (start == NULL ? 0 : esp_dl_half(shift)), shift);
    }
}

/* The output of one step. */
static inline void esp_dl_write_state(const esp_dl_recurrent_t *p, const int16_t *state, int8_t *output)
{
    for (int32_t i = 0; i < p->hidden; i++) {
        output[i] = esp_dl_requantize(state[i] + esp_dl_half(p->shift), p->shift, INT8_MIN, INT8_MAX);
    }
}

#endif
