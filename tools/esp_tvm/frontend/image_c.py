"""preprocess.c and preprocess.h: camera bytes to the model's int8 input, the same integers as in image.py."""

from __future__ import annotations

from pathlib import Path
from typing import Dict, List

import numpy as np

from ..errors import UserError
from ..program.ports import worth_text
from . import c_text, image_part_c
from .image import BILINEAR_BITS, axis, geometry, to_gray
from .image_spec import CHANNELS, FORMATS, Camera, ImageSpec

_LOAD = {
    "rgb565_be": "const uint32_t word = (uint32_t)frame[2 * pixel] << 8 | frame[2 * pixel + 1];",
    "rgb565_le": "const uint32_t word = (uint32_t)frame[2 * pixel + 1] << 8 | frame[2 * pixel];",
    "rgb888": "const uint8_t *bytes = frame + 3 * pixel;",
    "bgr888": "const uint8_t *bytes = frame + 3 * pixel;",
}
_BYTES = {"rgb888": ("bytes[0]", "bytes[1]", "bytes[2]"), "bgr888": ("bytes[2]", "bytes[1]", "bytes[0]")}
_RGB565 = ("expand5(word >> 11)", "expand6(word >> 5 & 63)", "expand5(word & 31)")
_RGB565_RAW = ("word >> 11", "word >> 5 & 63", "word & 31")
_FORMAT_TEXT = {
    "rgb565_be": "16 bits a pixel, red in the highest bits, the high byte first",
    "rgb565_le": "16 bits a pixel, red in the highest bits, the low byte first",
    "rgb888": "three bytes a pixel: red, green, blue",
    "bgr888": "three bytes a pixel: blue, green, red",
    "gray8": "one byte a pixel: brightness",
}


def check_camera(spec: ImageSpec) -> Camera:
    """The camera; `UserError` where the YAML names none."""
    if spec.camera is None:
        raise UserError(f"{spec.label}: camera: is missing; state width, height and formats of the board's frames")
    return spec.camera


def emit_preprocess(spec: ImageSpec, exponent: int, layout: str, zero_point: int = 0) -> Dict[str, str]:
    """Files of the component, path below it -> text.

    exponent, zero_point: q of the model's int8 input is worth (q - zero_point) * 2^exponent
    layout: of that input (NHWC or NCHW, batch of 1)
    """
    camera = check_camera(spec)
    files = {
        "CMakeLists.txt": c_text.cmake(["src/preprocess.c"]),
        "include/preprocess.h": _header(spec, camera, exponent, layout, zero_point),
        "src/preprocess.c": _source(spec, camera, exponent, layout, zero_point),
    }
    if spec.labels:
        files["include/labels.h"] = c_text.labels(_title(spec), spec.labels)
    return files


def _title(spec: ImageSpec) -> str:
    return Path(spec.label).name


def _header(spec: ImageSpec, camera: Camera, exponent: int, layout: str, zero_point: int) -> str:
    plane = f"{spec.height},{spec.width}"
    shape = f"1,{plane},{spec.depth}" if layout == "NHWC" else f"1,{spec.depth},{plane}"
    worth = worth_text(exponent, zero_point)
    lines = c_text.head(
        _title(spec),
        " *",
        f" * Frames of {camera.width} x {camera.height} pixels, rows from the top without gaps, become the model's",
        f" * input int8[{shape}], {spec.channels}, worth {worth}. {spec.fit}, {spec.resize}.",
        " * Integers only, no heap, no state: any number of tasks may call these at once.",
    )
    lines += ["#ifndef PREPROCESS_H", "#define PREPROCESS_H", ""]
    lines += ["#include <stdbool.h>", "#include <stdint.h>", ""] if camera.parts else ["#include <stdint.h>", ""]
    lines += ["#ifdef __cplusplus", 'extern "C" {', "#endif", ""]
    lines += [
        f"#define PREPROCESS_FRAME_WIDTH {camera.width}",
        f"#define PREPROCESS_FRAME_HEIGHT {camera.height}",
        f"#define PREPROCESS_INPUT_SIZE {spec.width * spec.height * spec.depth}",
        f"#define PREPROCESS_INPUT_EXPONENT ({exponent})",
        f"#define PREPROCESS_INPUT_ZERO_POINT ({zero_point})",
        "",
    ]
    if camera.parts:
        lines += [*image_part_c.HEADER, ""]
    for form in camera.formats:
        lines += [
            f"/* Frames with {_FORMAT_TEXT[form]}. */",
            f"#define PREPROCESS_FRAME_{form.upper()}_SIZE {camera.width * camera.height * FORMATS[form]}",
            f"void preprocess_{form}(const uint8_t *frame, int8_t *input);",
            "",
        ]
        if camera.parts:
            lines += [
                "/* The same of a part; false, and nothing is written, if it is empty or not inside of the frame. */"
            ]
            lines += [*image_part_c.declaration(form), ""]
    lines += ["#ifdef __cplusplus", "}", "#endif", "", "#endif", ""]
    return "\n".join(lines)


