/*
 * The part of the generated audio_features.c that is the same for every model; audio_c.py puts constants and tables in
 * front. What stands between `if` and `end` goes in where the description of the input asks for it.
 */
/* --- from here on in audio_features.c --- */

/* v / 2^s, rounded half up. */
static inline int64_t rshift(int64_t v, int s)
{
    return (v + ((int64_t)1 << (s - 1))) >> s;
}

/* Position i of the samples' FFT, its bits in reverse order. */
static inline int32_t reversed(int32_t i)
{
    int32_t result = 0;
    for (int bit = 0; bit < HALF_BITS; bit++) {
        result = result << 1 | (i >> bit & 1);
    }
    return result;
}

/* (re, im) times the twiddle factor k. */
static inline void turn(int32_t *re, int32_t *im, int32_t k)
{
    const int64_t a = *re;
    const int64_t b = *im;
    *re = (int32_t)rshift(a * cosine[k] - b * sine[k], TWIDDLE_SHIFT);
    *im = (int32_t)rshift(a * sine[k] + b * cosine[k], TWIDDLE_SHIFT);
}

/* The window's samples, weighted; even ones are the real, odd ones the imaginary parts of HALF complex numbers. */
static void load_window(features_t *state)
{
    memset(state->re, 0, sizeof(state->re));
    memset(state->im, 0, sizeof(state->im));
    int32_t from = state->samples_start;
    for (int32_t i = 0; i < FEATURES_WINDOW; i++) {
        int32_t *part = (i & 1) == 0 ? state->re : state->im;
        part[reversed(i >> 1)] = (int32_t)rshift((int64_t)state->samples[from] * window[i], WINDOW_SHIFT);
        from = from + 1 == FEATURES_WINDOW ? 0 : from + 1;
    }
}

/* FFT of HALF complex numbers in place. Nothing overflows: the loudest sound reaches 2^29. */
static void transform_window(int32_t *re, int32_t *im)
{
    for (int32_t half = 1; half < HALF; half *= 2) {
        for (int32_t k = 0; k < half; k++) {
            for (int32_t i = k; i < HALF; i += 2 * half) {
                int32_t c = re[i + half];
                int32_t d = im[i + half];
                turn(&c, &d, k * (HALF / half));
                const int32_t a = re[i];
                const int32_t b = im[i];
                re[i] = a + c;
                im[i] = b + d;
                re[i + half] = a - c;
                im[i + half] = b - d;
            }
        }
    }
}

/* if magnitude */
/* The whole part of the square root. */
static uint64_t square_root(uint64_t v)
{
    uint64_t root = 0;
    for (uint64_t bit = (uint64_t)1 << 60; bit != 0; bit >>= 2) {
        if (v >= root + bit) {
            v -= root + bit;
            root = (root >> 1) + bit;
        } else {
            root >>= 1;
        }
    }
    return root;
}

/* end */
static inline uint64_t strength(int32_t re, int32_t im)
{
    const uint64_t power = (uint64_t)((int64_t)re * re) + (uint64_t)((int64_t)im * im);
    /* if power */
    return (power + ((uint64_t)1 << (POWER_SHIFT - 1))) >> POWER_SHIFT;
    /* end */
    /* if magnitude */
    return square_root(power);
    /* end */
}

/* The spectrum of all samples from those of the even and the odd ones. */
static void make_spectrum(features_t *state)
{
    const int32_t *re = state->re;
    const int32_t *im = state->im;
    for (int32_t k = 0; k < HALF; k++) {
        const int32_t mirror = -k & (HALF - 1);
        const int32_t even_re = re[k] + re[mirror];
        const int32_t even_im = im[k] - im[mirror];
        int32_t odd_re = im[k] + im[mirror];
        int32_t odd_im = re[mirror] - re[k];
        if (k == 0) {
            state->spectrum[HALF] = strength((int32_t)rshift((int64_t)even_re - odd_re, 1), 0);
        }
        turn(&odd_re, &odd_im, k);
        const int64_t real = (int64_t)even_re + odd_re;
        const int64_t imaginary = (int64_t)even_im + odd_im;
        state->spectrum[k] = strength((int32_t)rshift(real, 1), (int32_t)rshift(imaginary, 1));
    }
}

