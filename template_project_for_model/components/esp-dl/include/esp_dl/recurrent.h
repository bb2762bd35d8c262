/* Recurrent layers. */
#ifndef ESP_DL_RECURRENT_H
#define ESP_DL_RECURRENT_H

#include "esp_dl/types.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * RNN, GRU and LSTM of one direction. start, start_cell: the first state and cell [batch][hidden], NULL: zeros. input
 * [steps][batch][inputs]; sequence [steps][batch][hidden]: the state after every step; last, last_cell [batch][hidden]:
 * the state and the cell after the last step; NULL: not wanted. Gates (GRU: update, reset, new; LSTM: input, output,
 * forget, cell) and the cell are int16 at 2^-11, the state int16 at 2^-15, of an RNN without table both at one exponent
 * e_h; the steps of the rule are in docs/arithmetic.md. As arithmetic.rnn, gru and lstm. scratch: as many bytes as the
 * function `..._scratch` returns, at an even address; its content before the call does not matter.
 */
typedef struct {
    int32_t steps, batch, inputs, hidden;
    bool linear_before_reset;                       /* GRU only */
    bool reverse;                                   /* from the last step to the first */
    const int8_t *weights;                          /* [gates * hidden][inputs] */
    const int8_t *recurrence;                       /* [gates * hidden][hidden] */
    const int32_t *weights_bias, *recurrence_bias;  /* [gates * hidden]; where shift > 0 with 2^(shift - 1) added */
    const int8_t *weights_shift, *recurrence_shift; /* [gates * hidden], -16..31: to 2^-11 */
    const int16_t *sigmoid, *tanh; /* [513]: f(i / 32) * 2^15, rounded, at most 32767; RNN: no sigmoid, NULL: relu */
    int8_t sequence_shift, last_shift, cell_shift; /* -8..31: e_y + 15 - drop, of the cell e_y + 11 */
    int8_t drop;                                   /* 0..8: states are at 2^(drop - 15), for a start beyond 1 */
    int8_t start_shift, start_cell_shift;          /* -16..16: drop - 15 - e_h, -11 - e_c */
    bool input_s16, start_s16, start_cell_s16;     /* these and the next line: read by the s16 kernels alone */
    bool sequence_s16, last_s16, cell_s16;
} esp_dl_recurrent_t;

void esp_dl_rnn_s8(const int8_t *input, const int8_t *start, const esp_dl_recurrent_t *p, int16_t *scratch,
                   int8_t *sequence, int8_t *last);
void esp_dl_gru_s8(const int8_t *input, const int8_t *start, const esp_dl_recurrent_t *p, int16_t *scratch,
                   int8_t *sequence, int8_t *last);
void esp_dl_lstm_s8(const int8_t *input, const int8_t *start, const int8_t *start_cell, const esp_dl_recurrent_t *p,
                    int16_t *scratch, int8_t *sequence, int8_t *last, int8_t *last_cell);

/* The same of int16; as arithmetic.rnn_s16, gru_s16 and lstm_s16. */
void esp_dl_rnn_s16(const void *input, const void *start, const esp_dl_recurrent_t *p, int16_t *scratch, void *sequence,
                    void *last);
void esp_dl_gru_s16(const void *input, const void *start, const esp_dl_recurrent_t *p, int16_t *scratch, void *sequence,
                    void *last);
void esp_dl_lstm_s16(const void *input, const void *start, const void *start_cell, const esp_dl_recurrent_t *p,
                     int16_t *scratch, void *sequence, void *last, void *last_cell);

/* Bytes of scratch memory that they need. */
int32_t esp_dl_rnn_s8_scratch(const esp_dl_recurrent_t *p);
int32_t esp_dl_gru_s8_scratch(const esp_dl_recurrent_t *p);
int32_t esp_dl_lstm_s8_scratch(const esp_dl_recurrent_t *p);
int32_t esp_dl_rnn_s16_scratch(const esp_dl_recurrent_t *p);
int32_t esp_dl_gru_s16_scratch(const esp_dl_recurrent_t *p);
int32_t esp_dl_lstm_s16_scratch(const esp_dl_recurrent_t *p);

#ifdef __cplusplus
}
#endif

#endif /* ESP_DL_RECURRENT_H */