def _source(spec: ImageSpec, camera: Camera, exponent: int, layout: str, zero_point: int) -> str:
    """The C file; its sums fit 32 bits because frames have at most MAX_FRAME_PIXELS pixels."""
    place = geometry(spec, camera.width, camera.height)
    source_x, source_y, source_width, source_height = place.source
    target_x, target_y, target_width, target_height = place.target
    constants = {
        "FRAME_WIDTH": camera.width,
        "WIDTH": spec.width,
        "HEIGHT": spec.height,
        "CHANNELS": spec.depth,
        # The part of the frame that is used, and where in the input it goes.
        "SOURCE_X": source_x,
        "SOURCE_Y": source_y,
        "SOURCE_WIDTH": source_width,
        "SOURCE_HEIGHT": source_height,
        "TARGET_X": target_x,
        "TARGET_Y": target_y,
        "TARGET_WIDTH": target_width,
        "TARGET_HEIGHT": target_height,
    }
    if camera.parts:
        constants = {
            "FRAME_WIDTH": camera.width,
            "FRAME_HEIGHT": camera.height,
            **{name: value for name, value in constants.items() if not name.startswith(("SOURCE", "FRAME"))},
        }
    values = spec.int8_table(exponent, zero_point)
    # What of RGB565 needs no arithmetic on pixels has tables of its own, 32 or 64 entries for 5 or 6 bits.
    direct = [f for f in camera.formats if f.startswith("rgb565") and _is_direct(spec)]
    lines = [*c_text.head(_title(spec)), '#include "preprocess.h"', ""]
    lines.append("enum {")
    lines += [f"    {name} = {value}," for name, value in constants.items()]
    lines += ["};", ""]
    lines += ["/* Where channel c of the input's pixel (x, y) lies. */", _index(layout), ""]
    if len(direct) < len(camera.formats) or target_width * target_height < spec.width * spec.height:
        lines.append("/* The input's value of each 8-bit value, a row per channel. */")
        lines += c_text.table("int8_t", "values", values.ravel(), "[CHANNELS * 256]")
        lines += ["", *_unrolled(_store(), spec.depth), ""]
    if direct:
        lines += _direct_tables(spec, values)
    if any(f.startswith("rgb565") and f not in direct for f in camera.formats):
        lines += _EXPAND
    if spec.channels == "gray" and set(camera.formats) != {"gray8"}:
        lines += _GRAY
    if camera.parts:
        lines += image_part_c.helpers(spec)
    elif spec.resize == "bilinear":
        lines += _bilinear_tables(place)
    elif spec.resize == "area":
        lines += _area_tables(place)
    bordered = place.target != (0, 0, spec.width, spec.height)
    if bordered:
        lines += _border(spec)
    for form in camera.formats:
        if form not in direct:
            lines += _load(spec, form)
            if spec.resize == "area":
                row = image_part_c.row_function(_AREA_ROW) if camera.parts else _AREA_ROW
                lines += [*_unrolled(row.replace("@", form).splitlines(), spec.depth), ""]
        body = _direct_body(spec, form) if form in direct else _BODIES[spec.resize]
        if camera.parts:
            lines += _unrolled(image_part_c.functions(form, body.replace("@", form)), spec.depth)
            continue
        lines.append(f"void preprocess_{form}(const uint8_t *frame, int8_t *input)")
        lines.append("{")
        if bordered:
            lines.append("    fill_border(input);")
        lines += _unrolled(body.replace("@", form).splitlines(), spec.depth)
        lines += ["}", ""]
    return "\n".join(lines)


