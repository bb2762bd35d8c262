"""preprocess.c for parts of a frame that are known only when it is there: the same sums as for whole frames, with what
depends on the part computed on the chip instead of in tables."""

from __future__ import annotations

import re
from typing import List

from .image import BILINEAR_BITS
from .image_spec import ImageSpec

# What the templates of image_c.py call a constant, and where a part has it.
_AT_RUN_TIME = {
    "SOURCE_X": "part->x",
    "SOURCE_Y": "part->y",
    "SOURCE_WIDTH": "part->width",
    "SOURCE_HEIGHT": "part->height",
    "NEXT_COLUMN": "(part->width > 1)",
    "NEXT_ROW": "(part->height > 1)",
    "SPAN_X": "across.span",
    "WHOLE_Y": "down.whole",
    "SPAN_Y": "down.span",
}

HEADER = """\
/* A rectangle of a frame in pixels. */
typedef struct {
    int32_t x, y, width, height;
} preprocess_part_t;
""".splitlines()

_CHECK = """\
/* Whether a part has pixels and lies inside of the frame. */
static bool is_inside(const preprocess_part_t *part)
{
    return part->x >= 0 && part->y >= 0 && part->width > 0 && part->height > 0 && part->width <= FRAME_WIDTH &&
           part->height <= FRAME_HEIGHT && part->x <= FRAME_WIDTH - part->width &&
           part->y <= FRAME_HEIGHT - part->height;
}
""".splitlines()

_NEIGHBOURS = f"""\
/* The first of two neighbours in the source; the weight of the second in units of 2^-{BILINEAR_BITS}. */
typedef struct {{
    uint32_t start, second;
}} neighbours_t;

/* Those of pixel `i` of `target` along an axis with `source` pixels. */
static inline neighbours_t neighbours_of(int32_t i, int32_t source, int32_t target)
{{
    const int32_t distance = (2 * i + 1) * source - target;
    if (distance <= 0 || source == 1) {{
        return (neighbours_t){{0, 0}};
    }}
    /* distance * 2^{BILINEAR_BITS - 1} / target, which does not fit 32 bits before the division. */
    const int32_t whole = distance / target, rest = distance % target;
    const int32_t position = (whole << {BILINEAR_BITS - 1}) + (rest << {BILINEAR_BITS - 1}) / target;
    const int32_t most = (source - 1) << {BILINEAR_BITS};
    if (position >= most) {{
        return (neighbours_t){{(uint32_t)source - 2, 1u << {BILINEAR_BITS}}};
    }}
    return (neighbours_t){{(uint32_t)position >> {BILINEAR_BITS}, (uint32_t)position & ((1u << {BILINEAR_BITS}) - 1)}};
}}
""".splitlines()

_SPANS = """\
/* What a target pixel covers: one source pixel in part (or none: weight 0), some whole, one in part. */
typedef struct {
    int32_t start;
    uint32_t first;
    int32_t whole;
    uint32_t last;
} span_t;

/* Along an axis, how long source pixels (whole) and target pixels (span) are in the unit that divides both. */
typedef struct {
    uint32_t whole, span;
} lengths_t;

static lengths_t lengths_of(int32_t source, int32_t target)
{
    int32_t divisor = source, rest = target;
    while (rest != 0) {
        const int32_t next = divisor % rest;
        divisor = rest;
        rest = next;
    }
    return (lengths_t){(uint32_t)(target / divisor), (uint32_t)(source / divisor)};
}

static inline span_t span_of(int32_t i, const lengths_t *lengths)
{
    const uint32_t begin = (uint32_t)i * lengths->span, end = begin + lengths->span;
    const uint32_t start = begin / lengths->whole, stop = end / lengths->whole;
    const uint32_t before = begin - start * lengths->whole, after = end - stop * lengths->whole;
    if (start == stop) {
        return (span_t){(int32_t)start, lengths->span, 0, 0};
    }
    const uint32_t first = before == 0 ? 0 : lengths->whole - before;
    return (span_t){(int32_t)start, first, (int32_t)(stop - start - (first != 0)), after};
}
""".splitlines()


def declaration(form: str, end: str = ";") -> List[str]:
    """Of the function for frames in `form`."""
    return [f"bool preprocess_{form}_part(const uint8_t *frame, const preprocess_part_t *part, int8_t *input){end}"]


def helpers(spec: ImageSpec) -> List[str]:
    """What takes the place of the tables."""
    return [*_CHECK, "", *{"nearest": [], "bilinear": [*_NEIGHBOURS, ""], "area": [*_SPANS, ""]}[spec.resize]]


def row_function(text: str) -> str:
    """The function that adds a row of an area, with the weight of a whole column as an argument."""
    text = text.replace("uint32_t weight,\n", "uint32_t whole_x,\n")
    text = text.replace("uint32_t sum[CHANNELS])", "uint32_t weight, uint32_t sum[CHANNELS])")
    return text.replace("WHOLE_X", "whole_x")


def functions(form: str, body: str) -> List[str]:
    """The function for a part, of the body of that for a whole frame, and the one for the whole frame."""
    for old, new in (
        (
            "        const span_t *rows_of = &rows[y];",
            "        const span_t of_row = span_of(y, &down), *rows_of = &of_row;",
        ),
        (
            "            const span_t *span = &columns[x];",
            "            const span_t of = span_of(x, &across), *span = &of;",
        ),
        ("pixel, span, ", "pixel, span, across.whole, "),
        ("        const uint32_t below = rows[y].second;", _ROWS + "        const uint32_t below = rows.second;"),
        (
            "            const uint32_t right = columns[x].second;",
            _COLUMNS + "            const uint32_t right = columns.second;",
        ),
        ("rows[y].start", "(int32_t)rows.start"),
        ("columns[x].start", "(int32_t)columns.start"),
    ):
        body = body.replace(old, new)
    body = re.sub(r"\b[A-Z]+_[A-Z]+\b", lambda found: _AT_RUN_TIME.get(found.group(), found.group()), body)
    lines = [*declaration(form, ""), "{", "    if (!is_inside(part)) {", "        return false;", "    }"]
    if "across." in body:
        lines.append(
            "    const lengths_t across = lengths_of(part->width, WIDTH), down = lengths_of(part->height, HEIGHT);"
        )
    whole = "{0, 0, FRAME_WIDTH, FRAME_HEIGHT}"
    return [
        *lines,
        *body.splitlines(),
        "    return true;",
        "}",
        "",
        f"void preprocess_{form}(const uint8_t *frame, int8_t *input)",
        "{",
        f"    preprocess_{form}_part(frame, &(preprocess_part_t){whole}, input);",
        "}",
        "",
    ]


_ROWS = "        const neighbours_t rows = neighbours_of(y, part->height, HEIGHT);\n"
_COLUMNS = "            const neighbours_t columns = neighbours_of(x, part->width, WIDTH);\n"
