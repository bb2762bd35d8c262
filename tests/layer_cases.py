"""The cases of layers: operators with weights, windows or steps. operator_cases.py has those of all operators."""

from __future__ import annotations

from dataclasses import replace
from typing import List, Optional

import numpy as np
from kernel_case import INT8, Case, constant_of, filled, random_of, weighted, window_of


def _conv2d(name, x, outputs, kernel, groups=1, **attributes) -> Case:
    weights = (outputs, *kernel, x[3] // groups)
    attributes = weighted(name, weights, outputs, **window_of(**attributes), groups=groups)
    return Case(name, "conv2d", ((x, "int8"),), attributes)


def _conv2d_add(name, x, y, kernel, lefts=(9, 8, 0, 22, 5, 13), **attributes) -> Case:
    """y: shape of the output and of what is added"""
    plain = _conv2d(name, x, y[3], kernel, **attributes)
    added = {"addend_shift": np.resize(np.asarray(lefts, np.int32), y[3])}
    return replace(
        plain, operator="conv2d_add", inputs=(*plain.inputs, (y, "int8")), attributes={**plain.attributes, **added}
    )


def _depthwise(name, x, kernel, multiplier=1, **attributes) -> Case:
    outputs = x[3] * multiplier
    attributes = weighted(name, (*kernel, outputs), outputs, **window_of(**attributes))
    return Case(name, "depthwise_conv2d", ((x, "int8"),), attributes)


def _dense(name, x, outputs, **attributes) -> Case:
    attributes = weighted(name, (outputs, x[-1]), outputs, **{"clamp": INT8, **attributes})
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
        _conv2d("filled with -128", (1, 6, 5, 8), 12, (3, 3), padding=(1, 1, 1, 1), pad_value=-128),
        _conv2d("filled", (2, 6, 5, 6), 12, (3, 2), strides=(2, 1), dilation=(2, 3), padding=(3, 1, 2, 4), groups=3,
                pad_value=77),
        _conv2d("10x4, as keyword spotting begins", (1, 49, 10, 1), 16, (10, 4), strides=(2, 2), padding=(4, 1, 5, 1)),
        _conv2d_add("one value", (1, 1, 1, 1), (1, 1, 1, 1), (1, 1)),
        _conv2d_add("1x1", (1, 5, 7, 16), (1, 5, 7, 32), (1, 1)),
        _conv2d_add("3x3 same, relu6", (2, 6, 7, 8), (2, 6, 7, 12), (3, 3), padding=(1, 1, 1, 1), clamp=(0, 96)),
        _conv2d_add("steps as fine", (1, 4, 4, 8), (1, 4, 4, 12), (1, 1), lefts=(0,), shifts=(0, 1)),
        _conv2d_add("saturates", (1, 4, 4, 8), (1, 4, 4, 12), (1, 1), lefts=(22, 21), shifts=(14, 15, -8)),
        _conv2d_add("stride, dilation, groups, filled", (1, 10, 9, 6), (1, 3, 5, 12), (3, 2), strides=(3, 2),
                    dilation=(2, 4), padding=(2, 3, 1, 2), groups=3, pad_value=-77),
        _conv2d_add("extremes", (1, 4, 4, 64), (1, 4, 4, 6), (3, 3), padding=(1, 1, 1, 1), extreme=True,
                    shifts=(16, 14, 17), lefts=(15, 16)),
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
        _depthwise("filled with -128", (1, 6, 7, 8), (3, 3), strides=(2, 1), padding=(1, 2, 0, 1), pad_value=-128),
        _depthwise("filled, multiplier", (1, 5, 4, 4), (3, 2), 3, dilation=(1, 2), padding=(2, 1, 1, 2), pad_value=9),
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


# --- pooling ----------------------------------------------------------------------------------------------


def _pool(operator: str, name: str, x, kernel, shift: Optional[int] = None, **changes) -> Case:
    attributes = {"kernel": kernel, **window_of(**changes)}
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
            left, right = constant_of(f"left {name}", a), constant_of(f"right {name}", b)
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
        attributes = weighted(name, (outputs, *kernel, x[3] // groups), outputs, **window_of(**changes), groups=groups)
        attributes.setdefault("output_padding", (0, 0))
        cases.append(Case(name, "conv_transpose2d", ((x, "int8"),), attributes))
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
        random = random_of(f"{mode} {shape}")
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
    for operator, gates in (("rnn", 1), ("gru", 3), ("lstm", 4)):
        for (steps, batch, inputs, hidden), output, reverse in (
            ((1, 1, 1, 1), "hidden", False),
            ((5, 1, 7, 6), "sequence", False),
            ((4, 3, 5, 3), "sequence", True),
            ((6, 2, 3, 8), "hidden", True),
            ((3, 2, 4, 5), "cell" if operator == "lstm" else "hidden", False),
        ):
            name = f"{steps} steps, batch {batch}, {inputs} to {hidden}, {output}{', reverse' if reverse else ''}"
            rows = gates * hidden
            own = weighted(f"{operator} {name}", (rows, inputs), rows, (3, 0, 5, -8, 4, 2))
            back = weighted(f"{operator} back {name}", (rows, hidden), rows, (12, 13, 10, 11, 7))
            attributes = {f"weights_{key}": own[key] for key in ("bias", "shift")}
            attributes.update({f"recurrence_{key}": back[key] for key in ("bias", "shift")})
            attributes.update(weights=own["weights"], recurrence=back["weights"], reverse=reverse, output=output)
            attributes.update(shift=4 if output == "cell" else 8, **tables)
            if operator == "rnn":
                del attributes["sigmoid_table"]
                if steps in (5, 6):
                    del attributes["tanh_table"]  # a relu
            for linear in (False, True) if operator == "gru" else (None,):
                more = {} if linear is None else {"linear_before_reset": linear}
                full = name + (", linear before reset" if linear else "")
                x = (((steps, batch, inputs), "int8"),)
                cases.append(Case(full, operator, x, {**attributes, **more}))
                if steps <= 3:
                    start = (((1, batch, hidden), "int8"),) * (2 if operator == "lstm" else 1)
                    for shifts, drop in (((-8, -5), 0), ((-8, 1), 2)):
                        given = {"start_shifts": shifts[: len(start)], "drop": drop}
                        named = f"{full}, started, drop {drop}"
                        cases.append(Case(named, operator, x + start, {**attributes, **more, **given}))
                    random = np.random.RandomState(steps)
                    given = {"start_shifts": (-8, -5)[: len(start)], "start_constants": [None] * len(start)}
                    given["start_constants"][0] = random.randint(-128, 128, (1, batch, hidden)).astype(np.int8)
                    named = f"{full}, started with a constant"
                    cases.append(Case(named, operator, x + start[1:], {**attributes, **more, **given}))
    return cases


LAYERS: List[Case] = [
    *_convolutions(),
    *_products(),
    *_pools(),
    *_matrices(),
    *_normalizations(),
    *_recurrences(),
]


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
            case = _conv2d(name, x, groups * int(random.randint(1, 8)), kernel, groups, **window)
            cases.append(replace(case, attributes=filled(case.attributes)))
        elif kind == 1:
            x, multiplier = (n, h, w, int(random.randint(1, 20))), int(random.randint(1, 4))
            case = _depthwise(name, x, kernel, multiplier, **window)
            cases.append(replace(case, attributes=filled(case.attributes)))
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