def _unrolled(lines: List[str], channels: int) -> List[str]:
    """Lines with [c] or #c once for every channel: compilers keep in registers what has no index that changes."""
    result = []
    for line in lines:
        line = line.replace("[c]", "[#c]")
        result += [line.replace("#c", str(c)) for c in range(channels if "#c" in line else 1)]
    return result


def _is_direct(spec: ImageSpec) -> bool:
    return spec.resize == "nearest" and spec.channels != "gray"


def _index(layout: str) -> str:
    if layout == "NHWC":
        return "#define INDEX(x, y, c) (((y) * WIDTH + (x)) * CHANNELS + (c))"
    return "#define INDEX(x, y, c) (((c) * HEIGHT + (y)) * WIDTH + (x))"


def _store() -> List[str]:
    return """\
static inline void store(int8_t *input, int32_t x, int32_t y, const uint32_t v[CHANNELS])
{
    input[INDEX(x, y, #c)] = values[#c * 256 + (int32_t)v[#c]];
}""".splitlines()


def _direct_tables(spec: ImageSpec, values: np.ndarray) -> List[str]:
    lines = ["/* The input's value of each 5-bit and 6-bit value of RGB565. */"]
    five, six = np.arange(32), np.arange(64)
    for c, colour in enumerate(CHANNELS[spec.channels]):
        expanded = six << 2 | six >> 4 if colour == 1 else five << 3 | five >> 2
        lines += c_text.table("int8_t", ("red5", "green6", "blue5")[colour], values[c][expanded])
    return [*lines, ""]


_EXPAND = """\
/* 5 and 6 bits to 8, so that the largest value stays the largest. */
static inline uint32_t expand5(uint32_t v)
{
    return v << 3 | v >> 2;
}

static inline uint32_t expand6(uint32_t v)
{
    return v << 2 | v >> 4;
}
""".splitlines()

_GRAY = """\
static inline uint32_t to_gray(uint32_t red, uint32_t green, uint32_t blue)
{
    return (77 * red + 150 * green + 29 * blue + 128) >> 8;
}
""".splitlines()


def _load(spec: ImageSpec, form: str) -> List[str]:
    """The function that reads a pixel's 8-bit channels in the model's order."""
    lines = [
        f"static inline void load_{form}(const uint8_t *frame, int32_t pixel, uint32_t v[CHANNELS])",
        "{",
    ]
    if form == "gray8":
        return [*lines, *(f"    v[{c}] = frame[pixel];" for c in range(spec.depth)), "}", ""]
    lines.append(f"    {_LOAD[form]}")
    colours = _BYTES.get(form, _RGB565)
    if spec.channels == "gray":
        lines.append(f"    v[0] = to_gray({', '.join(colours)});")
    else:
        lines += [f"    v[{c}] = {colours[colour]};" for c, colour in enumerate(CHANNELS[spec.channels])]
    return [*lines, "}", ""]


def _border(spec: ImageSpec) -> List[str]:
    colour = np.array(spec.pad, np.uint8)
    if spec.channels == "gray":
        pad = to_gray(colour.reshape(1, 1, 3)).ravel()
    else:
        pad = colour[list(CHANNELS[spec.channels])]
    return f"""\
/* The whole input in the colour of the border. */
static void fill_border(int8_t *input)
{{
    static const uint32_t colour[CHANNELS] = {{{", ".join(map(str, pad))}}};
    for (int32_t y = 0; y < HEIGHT; y++) {{
        for (int32_t x = 0; x < WIDTH; x++) {{
            store(input, x, y, colour);
        }}
    }}
}}
""".splitlines()


