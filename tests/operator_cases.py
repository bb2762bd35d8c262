"""The table of operator cases: shapes and attributes of kernel calls, the edges that have bitten others among them.

It drives the tests of the kernels in C and of the Relay reference against the NumPy rules. A new operator adds its
rows here; `CASES` holds all of them.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np

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
        return [[make(random, shape, dtype) for shape, dtype in self.inputs] for make in (_uniform, _extremes)]


def _random(text: str) -> np.random.RandomState:
    return np.random.RandomState(zlib.crc32(text.encode()))


def _uniform(random: np.random.RandomState, shape: Sequence[int], dtype: str) -> np.ndarray:
    if dtype == "int8":
        return random.randint(-128, 128, shape).astype(np.int8)
    return (random.standard_normal(shape) * 2.0 ** random.uniform(-6, 6)).astype(np.float32)


def _extremes(random: np.random.RandomState, shape: Sequence[int], dtype: str) -> np.ndarray:
    if dtype == "int8":
        return random.choice(np.array([-128, -128, 127], np.int8), shape)
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
        _dense("three axes", (2, 3, 10), 12),
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
    for exponent, output in ((-4, None), (0, None), (-20, None), (5, None), (-3, -7), (-6, -8), (-1, 0)):
        attributes = {"exponent": exponent, "output_exponent": output}
        kind = "float" if output is None else f"2^{output}"
        cases.append(Case(f"2^{exponent} to {kind}", "softmax", (((7, 33), "int8"),), attributes))
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


CASES: List[Case] = [*_convolutions(), *_products(), *_elementwise(), *_pools(), *_floats(), *_moves()]


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
