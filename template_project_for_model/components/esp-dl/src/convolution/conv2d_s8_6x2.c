/*
 * Convolution of six pixels by two output channels at a time, two multiply-accumulates per instruction. The last pixels
 * of an image, or of a strip of rows, are computed as four if they are no more.
 *
 * The windows of six output pixels are copied side by side, two pixels to a 32-bit word: x0 + x1 * 2^16. One
 * multiplication by a weight then computes the products of two pixels: both sums grow in one register, in lanes of 16
 * bits. Before a lane can overflow, the lanes are separated and added to sums of 32 bits. How often that is needed
 * depends only on the weights, so the exporter has written it between them (see esp_dl_fast.h).
 *
 * Six pixels next to each other have windows of their own. Six that lie far apart in one row have windows in six
 * stretches of it, and the next six have theirs a step further: where there is memory for that, these stretches are
 * copied once for all pixels of a row of output, column by column, so that the values of a window lie together.
 */
#include "common/registers.h"
#include "convolution/conv2d_add.h"
#include "convolution/lanes.h"
#include "esp_dl_fast.h"

#include <stddef.h>

#define PIXELS ESP_DL_6X2_PIXELS
#define PAIRS (PIXELS / 2)

/* Both sums of a word before anything is added. */
#define START (ESP_DL_HALF_START * 0x10001u)

/* `count` values of two pixels, a tap of either of which may be outside the image (NULL), as words PAIRS apart.
 * base: the word for two zeros; outside: what a value outside the image is. */
static uint32_t *pack(uint32_t *words, const int8_t *a, const int8_t *b, int32_t count, uint32_t base, uint32_t outside)
{
    if (a != NULL && b != NULL) {
        for (; count >= 4; count -= 4) {
            words[0] = base + (uint32_t)a[0] + ((uint32_t)b[0] << 16);
            words[PAIRS] = base + (uint32_t)a[1] + ((uint32_t)b[1] << 16);
            words[2 * PAIRS] = base + (uint32_t)a[2] + ((uint32_t)b[2] << 16);
            words[3 * PAIRS] = base + (uint32_t)a[3] + ((uint32_t)b[3] << 16);
            words += 4 * PAIRS;
            a += 4;
            b += 4;
        }
        for (; count > 0; count--) {
            *words = base + (uint32_t)*a++ + ((uint32_t)*b++ << 16);
            words += PAIRS;
        }
        return words;
    }
    base += (a != NULL ? 0 : outside) + (b != NULL ? 0 : outside << 16);
    for (; count > 0; count--) {
        uint32_t word = base;
        if (a != NULL) {
            word += (uint32_t)*a++;
        }
        if (b != NULL) {
            word += (uint32_t)*b++ << 16;
        }
        *words = word;
        words += PAIRS;
    }
    return words;
}

/* Where the window of an output pixel starts. */
typedef struct {
    const int8_t *image; /* NULL: no pixel */
    int32_t h, w;
} origin_t;

/* The window of the next output pixel, and its column and row. */
typedef struct {
    const int8_t *image;
    int32_t h, w, column, row;
} place_t;

static void find_origins(origin_t *origins, place_t *place, const esp_dl_conv2d_t *p, int32_t pixels)
{
    for (int32_t i = 0; i < PIXELS; i++) {
        if (i >= pixels) {
            /* The other half of a word: any pixel; pairs that do not exist are left out. */
            origins[i] = i % 2 != 0 ? origins[i - 1] : (origin_t){NULL, 0, 0};
            continue;
        }
        origins[i] = (origin_t){place->image, place->h, place->w};
        place->w += p->window.stride_w;
        if (++place->column == p->output.w) {
            place->column = 0;
            place->w = -p->window.pad_left;
            place->h += p->window.stride_h;
            if (++place->row == p->output.h) {
                place->row = 0;
                place->h = -p->window.pad_top;
                place->image += p->input.h * p->input.w * p->input.c;
            }
        }
    }
}

/* The window's tap `kh`, `kw` rows and columns from its first; NULL outside the image. */
static const int8_t *tap(const origin_t *origin, const esp_dl_conv2d_t *p, int32_t kh, int32_t kw)
{
    const int32_t h = origin->h + kh, w = origin->w + kw;
    if ((uint32_t)h >= (uint32_t)p->input.h || (uint32_t)w >= (uint32_t)p->input.w) {
        return NULL;
    }
    return origin->image + (h * p->input.w + w) * p->input.c;
}

