"""Rows of the table of ONNX operators: layers with weights, products, normalizations, recurrent layers.

Part of `onnx_cases.ONNX_CASES`; import that.
"""

from __future__ import annotations

from typing import List, Optional, Tuple

import numpy as np
from onnx_cases import OnnxCase


def _w(*shape: int, size: float = 1.0) -> np.ndarray:
    """Weights that int8 holds exactly, at most `size`."""
    random = np.random.RandomState(11 + int(np.prod(shape)))
    return (random.randint(-127, 128, shape) / 128 * size).astype(np.float32)


X = (1, 4, 6, 8)
LINE = (1, 4, 20)
ROWS = (2, 5, 16)


def _convolutions() -> List[OnnxCase]:
    transposed = "conv_transpose2d"
    return [
        OnnxCase(
            "Conv",
            "2-D, bias",
            {0: X},
            {1: _w(6, 4, 3, 3), 2: _w(6)},
            {"pads": [1, 0, 1, 1], "strides": [2, 1]},
            kernel="conv2d",
        ),
        OnnxCase(
            "Conv",
            "2-D, groups, dilated",
            {0: X},
            {1: _w(6, 2, 3, 2)},
            {"group": 2, "dilations": [2, 3]},
            kernel="conv2d",
        ),
        OnnxCase(
            "Conv",
            "depthwise with multiplier",
            {0: X},
            {1: _w(8, 1, 3, 3), 2: _w(8)},
            {"group": 4},
            kernel="depthwise_conv2d",
        ),
        OnnxCase(
            "Conv",
            "SAME_UPPER",
            {0: X},
            {1: _w(3, 4, 3, 3)},
            {"auto_pad": "SAME_UPPER", "strides": [2, 2]},
            kernel="conv2d",
        ),
        OnnxCase(
            "Conv", "1-D", {0: LINE}, {1: _w(6, 4, 5), 2: _w(6)}, {"pads": [2, 1], "strides": [2]}, kernel="conv2d"
        ),
        OnnxCase(
            "Conv",
            "1-D, depthwise",
            {0: LINE},
            {1: _w(4, 1, 3)},
            {"group": 4, "dilations": [2]},
            kernel="depthwise_conv2d",
        ),
        OnnxCase(
            "Volume",
            "3-D Conv",
            {0: (1, 2, 3, 4, 4)},
            {1: _w(2, 2, 2, 2, 2)},
            kernel=("strided_slice", "conv2d", "strided_slice", "conv2d", "concat"),
            nodes=(("Conv", ("x0", "c1"), "y0", {}),),
        ),
        # 1/27 and the like in C must have all their digits.
        OnnxCase("Conv", "groups of 3-D", {0: (1, 2, 4, 4, 4)}, {1: _w(2, 1, 2, 2, 2)}, {"group": 2}, kernel=None),
        OnnxCase(
            "ConvTranspose",
            "2-D",
            {0: X},
            {1: _w(4, 6, 3, 3), 2: _w(6)},
            {"strides": [2, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 1]},
            kernel=transposed,
        ),
        OnnxCase(
            "ConvTranspose",
            "groups",
            {0: X},
            {1: _w(4, 3, 2, 3), 2: _w(6)},
            {"strides": [2, 3], "group": 2},
            kernel=transposed,
        ),
        OnnxCase(
            "ConvTranspose",
            "dilated, asymmetric",
            {0: X},
            {1: _w(4, 2, 3, 3)},
            {"dilations": [2, 1], "pads": [0, 1, 2, 0]},
            kernel=transposed,
        ),
        OnnxCase(
            "ConvTranspose",
            "1-D",
            {0: LINE},
            {1: _w(4, 3, 4), 2: _w(3)},
            {"strides": [2], "pads": [1, 1]},
            kernel=transposed,
        ),
        OnnxCase(
            "BatchNormalization",
            "2-D",
            {0: X},
            {1: _w(4) + 1, 2: _w(4), 3: _w(4), 4: _w(4) + 2},
            kernel="channelwise",
            opset=15,
        ),
        OnnxCase(
            "BatchNormalization",
            "1-D",
            {0: LINE},
            {1: _w(4) + 1, 2: _w(4), 3: _w(4), 4: _w(4) + 2},
            kernel="channelwise",
            opset=15,
        ),
    ]