_NEAREST_LOOP = """\
    /* The pixel of the source at (i + 1/2) * source / target. */
    for (int32_t y = 0; y < TARGET_HEIGHT; y++) {
        const int32_t row = SOURCE_Y + (2 * y + 1) * SOURCE_HEIGHT / (2 * TARGET_HEIGHT);
        for (int32_t x = 0; x < TARGET_WIDTH; x++) {
            const int32_t column = SOURCE_X + (2 * x + 1) * SOURCE_WIDTH / (2 * TARGET_WIDTH);
            const int32_t pixel = row * FRAME_WIDTH + column;
"""
_NEAREST = (
    _NEAREST_LOOP
    + """\
            uint32_t v[CHANNELS];
            load_@(frame, pixel, v);
            store(input, TARGET_X + x, TARGET_Y + y, v);
        }
    }
"""
)


def _direct_body(spec: ImageSpec, form: str) -> str:
    lines = [f"            {_LOAD[form]}"]
    for c, colour in enumerate(CHANNELS[spec.channels]):
        name = ("red5", "green6", "blue5")[colour]
        lines.append(f"            input[INDEX(TARGET_X + x, TARGET_Y + y, {c})] = {name}[{_RGB565_RAW[colour]}];")
    return _NEAREST_LOOP + "\n".join([*lines, "        }", "    }", ""])


def _bilinear_tables(place) -> List[str]:
    """Starts and second weights; a source of one pixel has no second one, its weight stays 0."""
    lines = [
        f"/* The first of two neighbours in the source; the weight of the second in units of 2^-{BILINEAR_BITS}. */",
        "typedef struct {",
        "    uint16_t start, second;",
        "} neighbours_t;",
        "",
        "enum {",
        f"    NEXT_COLUMN = {int(place.source[2] > 1)},",
        f"    NEXT_ROW = {int(place.source[3] > 1)},",
        "};",
        "",
    ]
    for name, side in (("columns", 2), ("rows", 3)):
        taps = axis("bilinear", place.source[side], place.target[side])
        pairs = [(start, weights[1] if len(weights) > 1 else 0) for start, weights in zip(taps.starts, taps.weights)]
        lines.append(f"static const neighbours_t {name}[{len(pairs)}] = {{")
        for i in range(0, len(pairs), 8):
            lines.append("    " + ", ".join(f"{{{a}, {b}}}" for a, b in pairs[i : i + 8]) + ",")
        lines += ["};", ""]
    return lines


_BILINEAR = f"""\
    for (int32_t y = 0; y < TARGET_HEIGHT; y++) {{
        const uint32_t below = rows[y].second;
        const uint32_t above = (1u << {BILINEAR_BITS}) - below;
        const int32_t row = (SOURCE_Y + rows[y].start) * FRAME_WIDTH + SOURCE_X;
        for (int32_t x = 0; x < TARGET_WIDTH; x++) {{
            const uint32_t right = columns[x].second;
            const uint32_t left = (1u << {BILINEAR_BITS}) - right;
            const int32_t pixel = row + columns[x].start;
            uint32_t p[CHANNELS], q[CHANNELS], r[CHANNELS], s[CHANNELS], v[CHANNELS];
            load_@(frame, pixel, p);
            load_@(frame, pixel + NEXT_COLUMN, q);
            load_@(frame, pixel + NEXT_ROW * FRAME_WIDTH, r);
            load_@(frame, pixel + NEXT_ROW * FRAME_WIDTH + NEXT_COLUMN, s);
            v[c] = above * (left * p[c] + right * q[c]) + below * (left * r[c] + right * s[c]);
            v[c] = (v[c] + (1u << {2 * BILINEAR_BITS - 1})) >> {2 * BILINEAR_BITS};
            store(input, TARGET_X + x, TARGET_Y + y, v);
        }}
    }}
"""