/* The logarithm to the base of 2 of a band's sum, at 2^-16; of samples that count as -1 to 1. */
static int32_t log2_of(uint64_t energy)
{
    const uint64_t e = energy + ENERGY_OFFSET;
    const int32_t n = 63 - __builtin_clzll(e);
    const uint32_t mantissa = (uint32_t)(n >= 16 ? e >> (n - 16) : e << (16 - n)) & 0xffff;
    const uint32_t index = mantissa >> (16 - LOG_TABLE_BITS);
    const uint32_t rest = mantissa & ((1u << (16 - LOG_TABLE_BITS)) - 1);
    const uint32_t low = logarithms[index];
    const uint32_t part = (logarithms[index + 1] - low) * rest + (1u << (15 - LOG_TABLE_BITS));
    return (n - ENERGY_BITS) * (1 << LOG_BITS) + (int32_t)(low + (part >> (16 - LOG_TABLE_BITS)));
}

static int8_t to_input(int64_t feature, int32_t i)
{
    int64_t v = rshift((feature - offsets[i]) * factors[i], FACTOR_SHIFT);
    v = v < -FEATURE_LIMIT ? -FEATURE_LIMIT : v > FEATURE_LIMIT ? FEATURE_LIMIT : v;
    /* if coarser */
    v = rshift(v, INPUT_SHIFT);
    /* end */
    /* if finer */
    v *= 1 << -INPUT_SHIFT;
    /* end */
    /* if centred */
    v += FEATURES_INPUT_ZERO_POINT;
    /* end */
    return (int8_t)(v < -128 ? -128 : v > 127 ? 127 : v);
}

/* The features of the window in the ring of samples. */
static void make_row(features_t *state, int8_t *row)
{
    load_window(state);
    transform_window(state->re, state->im);
    make_spectrum(state);
    int32_t logs[BANDS];
    const uint16_t *weight = weights;
    for (int32_t b = 0; b < BANDS; b++) {
        uint64_t sum = 0;
        for (int32_t k = 0; k < bands[b].count; k++) {
            sum += state->spectrum[bands[b].first + k] * *weight++;
        }
        logs[b] = log2_of(sum);
    }
    for (int32_t i = 0; i < FEATURES_COUNT; i++) {
        /* if mfcc */
        int64_t sum = 0;
        for (int32_t b = 0; b < BANDS; b++) {
            sum += (int64_t)transform[i * BANDS + b] * logs[b];
        }
        /* end */
        /* if logmel */
        const int64_t sum = (int64_t)UNIT * logs[i];
        /* end */
        row[i] = to_input(rshift(sum, TRANSFORM_SHIFT), i);
    }
}

void features_reset(features_t *state)
{
    memset(state, 0, sizeof(*state));
}

/* i + n in a ring of `size`, for n up to it. */
static inline int32_t around(int32_t i, int32_t n, int32_t size)
{
    return i + n < size ? i + n : i + n - size;
}

size_t features_push(features_t *state, const int16_t *samples, size_t count, bool *frame)
{
    *frame = false;
    size_t taken = 0;
    while (taken < count && !*frame) {
        state->samples[around(state->samples_start, state->samples_count, FEATURES_WINDOW)] = samples[taken++];
        *frame = ++state->samples_count == FEATURES_WINDOW;
    }
    if (*frame) {
        int32_t row = around(state->rows_start, state->rows_count, FEATURES_FRAMES);
        if (state->rows_count == FEATURES_FRAMES) {
            row = state->rows_start;
            state->rows_start = around(state->rows_start, 1, FEATURES_FRAMES);
        } else {
            state->rows_count++;
        }
        make_row(state, state->rows + row * FEATURES_COUNT);
        state->samples_start = around(state->samples_start, FEATURES_HOP, FEATURES_WINDOW);
        state->samples_count -= FEATURES_HOP;
    }
    return taken;
}

bool features_ready(const features_t *state)
{
    return state->rows_count == FEATURES_FRAMES;
}

void features_input(const features_t *state, int8_t *input)
{
    for (int32_t frame = 0; frame < FEATURES_FRAMES; frame++) {
        const int8_t *row = state->rows + around(state->rows_start, frame, FEATURES_FRAMES) * FEATURES_COUNT;
        /* if frames first */
        memcpy(input + frame * FEATURES_COUNT, row, FEATURES_COUNT);
        /* end */
        /* if features first */
        for (int32_t i = 0; i < FEATURES_COUNT; i++) {
            input[i * FEATURES_FRAMES + frame] = row[i];
        }
        /* end */
    }
}