def _products() -> List[OnnxCase]:
    return [
        OnnxCase("Gemm", "constant weights", {0: (3, 16)}, {1: _w(16, 5), 2: _w(5)}, kernel="dense"),
        OnnxCase(
            "Gemm",
            "transB, alpha, beta",
            {0: (3, 16)},
            {1: _w(5, 16), 2: _w(1, 5)},
            {"transB": 1, "alpha": 0.5, "beta": 2.0},
            kernel="dense",
        ),
        OnnxCase("Gemm", "two activations", {0: (3, 16), 1: (5, 16)}, {}, {"transB": 1}, kernel="matmul"),
        OnnxCase("MatMul", "constant weights", {0: (3, 16)}, {1: _w(16, 5)}, kernel="dense"),
        OnnxCase("MatMul", "3-D with constant weights", {0: ROWS}, {1: _w(16, 5)}, kernel="dense"),
        OnnxCase("MatMul", "stacked weights", {0: ROWS}, {1: _w(2, 16, 3)}, kernel="matmul"),
        OnnxCase("MatMul", "weights first", {1: (16, 5)}, {0: _w(3, 16)}, kernel="matmul"),
        OnnxCase("MatMul", "weights before a stack", {1: (2, 16, 5)}, {0: _w(3, 16)}, kernel="dense"),
        OnnxCase("MatMul", "weights with an axis more", {0: ROWS}, {1: _w(1, 16, 5)}, kernel="dense"),
        OnnxCase("MatMul", "a stack and a matrix", {0: (2, 3, 8), 1: (8, 5)}, kernel=("broadcast", "matmul")),
        OnnxCase("Gemm", "computed bias", {0: (3, 16), 2: (3, 5)}, {1: _w(16, 5)}, kernel=("dense", "add"), steps=1.5),
        OnnxCase(
            "Gemm",
            "computed bias and factors",
            {0: (3, 16), 2: (5,)},
            {1: _w(5, 16)},
            {"alpha": 0.5, "beta": -2.0, "transB": 1},
            kernel=("dense", "lookup", "add_broadcast"),
            steps=1.5,
        ),
        OnnxCase("Gemm", "bias per row", {0: (3, 16)}, {1: _w(16, 5), 2: _w(3, 1)}, kernel=("dense", "add_broadcast")),
        OnnxCase("Gemm", "transA", {0: (16, 3)}, {1: _w(16, 5), 2: _w(5)}, {"transA": 1}, kernel="dense"),
        OnnxCase("Gemm", "three activations", {0: (3, 16), 1: (16, 5), 2: (3, 5)}, kernel=("matmul", "add"), steps=1.5),
        OnnxCase("MatMul", "2-D, two activations", {0: (3, 16), 1: (16, 5)}, kernel="matmul"),
        OnnxCase("MatMul", "4-D, two activations", {0: (1, 3, 5, 16), 1: (1, 3, 16, 4)}, kernel="matmul"),
    ]


def _standardized(name: str, guard: Tuple, number: float, kernel: Optional[str]) -> OnnxCase:
    """(x - mean(x)) / std(x) as PyTorch's older exporter writes it, with the unbiased deviation; `guard` keeps the
    divisor from being 0 by `number`."""
    nodes = (
        ("ReduceMean", ("x0",), "mean", {"axes": [-1]}),
        ("Sub", ("x0", "mean"), "above", {}),
        ("Mul", ("above", "above"), "square", {}),
        ("ReduceMean", ("square",), "biased", {"axes": [-1]}),
        ("Mul", ("biased", "c1"), "sum", {}),
        ("Div", ("sum", "c2"), "variance", {}),
        ("Sqrt", ("variance",), "deviation", {}),
        guard,
        ("Div", ("above", "divisor"), "y0", {}),
    )
    constants = {1: np.float32(16), 2: np.float32(15), 3: np.float32(number)}
    return OnnxCase("Standardization", name, {0: (2, 3, 16)}, constants, kernel=kernel, nodes=nodes)