static void pack_windows(uint32_t *columns, const origin_t *origins, const esp_dl_conv2d_t *p, uint32_t base)
{
    const esp_dl_window_t *window = &p->window;
    const int32_t channels = p->input.c, row = window->dilation_h * p->input.w * channels;
    const int32_t height = (window->kernel_h - 1) * window->dilation_h;
    const int32_t width = (window->kernel_w - 1) * window->dilation_w;
    const uint32_t outside = (uint32_t)p->pad_value;
    for (int32_t pair = 0; pair < PAIRS; pair++) {
        const origin_t *a = origins + 2 * pair, *b = a + 1;
        if (a->image == NULL) {
            return;
        }
        uint32_t *words = columns + pair;
        const int8_t *x = tap(a, p, 0, 0), *y = tap(b, p, 0, 0);
        if (x != NULL && y != NULL && window->dilation_w == 1 && tap(a, p, height, width) != NULL &&
            tap(b, p, height, width) != NULL) {
            /* All taps of a row are in the image and contiguous. */
            for (int32_t kh = window->kernel_h; kh > 0; kh--) {
                words = pack(words, x, y, window->kernel_w * channels, base, outside);
                x += row;
                y += row;
            }
        } else {
            for (int32_t h = 0; h <= height; h += window->dilation_h) {
                for (int32_t w = 0; w <= width; w += window->dilation_w) {
                    words = pack(words, tap(a, p, h, w), tap(b, p, h, w), channels, base, outside);
                }
            }
        }
        *words = base; /* the exporter made the number of values even */
    }
}

/* Windows of one pixel each, which lie one after the other; `pixels` of them. */
static void pack_pixels(uint32_t *columns, const int8_t *x, int32_t pixels, int32_t channels, uint32_t base)
{
    for (; pixels > 0; pixels -= 2, x += 2 * channels) {
        /* Beside a last one: itself. */
        *pack(columns, x, pixels > 1 ? x + channels : x, channels, base, 0) = base;
        columns++;
    }
}

#define ADD_PRODUCT(sum, value) ESP_DL_ADD_PRODUCT(sum, value, weight)

/* The products of a value of each pixel with the weights of two output channels. */
#define MULTIPLY(x, w)                                                                                                 \
    do {                                                                                                               \
        const uint32_t a = (x)[0], b = (x)[1], c = pairs > 2 ? (x)[2] : 0;                                             \
        uint32_t weight = (uint32_t)(w)[0];                                                                            \
        ADD_PRODUCT(p00, a);                                                                                           \
        ADD_PRODUCT(p10, b);                                                                                           \
        if (pairs > 2) {                                                                                               \
            ADD_PRODUCT(p20, c);                                                                                       \
        }                                                                                                              \
        weight = (uint32_t)(w)[1];                                                                                     \
        ADD_PRODUCT(p01, a);                                                                                           \
        ADD_PRODUCT(p11, b);                                                                                           \
        if (pairs > 2) {                                                                                               \
            ADD_PRODUCT(p21, c);                                                                                       \
        }                                                                                                              \
    } while (0)

/* Two values, a step of the pieces' lengths. */
#define MULTIPLY_TWO                                                                                                   \
    do {                                                                                                               \
        MULTIPLY(x, w);                                                                                                \
        MULTIPLY(x + PAIRS, w + 2);                                                                                    \
        x += 2 * PAIRS;                                                                                                \
        w += 4;                                                                                                        \
        ESP_DL_KEEP(x);                                                                                                \
        ESP_DL_KEEP(w);                                                                                                \
    } while (0)

/* All output channels of `pairs` pairs of pixels, a constant, 2 or 3; `pixels` of these exist.
 * apart: values from one pixel of the output to the next; other than output.c only for six pixels, an even output.c and
 * no addend */
