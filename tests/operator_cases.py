"""The table of operator cases: shapes and attributes of kernel calls, the edges that have bitten others among them.

It drives the tests of the kernels in C and of the Relay reference against the NumPy rules. A new operator adds its
rows here; `CASES` holds all of them.
"""

from __future__ import annotations

import itertools
import zlib
from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np
from wide_cases import widened

INT8 = (-128, 127)


@dataclass(frozen=True)
class Case:
    """One kernel call with its constants.

    inputs: (shape, dtype) of each, as in memory; attributes: those of the rule in `esp_tvm.arithmetic`
    """

    name: str
    operator: str
    inputs: Tuple[Tuple[Tuple[int, ...], str], ...]
    attributes: Dict[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return f"{self.operator}: {self.name}"

    def samples(self) -> List[List[np.ndarray]]:
        """Sets of inputs: random ones, and ones of extremes alone."""
        random = _random(self.id)
        sets = [[make(random, shape, dtype) for shape, dtype in self.inputs] for make in (_uniform, _extremes)]
        if self.operator in ("quantize", "quantize_s16"):
            sets[0] = [_near_ties(random, *self.inputs[0], self.attributes["exponent"])]
        return sets


def _random(text: str) -> np.random.RandomState:
    return np.random.RandomState(zlib.crc32(text.encode()))


def _uniform(random: np.random.RandomState, shape: Sequence[int], dtype: str) -> np.ndarray:
    if dtype == "int8":
        return random.randint(-128, 128, shape).astype(np.int8)
    if dtype == "uint8":
        return random.randint(0, 256, shape).astype(np.uint8)
    if dtype == "int16":
        return random.randint(-(2**15), 2**15, shape).astype(np.int16)
    return random.standard_normal(shape).astype(np.float32)


def _near_ties(random: np.random.RandomState, shape: Sequence[int], dtype: str, exponent: int) -> np.ndarray:
    """Halves of 2^exponent, where rounding decides, and their neighbours in float32."""
    with np.errstate(over="ignore"):
        x = (random.randint(-280, 280, shape) * 0.5 * 2.0**exponent).astype(dtype)
        neighbours = np.nextafter(x, random.choice(np.array([-np.inf, np.inf], dtype), shape))
    return np.where(random.randint(2, size=shape), x, neighbours)


def _extremes(random: np.random.RandomState, shape: Sequence[int], dtype: str) -> np.ndarray:
    if dtype == "int8":
        return random.choice(np.array([-128, -128, 127], np.int8), shape)
    if dtype == "uint8":
        return random.choice(np.array([0, 127, 128, 255], np.uint8), shape)
    if dtype == "int16":
        return random.choice(np.array([-(2**15), -(2**15), 2**15 - 1], np.int16), shape)
    # Any bits at all: denormals, infinities and NaN too.
    return random.randint(0, 2**32, shape, dtype=np.uint32).view(np.float32)


# --- operators with weights -------------------------------------------------------------------------------

# Right shifts that spread results over int8, and the edges: none, to the left, all bits out.
_SHIFTS = (9, 10, 11, 8, 7, 12, 1, 0, -1, -8, 24, 31)


def _weighted(case: str, weights: Tuple[int, ...], outputs: int, shifts: Sequence[int] = _SHIFTS, **attributes):
    random = _random(case)
    if attributes.pop("extreme", False):
        values = random.choice(np.array([-128, 127], np.int8), weights)
    else:
        values = random.randint(-128, 128, weights).astype(np.int8)
    return {
        "weights": values,
        "bias": random.randint(-(2**13), 2**13, outputs).astype(np.int32),
        "shift": np.resize(np.asarray(shifts, dtype=np.int32), outputs),
        **attributes,
    }


def _window(**changes) -> dict:
    return {"strides": (1, 1), "padding": (0, 0, 0, 0), "dilation": (1, 1), "clamp": INT8, **changes}


def _conv2d(name, x, outputs, kernel, groups=1, **attributes) -> Case:
    weights = (outputs, *kernel, x[3] // groups)
    attributes = _weighted(name, weights, outputs, **_window(**attributes), groups=groups)
    return Case(name, "conv2d", ((x, "int8"),), attributes)


def _depthwise(name, x, kernel, multiplier=1, **attributes) -> Case:
    outputs = x[3] * multiplier
    attributes = _weighted(name, (*kernel, outputs), outputs, **_window(**attributes))
    return Case(name, "depthwise_conv2d", ((x, "int8"),), attributes)


def _dense(name, x, outputs, **attributes) -> Case:
    attributes = _weighted(name, (outputs, x[-1]), outputs, **{"clamp": INT8, **attributes})
    return Case(name, "dense", ((x, "int8"),), attributes)


def _convolutions() -> List[Case]:
    return [
        _conv2d("one value", (1, 1, 1, 1), 1, (1, 1)),
        _conv2d("1x1", (1, 5, 7, 16), 32, (1, 1)),
        _conv2d("1x1 with odd sizes", (1, 3, 5, 7), 13, (1, 1)),
        _conv2d("1x1 with stride 2", (1, 7, 6, 8), 12, (1, 1), strides=(2, 2)),
        _conv2d("3x3 same", (1, 8, 8, 16), 16, (3, 3), padding=(1, 1, 1, 1)),
        _conv2d("3x3 stride 2, padded at the end", (1, 8, 8, 3), 12, (3, 3), strides=(2, 2), padding=(0, 0, 1, 1)),
        _conv2d("3x3 extremes", (1, 4, 4, 64), 6, (3, 3), padding=(1, 1, 1, 1), extreme=True, shifts=(16, 14, 17)),
        _conv2d("batch", (3, 6, 5, 4), 12, (3, 3), padding=(1, 1, 1, 1)),
        _conv2d("5x5", (1, 9, 8, 3), 12, (5, 5), padding=(2, 2, 2, 2)),
        _conv2d("asymmetric", (2, 7, 9, 5), 12, (3, 2), strides=(2, 3), padding=(2, 0, 1, 3)),
        _conv2d("dilated", (1, 9, 11, 4), 12, (3, 3), dilation=(2, 3), padding=(2, 3, 2, 3)),
        _conv2d("all: stride, dilation, padding", (2, 10, 9, 6), 12, (3, 2), strides=(3, 2), dilation=(2, 4),
                padding=(1, 3, 0, 2), groups=3),
        _conv2d("window larger than the image", (1, 2, 3, 4), 12, (5, 7), padding=(2, 3, 2, 3)),
        _conv2d("windows in the padding alone", (1, 2, 2, 3), 12, (2, 2), padding=(4, 4, 4, 4)),
        _conv2d("1-D", (1, 1, 30, 4), 12, (1, 9), strides=(1, 2), padding=(0, 4, 0, 4)),
        _conv2d("a row", (1, 30, 1, 4), 12, (7, 1), padding=(3, 0, 3, 0)),
        _conv2d("two groups", (1, 5, 5, 8), 12, (3, 3), groups=2),
        _conv2d("one output per group", (1, 5, 5, 8), 4, (3, 3), groups=4),
        _conv2d("relu", (1, 5, 5, 8), 12, (3, 3), clamp=(0, 127)),
        _conv2d("relu6", (1, 5, 5, 8), 12, (3, 3), clamp=(0, 96)),
        _conv2d("clip below 0", (1, 5, 5, 8), 12, (3, 3), clamp=(-100, -3)),
        _conv2d("10x4, as keyword spotting begins", (1, 49, 10, 1), 16, (10, 4), strides=(2, 2), padding=(4, 1, 5, 1)),
        _depthwise("one value", (1, 1, 1, 1), (1, 1)),
        _depthwise("3x3 same", (1, 6, 7, 16), (3, 3), padding=(1, 1, 1, 1)),
        _depthwise("3x3 stride 2", (1, 9, 8, 12), (3, 3), strides=(2, 2), padding=(1, 1, 1, 1)),
        _depthwise("3x3 stride 2, padded at the end", (1, 8, 8, 12), (3, 3), strides=(2, 2), padding=(0, 0, 1, 1)),
        _depthwise("odd channels", (1, 5, 5, 7), (3, 3), padding=(1, 1, 1, 1)),
        _depthwise("5x5", (1, 8, 8, 12), (5, 5), padding=(2, 2, 2, 2)),
        _depthwise("batch and multiplier", (2, 5, 6, 4), (3, 3), multiplier=3, padding=(1, 0, 0, 1)),
        _depthwise("dilated", (1, 9, 9, 12), (3, 3), dilation=(3, 2), padding=(1, 2, 3, 0)),
        _depthwise("asymmetric, clip", (1, 7, 5, 12), (2, 3), strides=(1, 2), padding=(0, 2, 3, 1), clamp=(-7, 90)),
        _depthwise("1-D", (1, 1, 20, 12), (1, 5), padding=(0, 2, 0, 2)),
        _depthwise("extremes", (1, 5, 5, 8), (3, 3), extreme=True, shifts=(11, 12, 10, 4)),
    ]  # fmt: skip


def _products() -> List[Case]:
    return [
        _dense("one value", (1, 1), 1),
        _dense("a row", (1, 64), 12),
        _dense("rows, odd sizes", (5, 13), 7),
        _dense("more rows", (6, 10), 12),
        _dense("relu", (1, 31), 12, clamp=(0, 127)),
        _dense("long, extremes", (1, 2000), 4, extreme=True, shifts=(17, 20, 21, 31)),
    ]


# --- elementwise ------------------------------------------------------------------------------------------


def _elementwise() -> List[Case]:
    cases = []
    pair = (((2, 3, 4, 5), "int8"),) * 2
    for operator in ("add", "sub"):
        for a, b, shift, clamp in (
            (0, 0, 0, INT8),
            (0, 0, 1, INT8),
            (2, 0, 1, (0, 127)),
            (0, 3, 4, (-100, 50)),
            (0, 1, -1, INT8),
            (0, 0, -8, INT8),
            (22, 0, 22, INT8),
            (0, 22, 30, INT8),
        ):
            attributes = {"shift_a": a, "shift_b": b, "shift": shift, "clamp": clamp}
            cases.append(Case(f"<< {a}, << {b}, >> {shift}, {clamp}", operator, pair, attributes))
    for shift, clamp in ((0, INT8), (7, INT8), (8, (0, 127)), (15, INT8), (16, INT8), (-1, INT8), (-8, (-3, 100))):
        cases.append(Case(f">> {shift}, {clamp}", "mul", pair, {"shift": shift, "clamp": clamp}))
    every = (((256,), "int8"),)
    for shift, clamp in (
        (0, (0, 127)),
        (0, (-5, 96)),
        (1, INT8),
        (3, (-2, 9)),
        (8, INT8),
        (9, INT8),
        (-1, INT8),
        (-8, INT8),
    ):
        cases.append(Case(f">> {shift}, {clamp}", "requantize", every, {"shift": shift, "clamp": clamp}))
    table = _random("table").randint(-128, 128, 256).astype(np.int8)
    cases.append(Case("any table", "lookup", (((3, 100), "int8"),), {"table": table}))
    cases.append(Case("of bytes", "lookup", (((3, 100), "uint8"),), {"table": table}))
    return cases  # fmt: skip


# --- pooling ----------------------------------------------------------------------------------------------


def _pool(operator: str, name: str, x, kernel, shift: Optional[int] = None, **changes) -> Case:
    attributes = {"kernel": kernel, **_window(**changes)}
    if operator == "average_pool2d":
        attributes["shift"] = shift or 0
        attributes.setdefault("count_include_pad", False)
    return Case(name, operator, ((x, "int8"),), attributes)


def _pools() -> List[Case]:
    cases = []
    for operator in ("max_pool2d", "average_pool2d"):
        cases += [
            _pool(operator, "one value", (1, 1, 1, 1), (1, 1)),
            _pool(operator, "2x2", (1, 6, 8, 5), (2, 2), strides=(2, 2)),
            _pool(operator, "batch", (3, 5, 4, 3), (3, 2)),
            _pool(operator, "3x3 padded", (1, 7, 7, 4), (3, 3), strides=(2, 2), padding=(1, 1, 1, 1)),
            _pool(operator, "asymmetric", (2, 7, 6, 4), (3, 4), strides=(1, 2), padding=(2, 0, 1, 3)),
            _pool(operator, "dilated", (1, 9, 8, 4), (3, 2), dilation=(2, 3), padding=(1, 1, 1, 1)),
            _pool(operator, "ceil_mode", (1, 7, 8, 3), (3, 3), strides=(2, 3), output_size=(3, 3)),
            _pool(operator, "ceil_mode, padded", (1, 6, 6, 3), (3, 3), strides=(3, 3), padding=(1, 1, 0, 0),
                  output_size=(3, 3)),
            _pool(operator, "a window in the padding alone", (1, 2, 2, 3), (2, 2), strides=(2, 2),
                  padding=(2, 2, 2, 2)),
            _pool(operator, "global", (2, 8, 7, 6), (8, 7)),
            _pool(operator, "clip", (1, 6, 6, 3), (3, 3), clamp=(-10, 20)),
        ]  # fmt: skip
    average = "average_pool2d"
    for shift in (1, -1, 4, -4, 8, -7, 18, -18):
        cases.append(_pool(average, f">> {shift}", (1, 5, 5, 3), (3, 3), padding=(1, 1, 1, 1), shift=shift))
    for padding in ((1, 1, 1, 1), (0, 0, 2, 1), (2, 1, 0, 0)):
        image, counted = (1, 6, 7, 3), {"padding": padding, "count_include_pad": True}
        name = f"padding {padding} counts"
        cases += [
            _pool(average, name, image, (3, 3), strides=(2, 2), **counted),
            _pool(average, f"{name}, ceil_mode", image, (3, 3), strides=(3, 3), output_size=(3, 3), **counted),
            _pool(average, f"{name}, dilated, ceil_mode", image, (2, 3), strides=(3, 4), dilation=(3, 2),
                  output_size=(3, 2), **counted),
        ]  # fmt: skip
    cases.append(_pool(average, "large plane", (1, 64, 64, 1), (64, 64), shift=-2))
    return cases


# --- float, movement --------------------------------------------------------------------------------------


def _floats() -> List[Case]:
    cases = []
    for exponent in (0, -7, 3, -40, 60, 127, -120, -126, -127, -149):
        cases.append(Case(f"2^{exponent}", "quantize", (((3, 400), "float32"),), {"exponent": exponent}))
        cases.append(Case(f"2^{exponent}", "dequantize", (((4, 150), "int8"),), {"exponent": exponent}))
    random = _random("pixels")
    for shape, channels, axis in (
        ((1, 5, 7, 3), 3, 3),
        ((2, 3, 4, 5), 3, 1),
        ((1, 9, 8, 1), 1, 0),
        ((6,), 6, 0),
        ((), 1, 0),
    ):
        table = _uniform(random, (channels, 256), "int8")
        cases.append(Case(f"{shape}, axis {axis}", "pixels", ((shape, "uint8"),), {"table": table, "axis": axis}))
    for exponent, output in ((-4, None), (0, None), (-20, None), (5, None), (-3, -7), (-6, -8), (-1, 0)):
        attributes = {"exponent": exponent, "output_exponent": output}
        kind = "float" if output is None else f"2^{output}"
        cases.append(Case(f"2^{exponent} to {kind}", "softmax", (((7, 33), "int8"),), attributes))
    # More than TVM's compiler has stack for, where each column is a sum of its own.
    cases.append(Case("32 000 columns", "softmax", (((1, 32000), "int8"),), {"exponent": -4, "output_exponent": None}))
    cases.append(Case("one column", "softmax", (((5, 1), "int8"),), {"exponent": -4, "output_exponent": None}))
    cases.append(Case("four axes", "softmax", (((2, 2, 3, 10), "int8"),), {"exponent": -4, "output_exponent": -7}))
    return cases


def _moves() -> List[Case]:
    cases = []
    for shape, axes in (
        ((5,), (0,)),
        ((3, 4), (1, 0)),
        ((1, 3, 4, 5), (0, 2, 3, 1)),
        ((2, 3, 4, 5), (0, 3, 1, 2)),
        ((2, 3, 4, 5), (3, 2, 1, 0)),
        ((2, 1, 3, 2, 2, 4), (5, 0, 3, 1, 4, 2)),
    ):
        cases.append(Case(f"{shape} {axes}", "transpose", ((shape, "int8"),), {"axes": axes}))
    cases.append(Case("flatten", "reshape", (((2, 3, 4), "int8"),), {"shape": (2, 12)}))
    return cases


# --- broadcasting, reductions, values per channel ---------------------------------------------------------


def _broadcasts() -> List[Case]:
    cases = []
    shapes = (
        ((2, 3, 4, 5), (5,)),
        ((2, 3, 4, 5), (1, 3, 1, 5)),
        ((3, 1, 5), (1, 4, 1)),
        ((1,), (2, 2, 3)),
        ((6, 7), (6, 7)),
        ((2, 1, 3, 1, 2, 1), (1, 2, 1, 3, 1, 2)),
    )
    by_shift = {
        "add_broadcast": [{"shift_a": 0, "shift_b": 3, "shift": 4}, {"shift_a": 22, "shift_b": 0, "shift": 20}],
        "sub_broadcast": [{"shift_a": 0, "shift_b": 1, "shift": -1}, {"shift_a": 2, "shift_b": 0, "shift": 1}],
        "maximum": [{"shift_a": 0, "shift_b": 1, "shift": 1}, {"shift_a": 0, "shift_b": 0, "shift": 0}],
        "minimum": [{"shift_a": 3, "shift_b": 0, "shift": 2}, {"shift_a": 0, "shift_b": 0, "shift": -2}],
        "mul_broadcast": [{"shift": 7}, {"shift": -8}],
        "div": [{"shift": -6}, {"shift": 0}, {"shift": 5}, {"shift": -20}, {"shift": 20}],
    }
    for operator, shifts in by_shift.items():
        for (a, b), clamp, attributes in zip(shapes, itertools.cycle([INT8, (0, 127)]), itertools.cycle(shifts)):
            attributes = {"clamp": clamp, **attributes}
            cases.append(Case(f"{a} and {b}", operator, ((a, "int8"), (b, "int8")), attributes))
            for first in (False, True):
                constant = {"constant": _constant(f"{operator} {b}", b), "constant_first": first}
                name = f"{a} and constant {b}, {'first' if first else 'second'}"
                cases.append(Case(name, operator, ((a, "int8"),), {**attributes, **constant}))
        a, b = shapes[4]
        for attributes in shifts:
            name = f"{a}, {attributes}"
            cases.append(Case(name, operator, ((a, "int8"), (b, "int8")), {"clamp": INT8, **attributes}))
    for relation in ("equal", "greater", "greater_equal", "less", "less_equal"):
        attributes = {"relation": relation, "shift_a": 0, "shift_b": 2}
        cases.append(Case(relation, "compare", (((4, 40, 9), "int8"), ((40, 1), "int8")), attributes))
        attributes = {**attributes, "constant": _constant(relation, (9,)), "constant_first": True}
        cases.append(Case(f"{relation}, constant", "compare", (((40, 9), "int8"),), attributes))
    for slope, shift, negative in (((5,), 0, 7), ((1,), -2, 6), ((3, 1, 1), 2, 9), ((3, 4, 5), 9, 16), ((5,), -8, -8)):
        attributes = {"slope": _constant(f"slope {slope}", slope), "shift": shift, "shift_negative": negative}
        name = f"slope {slope}, >> {shift}, >> {negative}"
        cases.append(Case(name, "prelu", (((2, 3, 4, 5), "int8"),), {**attributes, "clamp": INT8}))
    for shape, axis, clamp in (((2, 3, 4, 5), 3, INT8), ((2, 3, 4), 1, (0, 127)), ((12,), 0, INT8), ((3, 4), 0, INT8)):
        parts = _weighted(f"channelwise {shape}", (shape[axis],), shape[axis], clamp=clamp)
        parts["multiplier"] = parts.pop("weights")
        cases.append(Case(f"{shape}, axis {axis}", "channelwise", ((shape, "int8"),), {**parts, "axis": axis}))
    return cases


def _constant(text: str, shape: Sequence[int]) -> np.ndarray:
    return _uniform(_random(text), shape, "int8")


def _reductions() -> List[Case]:
    cases = []
    shape = (2, 3, 4, 5)
    for operator, shifts in {
        "reduce_sum": (0, 3, -2),
        "reduce_mean": (0, -3, 2),
        "reduce_l1": (1, 4),
        "reduce_sum_square": (5, 10),
        "reduce_l2": (0, 3, -3),
        "reduce_max": (None,),
        "reduce_min": (None,),
    }.items():
        for i, axes in enumerate([(1, 2), (3,), (0,), (0, 2), (1, 3), (0, 1, 2, 3), (2,)]):
            shift = shifts[i % len(shifts)]
            attributes = {"axes": axes, "keepdims": i % 2 == 0, "clamp": (-90, 100) if i == 2 else INT8}
            if shift is not None:
                attributes["shift"] = shift
            cases.append(Case(f"axes {axes}, >> {shift}", operator, ((shape, "int8"),), attributes))
    for axis, last, smallest in ((0, False, False), (1, True, False), (3, False, True), (2, True, True)):
        attributes = {"axis": axis, "keepdims": axis % 2 == 0, "last": last, "smallest": smallest}
        cases.append(Case(f"axis {axis}, last {last}, smallest {smallest}", "argmax", ((shape, "int8"),), attributes))
    for sizes, one in (((3, 40, 1), 64), ((1, 7, 5), 127), ((4, 1, 3), 1), ((2, 300, 2), 0)):
        cases.append(Case(f"{sizes}, one {one}", "hardmax", ((sizes, "int8"),), {"one": one}))
    return cases


# --- matrices and transposed convolutions -----------------------------------------------------------------


def _matrices() -> List[Case]:
    cases = []
    for batch, rows, inner, columns, shift in ((1, 1, 1, 1, 0), (1, 4, 16, 5, 10), (3, 5, 7, 2, 9), (2, 2, 300, 3, -1)):
        for transposed in (False, True):
            a = (batch, rows, inner)
            b = (batch, columns, inner) if transposed else (batch, inner, columns)
            name = f"{a} x {b}, >> {shift}{', transposed' if transposed else ''}"
            attributes = {"shift": shift, "transpose_b": transposed, "clamp": INT8}
            cases.append(Case(name, "matmul", ((a, "int8"), (b, "int8")), attributes))
            left, right = _constant(f"left {name}", a), _constant(f"right {name}", b)
            cases.append(Case(f"{name}, left constant", "matmul", ((b, "int8"),), {**attributes, "left": left}))
            cases.append(Case(f"{name}, right constant", "matmul", ((a, "int8"),), {**attributes, "right": right}))
    for name, x, outputs, kernel, groups, changes in (
        ("one value", (1, 1, 1, 1), 1, (1, 1), 1, {}),
        ("2x2 stride 2", (1, 4, 5, 6), 12, (2, 2), 1, {"strides": (2, 2)}),
        ("3x3 stride 2", (2, 4, 3, 4), 12, (3, 3), 1,
         {"strides": (2, 2), "padding": (1, 1, 1, 1), "output_padding": (1, 1)}),
        ("asymmetric", (1, 5, 4, 3), 12, (2, 3), 1, {"strides": (3, 1), "padding": (1, 0, 2, 1), "clamp": (0, 100)}),
        ("dilated, groups", (1, 4, 4, 6), 12, (3, 2), 3, {"dilation": (2, 3), "padding": (0, 2, 1, 0)}),
        ("stride beyond the kernel", (1, 3, 3, 2), 12, (2, 2), 1, {"strides": (4, 3), "output_padding": (2, 1)}),
    ):  # fmt: skip
        attributes = _weighted(name, (outputs, *kernel, x[3] // groups), outputs, **_window(**changes), groups=groups)
        attributes.setdefault("output_padding", (0, 0))
        cases.append(Case(name, "conv_transpose2d", ((x, "int8"),), attributes))
    return cases


def _log_softmaxes() -> List[Case]:
    from esp_tvm.operators.log_softmax import logarithm_table, power_table

    cases = []
    for exponent, output, columns in (
        (-4, -4, 10),
        (-4, None, 10),
        (-16, -8, 1),
        (5, 3, 33),
        (0, -3, 100),
        (-7, 14, 5),
    ):
        places = 30 - max(columns - 1, 0).bit_length()
        attributes = {
            "powers": power_table(exponent, places),
            "logarithms": logarithm_table(),
            "places": places,
            "exponent": exponent,
            "output_exponent": output,
        }
        name = f"2^{exponent} to {output}, {columns} columns"
        cases.append(Case(name, "log_softmax", (((6, columns), "int8"),), attributes))
    return cases


# --- normalization and recurrent networks -----------------------------------------------------------------


def _normalizations() -> List[Case]:
    cases = []
    for mode, shape, axes, parameters, epsilon, shifts in (
        ("centered", (3, 4, 16), (2,), (1, 1, 16), 40, (20, 21, 17)),
        ("centered", (2, 5, 4, 3), (1, 2), (1, 1, 1, 3), 0, (18, 8, 31)),
        ("centered", (2, 6, 7), (1, 2), (1, 6, 7), 2**33, (19,)),
        ("rms", (4, 33), (1,), (1, 33), 1, (20, 19)),
        ("rms", (2, 3, 5), (0, 1, 2), (1, 1, 1), 0, (17,)),
        ("l2", (3, 10), (1,), (1, 1), 1, (14,)),
        ("l2", (1, 1), (1,), (1, 1), 0, (0,)),
        ("centered", (2, 1), (1,), (1, 1), 0, (-8,)),
    ):
        random = _random(f"{mode} {shape}")
        attributes = {
            "multiplier": random.randint(-2047, 2048, parameters).astype(np.int16),
            "bias": random.randint(-(2**20), 2**20, parameters).astype(np.int32),
            "shift": np.resize(np.asarray(shifts, np.int32), parameters),
            "axes": axes,
            "mode": mode,
            "epsilon": epsilon,
            "clamp": INT8 if len(axes) == 1 else (-100, 90),
        }
        cases.append(Case(f"{mode} {shape}, axes {axes}", "normalize", ((shape, "int8"),), attributes))
    return cases


def _recurrences() -> List[Case]:
    from esp_tvm.operators.recurrent import function_table

    tables = {
        "sigmoid_table": function_table(lambda v: 1 / (1 + np.exp(-v))),
        "tanh_table": function_table(np.tanh),
    }
    cases = []
    for operator, gates in (("gru", 3), ("lstm", 4)):
        for (steps, batch, inputs, hidden), output, reverse in (
            ((1, 1, 1, 1), "hidden", False),
            ((5, 1, 7, 6), "sequence", False),
            ((4, 3, 5, 3), "sequence", True),
            ((6, 2, 3, 8), "hidden", True),
            ((3, 2, 4, 5), "cell" if operator == "lstm" else "hidden", False),
        ):
            name = f"{steps} steps, batch {batch}, {inputs} to {hidden}, {output}{', reverse' if reverse else ''}"
            rows = gates * hidden
            own = _weighted(f"{operator} {name}", (rows, inputs), rows, (3, 0, 5, -8, 4, 2))
            back = _weighted(f"{operator} back {name}", (rows, hidden), rows, (12, 13, 10, 11, 7))
            attributes = {f"weights_{key}": own[key] for key in ("bias", "shift")}
            attributes.update({f"recurrence_{key}": back[key] for key in ("bias", "shift")})
            attributes.update(weights=own["weights"], recurrence=back["weights"], reverse=reverse, output=output)
            attributes.update(shift=4 if output == "cell" else 8, **tables)
            for linear in (False, True) if operator == "gru" else (None,):
                more = {} if linear is None else {"linear_before_reset": linear}
                full = name + (", linear before reset" if linear else "")
                x = (((steps, batch, inputs), "int8"),)
                cases.append(Case(full, operator, x, {**attributes, **more}))
    return cases


# --- resizes and moves ------------------------------------------------------------------------------------


def _resizes() -> List[Case]:
    cases = []
    for x, size in (((1, 3, 4, 5), (6, 8)), ((2, 5, 4, 3), (3, 9)), ((1, 1, 1, 2), (3, 2)), ((1, 7, 6, 1), (2, 1))):
        places = [np.minimum(np.arange(out) * n // out, n - 1) for n, out in zip(x[1:3], size)]
        attributes = dict(zip(("rows", "columns"), places))
        cases.append(Case(f"{x} to {size}", "resize_nearest", ((x, "int8"),), attributes))
        for shift, clamp in ((0, INT8), (2, (0, 60)), (-3, INT8)):
            random = _random(f"{x} {size}")
            sides = [(low, np.minimum(low + 1, n - 1), random.randint(0, 1025, len(low)))
                     for low, n in zip(places, x[1:3])]  # fmt: skip
            attributes = {"rows": sides[0], "columns": sides[1], "shift": shift, "clamp": clamp}
            cases.append(Case(f"{x} to {size}, >> {shift}", "resize_linear", ((x, "int8"),), attributes))
    return cases


def _shuffles() -> List[Case]:
    def one(name, operator, shape, /, **attributes):
        return Case(name, operator, ((shape, "int8"),), attributes)

    x = (2, 3, 4, 5)
    cases = [
        one("inner", "strided_slice", x, begin=[0, 1, 0, 2], steps=[1, 1, 1, 1], shape=(2, 2, 4, 3)),
        one("steps", "strided_slice", x, begin=[1, 0, 0, 1], steps=[1, 2, 3, 2], shape=(1, 2, 2, 2)),
        one("backwards", "strided_slice", x, begin=[1, 2, 3, 4], steps=[-1, -2, -1, -3], shape=(2, 2, 4, 2)),
        one("one value", "strided_slice", (7,), begin=[3], steps=[1], shape=(1,)),
        one("a row", "tile", (5,), repeats=(3,)),
        one("two axes", "tile", x, repeats=(1, 2, 1, 3)),
        one("more axes", "tile", (2, 3), repeats=(2, 1, 2)),
        one("one value", "broadcast", (1,), shape=(3, 4)),
        one("inner axes", "broadcast", (2, 1, 3, 1), shape=(2, 4, 3, 5)),
        one("leading axis", "broadcast", (3, 1), shape=(2, 3, 4)),
        one("DCR", "depth_to_space", (2, 2, 3, 12), block=2, mode="DCR"),
        one("CRD", "depth_to_space", (1, 2, 3, 18), block=3, mode="CRD"),
        one("2", "space_to_depth", (2, 4, 6, 3), block=2),
        one("3", "space_to_depth", (1, 3, 6, 1), block=3),
        one("constant", "pad", x, before=[0, 1, 2, 0], after=[0, 0, 1, 3], mode="constant", value=-7),
        one("crop and pad", "pad", x, before=[0, -1, 2, 0], after=[0, 0, -1, 3], mode="constant", value=5),
        one("edge", "pad", x, before=[1, 0, 2, 1], after=[0, 2, 1, 1], mode="edge", value=0),
        one("reflect", "pad", x, before=[0, 2, 3, 0], after=[0, 1, 2, 4], mode="reflect", value=0),
        one("axis 1", "gather", x, indices=np.array([2, -1, 0, 0]), axis=1),
        one("last axis, two axes of indices", "gather", x, indices=np.array([[4, 0], [1, -5]]), axis=3),
        one("first axis, one index", "gather", x, indices=np.array(1), axis=0),
        one("rows", "gather_rows", x, rows=np.array([5, 0, 0, 3]), inner=20, shape=(4, 4, 5)),
        one("values", "gather_rows", (3, 4), rows=np.array([11, 3]), inner=1, shape=(2,)),
    ]
    for shapes, axis in ((((2, 3), (2, 1), (2, 4)), 1), ((x, x), 0), ((x, (2, 3, 1, 5)), 2), ((x, x, x), 3)):
        inputs = tuple((shape, "int8") for shape in shapes)
        cases.append(Case(f"{len(shapes)} along axis {axis}", "concat", inputs, {"axis": axis}))
    for rows, inner in (([1, 1, 0], 20), ([5], 20), ([119, 0], 1)):
        inputs = ((x, "int8"), ((len(rows), inner), "int8"))
        attributes = {"rows": np.array(rows), "inner": inner}
        cases.append(Case(f"rows {rows} of {inner}", "scatter_rows", inputs, attributes))
    return cases


CASES: List[Case] = [
    *_convolutions(),
    *_products(),
    *_elementwise(),
    *_pools(),
    *_floats(),
    *_moves(),
    *_broadcasts(),
    *_reductions(),
    *_matrices(),
    *_log_softmaxes(),
    *_normalizations(),
    *_recurrences(),
    *_resizes(),
    *_shuffles(),
]
CASES += widened(CASES)


def random_convolutions(count: int, seed: int) -> List[Case]:
    """Convolutions, depthwise convolutions and pools of random shapes and attributes."""
    random = np.random.RandomState(seed)
    cases = []
    while len(cases) < count:
        n, h, w = (int(random.randint(1, high)) for high in (3, 12, 12))
        kernel, strides, dilation = (tuple(int(v) for v in random.randint(1, 4, 2)) for _ in range(3))
        padding = tuple(int(v) for v in random.randint(0, 4, 4))
        room = [size + padding[a] + padding[2 + a] - (kernel[a] - 1) * dilation[a] - 1 for a, size in enumerate((h, w))]
        if min(room) < 0:
            continue
        low, high = sorted(int(v) for v in random.randint(-128, 128, 2))
        window = {"strides": strides, "padding": padding, "dilation": dilation, "clamp": (low, high)}
        name = f"random {seed}.{len(cases)}"
        kind = random.randint(4)
        if kind == 0:
            groups = int(random.randint(1, 4))
            x = (n, h, w, groups * int(random.randint(1, 6)))
            cases.append(_conv2d(name, x, groups * int(random.randint(1, 8)), kernel, groups, **window))
        elif kind == 1:
            cases.append(
                _depthwise(name, (n, h, w, int(random.randint(1, 20))), kernel, int(random.randint(1, 4)), **window)
            )
        else:
            include = bool(random.randint(2))
            operator = "max_pool2d" if kind == 2 else "average_pool2d"
            if kind == 3:
                window["count_include_pad"] = include
            # Sometimes one window more than fits, as ceil_mode has it.
            window["output_size"] = tuple(room[a] // strides[a] + 1 + int(random.randint(2)) for a in (0, 1))
            cases.append(
                _pool(
                    operator, name, (n, h, w, int(random.randint(1, 9))), kernel, int(random.randint(-6, 7)), **window
                )
            )
    return cases  # fmt: skip