def _normalizations() -> List[OnnxCase]:
    factors = {1: _w(16) + 1.5, 2: _w(16)}
    return [
        OnnxCase("Softmax", "last axis", {0: ROWS}, {}, {"axis": -1}, kernel="softmax"),
        OnnxCase("Softmax", "another axis", {0: ROWS}, {}, {"axis": 1}, kernel="softmax"),
        OnnxCase("LogSoftmax", "last axis", {0: ROWS}, {}, {"axis": -1}, kernel="log_softmax"),
        OnnxCase("LogSoftmax", "another axis", {0: ROWS}, {}, {"axis": 1}, kernel="log_softmax"),
        OnnxCase(
            "Softmax, LogSoftmax",
            "both of one tensor",
            {0: ROWS},
            kernel=("softmax", "log_softmax"),
            outputs=2,
            nodes=(("Softmax", ("x0",), "y0", {"axis": -1}), ("LogSoftmax", ("x0",), "y1", {"axis": -1})),
        ),
        OnnxCase("LayerNormalization", "last axis", {0: ROWS}, factors, kernel="normalize", opset=17),
        OnnxCase(
            "LayerNormalization",
            "two axes",
            {0: ROWS},
            {1: _w(5, 16) + 1.5, 2: _w(5, 16)},
            {"axis": 1},
            kernel="normalize",
            opset=17,
        ),
        OnnxCase(
            "LayerNormalization",
            "without offset",
            {0: ROWS},
            {1: _w(16)},
            {"epsilon": 0.5},
            kernel="normalize",
            opset=17,
        ),
        OnnxCase("RMSNormalization", "last axis", {0: ROWS}, {1: factors[1]}, kernel="normalize", opset=23),
        OnnxCase(
            "RMSNormalization",
            "two axes",
            {0: ROWS},
            {1: _w(5, 16) + 1.5},
            {"axis": 1, "epsilon": 0.5},
            kernel="normalize",
            opset=24,
        ),
        OnnxCase(
            "GroupNormalization",
            "2-D",
            {0: X},
            {1: _w(4) + 1.5, 2: _w(4)},
            {"num_groups": 2},
            kernel=("normalize", "channelwise"),
            opset=21,
        ),
        OnnxCase(
            "Conv, LayerNormalization",
            "factors of a whole image",
            {0: (1, 3, 6, 8)},
            {1: _w(4, 3, 1, 1), 2: _w(4, 6, 8) + 1.5, 3: _w(4, 6, 8)},
            steps=2.0,
            kernel=("conv2d", "normalize"),
            opset=17,
            nodes=(
                ("Conv", ("x0", "c1"), "image", {}),
                ("LayerNormalization", ("image", "c2", "c3"), "y0", {"axis": 1}),
            ),
        ),
        OnnxCase(
            "ReduceL2, Div",
            "global response normalization: over the mean of norms",
            {0: X},
            {1: _w(4, 1, 1), 2: np.float32(1e-6)},
            steps=2.0,
            kernel=("reduce_l2", "reduce_mean", "lookup", "div", "mul_broadcast", "channelwise"),
            nodes=(
                ("ReduceL2", ("x0",), "norm", {"axes": [2, 3]}),
                ("ReduceMean", ("norm",), "mean", {"axes": [1]}),
                ("Add", ("mean", "c2"), "divisor", {}),
                ("Div", ("norm", "divisor"), "share", {}),
                ("Mul", ("x0", "share"), "response", {}),
                ("Mul", ("response", "c1"), "scaled", {}),
                ("Add", ("scaled", "c1"), "y0", {}),
            ),
        ),
        OnnxCase("InstanceNormalization", "2-D", {0: X}, {1: _w(4) + 1.5, 2: _w(4)}, kernel="normalize"),
        OnnxCase("InstanceNormalization", "1-D", {0: (2, 4, 9)}, {1: _w(4), 2: _w(4)}, kernel="normalize"),
        OnnxCase("LpNormalization", "L2", {0: ROWS}, {}, {"axis": -1, "p": 2}, kernel="normalize"),
        OnnxCase("LpNormalization", "L2 of channels", {0: X}, {}, {"axis": 1, "p": 2}, kernel="normalize"),
        OnnxCase("LpNormalization", "L1", {0: ROWS}, {}, {"axis": -1, "p": 1}, kernel=None),
        _standardized("plus little", ("Add", ("deviation", "c3"), "divisor", {}), 1e-5, "normalize"),
        _standardized("at least", ("Clip", ("deviation", "c3"), "divisor", {}), 1e-3, "normalize"),
    ]