__attribute__((always_inline)) static inline void tile_of(const int pairs, const uint32_t *columns,
                                                          const esp_dl_conv2d_t *p, const esp_dl_addend_t *add,
                                                          int32_t pixels, int32_t apart, int8_t *output)
{
    const int8_t *w = p->weights + 1;
    const int32_t channels = p->output.c, last = channels - 1;
    /* Before this channel, all results of two channels are stored at once. */
    const int32_t whole = pairs == PAIRS && add->values == NULL && pixels == PIXELS ? last : 0;
    for (int32_t o = 0; o < channels; o += 2) {
        const int32_t *bias = p->bias + o;
        const uint32_t *x = columns;
        /* The sums of words and of their high lanes, begun with the bias in both lanes. */
        uint32_t h00 = (uint32_t)bias[0], h01 = o < last ? (uint32_t)bias[1] : 0;
        uint32_t h10 = h00, h20 = h00, h11 = h01, h21 = h01;
        uint32_t t00 = h00 + (h00 << 16), t01 = h01 + (h01 << 16);
        uint32_t t10 = t00, t20 = t00, t11 = t01, t21 = t01;
        uint32_t count = (uint8_t)*w++;
        do {
            uint32_t start = START;
            ESP_DL_KEEP(start); /* not in a register through the loops */
            uint32_t p00 = start, p10 = start, p20 = start;
            uint32_t p01 = start, p11 = start, p21 = start;
            const int8_t *end = w + count * 4;
            MULTIPLY_TWO;
            if (pairs == PAIRS) {
                if (count % 2 == 0) {
                    MULTIPLY_TWO;
                }
                while (w != end) {
                    MULTIPLY(x, w);
                    MULTIPLY(x + PAIRS, w + 2);
                    MULTIPLY(x + 2 * PAIRS, w + 4);
                    MULTIPLY(x + 3 * PAIRS, w + 6);
                    x += 4 * PAIRS;
                    w += 8;
                    ESP_DL_KEEP(x);
                    ESP_DL_KEEP(w);
                }
            } else {
                while (w != end) {
                    MULTIPLY_TWO;
                }
            }
            count = (uint8_t)*end;
            w = end + 1;
            ESP_DL_SEPARATE(t00, h00, p00);
            ESP_DL_SEPARATE(t01, h01, p01);
            ESP_DL_SEPARATE(t10, h10, p10);
            ESP_DL_SEPARATE(t11, h11, p11);
            if (pairs > 2) {
                ESP_DL_SEPARATE(t20, h20, p20);
                ESP_DL_SEPARATE(t21, h21, p21);
            }
        } while (count != 0);
        /* The low lanes contain the rest of the sum, modulo 2^32. */
        t00 -= h00 << 16, t10 -= h10 << 16, t20 -= h20 << 16;
        t01 -= h01 << 16, t11 -= h11 << 16, t21 -= h21 << 16;
        if (__builtin_expect(o < whole, 1)) {
            /* Read only now: there are no registers left to hold them during the loops. Written out pixel by pixel: in
             * a loop the twelve sums would go through memory. */
            const esp_dl_conv2d_t *q = p;
            ESP_DL_KEEP(q);
            const int8_t *shift = q->shift + o;
            const int32_t min = q->min, max = q->max, shift0 = shift[0], shift1 = shift[1];
            const int32_t below0 = min * (1 << shift0), below1 = min * (1 << shift1);
            int32_t step = apart;
            ESP_DL_KEEP(step);
            int8_t *y = output + o;
            ESP_DL_KEEP(y);
            esp_dl_store_shifted(y, (int32_t)t00, shift0, below0, min, max);
            esp_dl_store_shifted(y + 1, (int32_t)t01, shift1, below1, min, max);
            y += step;
            ESP_DL_KEEP(y);
            esp_dl_store_shifted(y, (int32_t)h00, shift0, below0, min, max);
            esp_dl_store_shifted(y + 1, (int32_t)h01, shift1, below1, min, max);
            y += step;
            ESP_DL_KEEP(y);
            esp_dl_store_shifted(y, (int32_t)t10, shift0, below0, min, max);
            esp_dl_store_shifted(y + 1, (int32_t)t11, shift1, below1, min, max);
            y += step;
            ESP_DL_KEEP(y);
            esp_dl_store_shifted(y, (int32_t)h10, shift0, below0, min, max);
            esp_dl_store_shifted(y + 1, (int32_t)h11, shift1, below1, min, max);
            y += step;
            ESP_DL_KEEP(y);
            esp_dl_store_shifted(y, (int32_t)t20, shift0, below0, min, max);
            esp_dl_store_shifted(y + 1, (int32_t)t21, shift1, below1, min, max);
            y += step;
            ESP_DL_KEEP(y);
            esp_dl_store_shifted(y, (int32_t)h20, shift0, below0, min, max);
            esp_dl_store_shifted(y + 1, (int32_t)h21, shift1, below1, min, max);
            continue;
        }
        const int32_t sums0[PIXELS] = {(int32_t)t00, (int32_t)h00, (int32_t)t10,
                                       (int32_t)h10, (int32_t)t20, (int32_t)h20};
        esp_dl_conv2d_finish(sums0, pixels, p, o, add, output);
        if (o < last) {
            const int32_t sums1[PIXELS] = {(int32_t)t01, (int32_t)h01, (int32_t)t11,
                                           (int32_t)h11, (int32_t)t21, (int32_t)h21};
            esp_dl_conv2d_finish(sums1, pixels, p, o + 1, add, output);
        }
    }
}