def _area_tables(place) -> List[str]:
    """Along each axis: a target pixel's first source pixel and its weight, how many follow whole, the last's weight."""
    across, down = (axis("area", place.source[side], place.target[side]) for side in (2, 3))
    lines = [
        "/* What a target pixel covers: one source pixel in part (or none: weight 0), some whole, one in part. */",
        "typedef struct {",
        "    uint16_t start, first, whole, last;",
        "} span_t;",
        "",
        "/* The weight of a whole one, and of all together. */",
        "enum {",
    ]
    for name, taps, side in (("X", across, 2), ("Y", down, 3)):
        lines.append(f"    WHOLE_{name} = {place.target[side] * taps.total // place.source[side]},")
        lines.append(f"    SPAN_{name} = {taps.total},")
    lines += ["};", ""]
    for name, taps, side in (("columns", across, 2), ("rows", down, 3)):
        whole = place.target[side] * taps.total // place.source[side]
        spans = [_span(start, weights, whole) for start, weights in zip(taps.starts, taps.weights)]
        lines.append(f"static const span_t {name}[{len(spans)}] = {{")
        for i in range(0, len(spans), 5):
            lines.append("    " + ", ".join(spans[i : i + 5]) + ",")
        lines += ["};", ""]
    return lines


def _span(start: int, weights: List[int], whole: int) -> str:
    first = weights[0] if weights[0] < whole else 0
    rest = weights[1:] if first else weights
    last = rest[-1] if rest and rest[-1] < whole else 0
    return f"{{{start}, {first}, {len(rest) - (1 if last else 0)}, {last}}}"


# One row of the frame, to the sum of a target pixel's part of it.
_AREA_ROW = """\
/* Adds `weight` times what columns[x] covers of the row that begins at `pixel`. */
static inline void add_row_@(const uint8_t *frame, int32_t pixel, const span_t *span, uint32_t weight,
                             uint32_t sum[CHANNELS])
{
    uint32_t v[CHANNELS], part[CHANNELS] = {0}, whole[CHANNELS] = {0};
    pixel += span->start;
    if (span->first != 0) {
        load_@(frame, pixel++, v);
        part[c] = span->first * v[c];
    }
    for (const int32_t end = pixel + span->whole; pixel < end; pixel++) {
        load_@(frame, pixel, v);
        whole[c] += v[c];
    }
    if (span->last != 0) {
        load_@(frame, pixel, v);
        part[c] += span->last * v[c];
    }
    sum[c] += weight * (part[c] + WHOLE_X * whole[c]);
}
"""

_AREA = """\
    const uint32_t total = (uint32_t)SPAN_X * SPAN_Y;
    for (int32_t y = 0; y < TARGET_HEIGHT; y++) {
        const span_t *rows_of = &rows[y];
        for (int32_t x = 0; x < TARGET_WIDTH; x++) {
            const span_t *span = &columns[x];
            uint32_t sum[CHANNELS] = {0};
            int32_t pixel = (SOURCE_Y + rows_of->start) * FRAME_WIDTH + SOURCE_X;
            if (rows_of->first != 0) {
                add_row_@(frame, pixel, span, rows_of->first, sum);
                pixel += FRAME_WIDTH;
            }
            for (int32_t row = 0; row < rows_of->whole; row++) {
                add_row_@(frame, pixel, span, WHOLE_Y, sum);
                pixel += FRAME_WIDTH;
            }
            if (rows_of->last != 0) {
                add_row_@(frame, pixel, span, rows_of->last, sum);
            }
            sum[c] = (sum[c] + total / 2) / total;
            store(input, TARGET_X + x, TARGET_Y + y, sum);
        }
    }
"""

_BODIES = {"nearest": _NEAREST, "bilinear": _BILINEAR, "area": _AREA}