# The kernel would divide by other numbers than these: they run in float, though the quantizer takes them for one group.
GUARDED = [
    _standardized("plus much", ("Add", ("deviation", "c3"), "divisor", {}), 1.0, None),
    _standardized("at least much", ("Clip", ("deviation", "c3"), "divisor", {}), 3.0, None),
]


def _recurrent() -> List[OnnxCase]:
    cases = []
    for operator, gates in (("RNN", 1), ("GRU", 3), ("LSTM", 4)):

        def constants(hidden: int, directions: int = 1, bias: bool = True, gates: int = gates):
            rows = gates * hidden
            made = {1: _w(directions, rows, 8, size=0.5), 2: _w(directions, rows, hidden, size=0.5)}
            return {**made, 3: _w(directions, 2 * rows)} if bias else made

        kernel, x, short = operator.lower(), {0: (16, 1, 8)}, {0: (4, 1, 8)}
        cases += [
            OnnxCase(operator, "16 steps", x, constants(12), {"hidden_size": 12}, kernel=kernel),
            OnnxCase(
                operator,
                "without bias, batch",
                {0: (4, 3, 8)},
                constants(5, bias=False),
                {"hidden_size": 5},
                kernel=kernel,
            ),
            OnnxCase(
                operator, "reverse", short, constants(6), {"hidden_size": 6, "direction": "reverse"}, kernel=kernel
            ),
            OnnxCase(
                operator,
                "bidirectional",
                short,
                constants(6, 2),
                {"hidden_size": 6, "direction": "bidirectional"},
                kernel=(kernel, kernel, "concat"),
            ),
        ]
        more = {"activations": ["Relu"]} if operator == "RNN" else {}
        cases.append(
            OnnxCase(
                operator,
                "two outputs",
                short,
                constants(6),
                {"hidden_size": 6, **more},
                outputs=2,
                kernel=(kernel, "strided_slice"),
            )
        )
        states = {5: (1, 1, 6), 6: (1, 1, 6)} if operator == "LSTM" else {5: (1, 1, 6)}
        started = {**short, **states}
        cases.append(OnnxCase(operator, "initial state", started, constants(6), {"hidden_size": 6}, kernel=kernel))
        if operator == "LSTM":
            one = {**constants(6), 5: _w(1, 1, 6)}
            cases.append(OnnxCase(operator, "one state, constant", short, one, {"hidden_size": 6}, kernel=kernel))
        # The float C must equal the float references to the last bit, too: tanh and the order of the sums.
        peepholes = {**constants(6), 7: _w(1, 18)} if operator == "LSTM" else constants(6)
        odd = {"hidden_size": 6, **({} if operator == "LSTM" else {"clip": 1.5})}
        cases.append(OnnxCase(operator, "initial state, in float", started, peepholes, odd, kernel=None))
    # What all of them share is tested once.
    same = ("16 steps", "without bias, batch", "reverse", "initial state, in float")
    cases = [case for case in cases if case.operator != "RNN" or case.name not in same]
    attributes = {"hidden_size": 12, "linear_before_reset": 1}
    weights = {1: _w(1, 36, 8, size=0.5), 2: _w(1, 36, 12, size=0.5), 3: _w(1, 72)}
    return [*cases, OnnxCase("GRU", "linear before reset", {0: (5, 1, 8)}, weights, attributes, kernel="gru")]


LAYER_CASES: List[OnnxCase] = [*_convolutions(), *_products(), *_normalizations(), *_recurrent()]