/* Not inlined: the caller's variables would take registers from the loops. */
#define TILE(name, pairs)                                                                                              \
    __attribute__((noinline)) static void name(const uint32_t *columns, const esp_dl_conv2d_t *p,                      \
                                               const esp_dl_addend_t *add, int32_t pixels, int32_t apart,              \
                                               int8_t *output)                                                         \
    {                                                                                                                  \
        tile_of(pairs, columns, p, add, pixels, apart, output);                                                        \
    }

TILE(two_pairs, 2)
TILE(three_pairs, 3)

static void convolve(const int8_t *input, esp_dl_addend_t add, const esp_dl_conv2d_t *p, uint32_t *columns,
                     int8_t *output)
{
    const uint32_t base = 0 - (uint32_t)p->weights[0] * 0x10001u; /* less the middle of the input's range */
    const int direct = p->window.kernel_h * p->window.kernel_w * p->window.stride_h * p->window.stride_w == 1 &&
                       p->input.h == p->output.h && p->input.w == p->output.w;
    place_t place = {input, -p->window.pad_top, -p->window.pad_left, 0, 0};
    for (int32_t remaining = p->output.n * p->output.h * p->output.w; remaining > 0; remaining -= PIXELS) {
        const int32_t pixels = remaining < PIXELS ? remaining : PIXELS;
        if (direct) {
            pack_pixels(columns, input, pixels, p->input.c, base);
            input += pixels * p->input.c;
        } else {
            origin_t origins[PIXELS];
            find_origins(origins, &place, p, pixels);
            pack_windows(columns, origins, p, base);
        }
        (pixels > 4 ? three_pairs : two_pairs)(columns, p, &add, pixels, p->output.c, output);
        output += pixels * p->output.c;
        add = esp_dl_addend_behind(add, pixels * p->output.c);
    }
}

/* Values of an input row, from two pixels on, as words `step` apart. a_step, b_step: 1, or 0 where one value, which
 * lies outside the image, stands for all. Not inlined: its values stay in registers. */
__attribute__((noinline)) static uint32_t *pack_apart(uint32_t *words, const int8_t *a, const int8_t *b, int32_t a_step,
                                                      int32_t b_step, int32_t count, int32_t step, uint32_t base)
{
#define NEXT(i) *words = base + (uint32_t)a[i] + ((uint32_t)b[i] << 16), words += step
    if ((a_step & b_step) != 0) {
        for (; count >= 4; count -= 4) {
            NEXT(0);
            NEXT(1);
            NEXT(2);
            NEXT(3);
            a += 4;
            b += 4;
        }
    }
    for (; count > 0; count--) {
        NEXT(0);
        a += a_step;
        b += b_step;
    }
    return words;
}

/* How many of `columns` columns from `first` on are all in an image of `width` columns, or all on one side of it. */
static int32_t alike(int32_t first, int32_t width, int32_t columns)
{
    const int32_t left = first < 0 ? -first : first < width ? width - first : columns;
    return left < columns ? left : columns;
}

/* How windows of six pixels far apart lie in a row. apart: pixels from one to the next; tiles: first pixels, the others
 * are the pixels of the row from `apart` on; columns: of the input that the windows of the first pixels cover */
typedef struct {
    int32_t apart, tiles, columns;
} spread_t;

