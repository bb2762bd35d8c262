"""Rows of the table of ONNX operators: a few nodes together, as exporters write one thing.

Part of `onnx_cases.ONNX_CASES`; import that. Each is from a model that once stopped here or fell back to float.
"""

from __future__ import annotations

from typing import List

import numpy as np
from onnx_cases import OnnxCase
from onnx_layers import _w


def _linear() -> List[OnnxCase]:
    return [
        OnnxCase(
            "Linear",
            "of three axes, the bias first, as PyTorch writes it",
            {0: (1, 5, 16)},
            {1: _w(16, 6), 2: _w(6)},
            kernel="dense",
            nodes=[("MatMul", ["x0", "c1"], "m", {}), ("Add", ["c2", "m"], "y0", {})],
        ),
        OnnxCase(
            "Attention",
            "values transposed as nn.MultiheadAttention does",
            {0: (4, 5, 6), 1: (6, 4, 8)},
            kernel="matmul",
            nodes=[("Transpose", ["x1"], "t", {"perm": [1, 0, 2]}), ("MatMul", ["x0", "t"], "y0", {})],
        ),
    ]


def _masks() -> List[OnnxCase]:
    """Scores behind a causal mask; the square behind the softmax keeps it from ending the graph.

    Room for the mask costs the scores a bit: their step of 1/8 is up to 1/16 off, as is the result.
    """
    after = np.triu(np.ones((6, 6), bool), 1)
    hidden = np.where(after, np.float32(-np.inf), np.float32(0))
    lowest = np.where(after, np.finfo(np.float32).min, np.float32(0)).astype(np.float32)
    slopes = np.where(after, np.float32(-1e9), -np.arange(6, dtype=np.float32) / 4)
    rest = [("Softmax", ["masked"], "s", {"axis": -1}), ("Mul", ["s", "s"], "y0", {})]
    scores = {0: (2, 6, 6)}
    rows = [
        ("-inf", {1: hidden}, ("Add", ["x0", "c1"]), "minimum", 3),
        ("lowest", {1: lowest}, ("Add", ["c1", "x0"]), "minimum", 3),
        ("Where", {1: after, 2: np.float32(-np.inf)}, ("Where", ["c1", "c2", "x0"]), "minimum", 3),
        ("Where, kept", {1: ~after, 2: np.float32([-1e9])}, ("Where", ["c1", "x0", "c2"]), "minimum", 3),
        ("with slopes", {1: slopes}, ("Add", ["x0", "c1"]), "add_broadcast", 5),
    ]
    return [
        OnnxCase(
            "Mask",
            name,
            scores,
            constants,
            kernel=(kernel, "softmax", "lookup"),
            steps=steps,
            nodes=[(kind, inputs, "masked", {}), *rest],
        )
        for name, constants, (kind, inputs), kernel, steps in rows
    ]


def _fills() -> List[OnnxCase]:
    """What is left out of a largest or smallest value: the fill of +-1e9 must not widen the range."""
    rows = [
        ("ReduceMax", "reduce_max", -1e9, ("c2", "x0"), {"axes": [1], "keepdims": 0}),
        ("ReduceMin", "reduce_min", 1e9, ("x0", "c2"), {"axes": [1]}),
        ("ReduceMax", "reduce_max", -np.inf, ("x0", "c2"), {"axes": [2]}),
    ]
    hidden = np.array([[True, False, True, False, False, False]] * 2)
    cases = [
        OnnxCase(
            f"Where, {kind}",
            f"filled with {fill:g}",
            {0: (2, 6, 4)},
            {1: (hidden ^ (choices[0] == "x0"))[..., None], 2: np.float32(fill)},
            kernel=("select", kernel),
            nodes=(("Where", ("c1", *choices), "filled", {}), (kind, ("filled",), "y0", options)),
        )
        for kind, kernel, fill, choices, options in rows[:2]
    ]
    kind, kernel, fill, choices, options = rows[2]
    nodes = (
        ("Greater", ("x1", "c1"), "seen", {}),
        ("Not", ("seen",), "unseen", {}),
        ("Where", ("unseen", "c2", "x0"), "filled", {}),
        ("Transpose", ("filled",), "turned", {"perm": [0, 2, 1]}),
        (kind, ("turned",), "y0", options),
    )
    # Of every row one value is seen at least.
    seen = {1: np.array([-9.0, 1, 1, 1, 1, 1], np.float32).reshape(6, 1), 2: np.float32(fill)}
    return [
        *cases,
        OnnxCase(
            "Not, Where",
            "left out by data",
            {0: (2, 6, 4), 1: (2, 6, 1)},
            seen,
            kernel=("compare", "select", kernel),
            nodes=nodes,
        ),
    ]


def _casts() -> List[OnnxCase]:
    """Comparisons as factors and choices."""
    nodes = [
        ("Greater", ["x0", "x1"], "g", {}),
        ("Cast", ["g"], "m", {"to": 1}),
        ("Mul", ["x0", "m"], "y0", {}),
    ]
    kernels = ("compare", "lookup", "mul")
    shrunk = [
        ("Less", ["x0", "c1"], "l", {}),
        ("Greater", ["x0", "c2"], "g", {}),
        ("Or", ["l", "g"], "o", {}),
        ("Not", ["o"], "n", {}),
        ("Where", ["n", "c3", "x0"], "y0", {}),
    ]
    mask = [
        ("Greater", ["x0", "c1"], "g", {}),
        ("Cast", ["g"], "m", {"to": 1}),
        ("Mul", ["m", "x0"], "y0", {}),
    ]
    limits = {1: np.float32(-0.5), 2: np.float32(0.5), 3: np.float32(0)}
    return [
        OnnxCase("Gate", "cast of a comparison", {0: (3, 8), 1: (3, 8)}, kernel=kernels, nodes=nodes),
        OnnxCase("Threshold", "a factor of 0 or 1", {0: (3, 40)}, {1: np.float32(0.5)}, kernel="lookup", nodes=mask),
        OnnxCase("Threshold", "hard shrink", {0: (3, 40)}, limits, kernel="lookup", nodes=shrunk),
    ]


EXPORT_CASES: List[OnnxCase] = [*_linear(), *_masks(), *_fills(), *_casts()]