static spread_t spread_of(const esp_dl_conv2d_t *p)
{
    const int32_t apart = p->output.w / PIXELS, tiles = p->output.w - (PIXELS - 1) * apart;
    return (spread_t){apart, tiles, (tiles - 1) * p->window.stride_w + p->window.kernel_w};
}

/* An input row (NULL: outside the image), as the windows of all pixels of an output row read it. */
__attribute__((noinline)) static void pack_row(uint32_t *words, const int8_t *row, const spread_t *spread,
                                               const esp_dl_conv2d_t *p, uint32_t base)
{
    const int32_t channels = p->input.c, step = p->window.kernel_h * PAIRS;
    const int32_t apart = spread->apart * p->window.stride_w, width = row != NULL ? p->input.w : 0;
    const int8_t outside = (int8_t)p->pad_value;
    int32_t start = -p->window.pad_left;
    for (int32_t pair = 0; pair < PAIRS; pair++) {
        uint32_t *to = words + pair;
        for (int32_t column = 0, count; column < spread->columns; column += count) {
            const int32_t a = start + column, b = a + apart;
            const int in_a = (uint32_t)a < (uint32_t)width, in_b = (uint32_t)b < (uint32_t)width;
            count = alike(b, width, alike(a, width, spread->columns - column));
            to = pack_apart(to, in_a ? row + a * channels : &outside, in_b ? row + b * channels : &outside, in_a, in_b,
                            count * channels, step, base);
        }
        start += 2 * apart;
    }
}

int32_t esp_dl_conv2d_s8_6x2_apart_scratch(const esp_dl_conv2d_t *p)
{
    const int32_t values = p->window.kernel_h * spread_of(p).columns * p->input.c;
    return PAIRS * (int32_t)sizeof(uint32_t) * (values + 1);
}

void esp_dl_conv2d_s8_6x2_apart(const int8_t *input, const esp_dl_conv2d_t *p, void *scratch, int8_t *output)
{
    const uint32_t base = 0 - (uint32_t)p->weights[0] * 0x10001u; /* less the middle of the input's range */
    const esp_dl_window_t *window = &p->window;
    const int32_t channels = p->input.c, row = p->input.w * channels, height = window->kernel_h;
    const esp_dl_addend_t none = {NULL, NULL};
    const spread_t spread = spread_of(p);
    uint32_t *words = scratch;
    /* What the last window reads where the exporter made the number of values even. */
    for (int32_t pair = 0; pair < PAIRS; pair++) {
        words[height * spread.columns * channels * PAIRS + pair] = base;
    }
    for (int32_t n = 0; n < p->output.n; n++) {
        for (int32_t i = 0; i < p->output.h; i++) {
            for (int32_t kh = 0; kh < height; kh++) {
                const int32_t h = i * window->stride_h - window->pad_top + kh * window->dilation_h;
                pack_row(words + kh * PAIRS, (uint32_t)h < (uint32_t)p->input.h ? input + h * row : NULL, &spread, p,
                         base);
            }
            const uint32_t *columns = words;
            for (int32_t j = 0; j < spread.tiles; j++) {
                three_pairs(columns, p, &none, PIXELS, spread.apart * p->output.c, output + j * p->output.c);
                columns += window->stride_w * channels * height * PAIRS;
            }
            output += p->output.w * p->output.c;
        }
        input += p->input.h * row;
    }
}

int32_t esp_dl_conv2d_s8_6x2_scratch(const esp_dl_conv2d_t *p)
{
    const int32_t values = p->window.kernel_h * p->window.kernel_w * p->input.c;
    return PAIRS * (int32_t)sizeof(uint32_t) * (values + 1);
}

int32_t esp_dl_conv2d_add_s8_6x2_scratch(const esp_dl_conv2d_add_t *p)
{
    return esp_dl_conv2d_s8_6x2_scratch(&p->conv2d);
}

void esp_dl_conv2d_s8_6x2(const int8_t *input, const esp_dl_conv2d_t *p, void *scratch, int8_t *output)
{
    convolve(input, (esp_dl_addend_t){NULL, NULL}, p, scratch, output);
}

void esp_dl_conv2d_add_s8_6x2(const int8_t *input, const int8_t *addend, const esp_dl_conv2d_add_t *p, void *scratch,
                              int8_t *output)
{
    convolve(input, (esp_dl_addend_t){addend, p->addend_shift}, &p->conv2d, scratch, output);
}
