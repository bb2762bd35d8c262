"""The table of ONNX operators: one-operator float models with what must become of them.

Each row drives four tests (tests/test_operators.py): the integer rule against float ONNX Runtime, the C against the
rule, the whole pipeline against both references, and what the report says computes it.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from esp_tvm.convert.lower import lower


@dataclass(frozen=True)
class OnnxCase:
    """One operator in a model of its own.

    inputs: shapes of the float inputs, by position; constants: arrays by position (None: left out)
    kernel: the kernel that must compute it, or several in their order; None: it falls back to float
    steps: by how many steps of the output's scale the result may differ from float ONNX Runtime
    low, high: range of the inputs' values
    behind_relu: a Relu comes first, so that int8 values arrive at what only moves them
    nodes: in place of the operator several nodes, as (operator, inputs, "output output", attributes); `operator` is
        their title
    """

    operator: str
    name: str
    inputs: Dict[int, Tuple[int, ...]]
    constants: Dict[int, Optional[np.ndarray]] = field(default_factory=dict)
    attributes: Dict[str, Any] = field(default_factory=dict)
    kernel: Any = None
    outputs: int = 1
    opset: int = 13
    steps: float = 1.0
    low: float = -4.0
    high: float = 4.0
    behind_relu: bool = False
    nodes: Sequence[Tuple[str, Sequence[str], str, Dict[str, Any]]] = ()

    @property
    def id(self) -> str:
        return f"{self.operator}: {self.name}" if self.name else self.operator

    @property
    def kernels(self) -> List[str]:
        return [self.kernel] if isinstance(self.kernel, str) else list(self.kernel or [])

    def model(self) -> onnx.ModelProto:
        """The float model."""
        places = sorted([*self.inputs, *self.constants])
        names = [""] * (max(places) + 1)
        inputs, initializers = [], []
        for place, shape in self.inputs.items():
            names[place] = f"x{place}"
            inputs.append(helper.make_tensor_value_info(names[place], TensorProto.FLOAT, shape))
        for place, array in self.constants.items():
            if array is not None:
                names[place] = f"c{place}"
                initializers.append(numpy_helper.from_array(np.asarray(array), names[place]))
        outputs = [f"y{i}" for i in range(self.outputs)]
        nodes = []
        if self.behind_relu:
            nodes.append(helper.make_node("Relu", names[:1], ["relu"], "relu"))
            names[0] = "relu"
        if self.nodes:
            for op, read, made, more in self.nodes:
                nodes.append(helper.make_node(op, list(read), made.split(), made, **more))
        else:
            nodes.append(helper.make_node(self.operator, names, outputs, self.operator.lower(), **self.attributes))
        empty = [helper.make_empty_tensor_value_info(name) for name in outputs]
        graph = helper.make_graph(nodes, "case", inputs, empty, initializers)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)])
        model.ir_version = 8
        lower(model, self.id)
        return onnx.shape_inference.infer_shapes(model, data_prop=True)

    def samples(self, count: int = 3) -> Dict[str, np.ndarray]:
        """Inputs on a grid of quarter units, so that they lose nothing when they are quantized: [N, *shape]."""
        random = np.random.RandomState(zlib.crc32(self.id.encode()))
        low, high = int(self.low * 16), int(self.high * 16)
        made = {}
        for place, shape in self.inputs.items():
            values = random.randint(low, high, (count, *shape)) / 16
            # Both ends are there, so that every sample calls for the same exponent.
            values.reshape(count, -1)[:, :1] = (high - 1) / 16
            made[f"x{place}"] = values.astype(np.float32)
        return made


def _i(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def _f(*shape: int) -> np.ndarray:
    """A constant of some values between -2 and 2 that int8 holds exactly."""
    random = np.random.RandomState(7 + int(np.prod(shape)))
    return (random.randint(-64, 64, shape) / 32).astype(np.float32)


X = (1, 4, 6, 8)


def _binary() -> List[OnnxCase]:
    cases = []
    for operator, same, other in (
        ("Add", "add", "add_broadcast"),
        ("Sub", "sub", "sub_broadcast"),
        ("Mul", "mul", "mul_broadcast"),
        ("Div", "div", "div"),
        ("Max", "maximum", "maximum"),
        ("Min", "minimum", "minimum"),
    ):
        # Half a step of the divisor's own rounding is nothing here: inputs are exact.
        small = {"low": 1.0} if operator == "Div" else {}
        constant = np.abs(_f(4, 1, 1)) + np.float32(0.5) if operator == "Div" else _f(4, 1, 1)
        cases += [
            OnnxCase(operator, "same shapes", {0: X, 1: X}, kernel=same, **small),
            OnnxCase(operator, "one per channel", {0: X, 1: (1, 4, 1, 1)}, kernel=other, **small),
            OnnxCase(operator, "rows and columns", {0: (3, 1), 1: (1, 5)}, kernel=other, **small),
            OnnxCase(operator, "fewer axes", {0: (2, 3, 4), 1: (4,)}, kernel=other, **small),
            OnnxCase(operator, "one value", {0: (2, 3, 4), 1: (1,)}, kernel=other, **small),
            OnnxCase(operator, "whole constant", {0: (2, 6)}, {1: np.abs(_f(2, 6)) + np.float32(1)}, kernel=other),
            OnnxCase(operator, "constant number", {0: (2, 6)}, {1: np.float32(1.5)}, kernel="lookup"),
        ]
        if operator in ("Div", "Max", "Min"):
            cases.append(OnnxCase(operator, "constant per channel", {0: X}, {1: constant}, kernel=other))
        cases.append(OnnxCase(operator, "constant first", {1: (2, 6)}, {0: _f(2, 6)}, kernel=other, **small))
    cases += [
        OnnxCase("Where", "constant condition", {1: X, 2: X}, {0: _f(4, 1, 1) > 0}, kernel="select"),
        OnnxCase("Where", "filled", {1: X}, {0: _f(6, 8) > 0, 2: np.float32(-1.5)}, kernel="select"),
        OnnxCase("Where", "constants", {2: (2, 6)}, {0: _f(2, 1) > 0, 1: _f(6)}, kernel="select"),
        OnnxCase(
            "Less, Where",
            "computed condition",
            {0: X, 1: (1, 4, 1, 1)},
            {2: np.float32(0.5)},
            kernel=("compare", "select"),
            nodes=(
                ("Less", ("x0", "x1"), "less", {}),
                ("Where", ("less", "x0", "c2"), "y0", {}),
            ),
        ),
        # Behind a node that TVM folds, a constant is quantized as a tensor is.
        OnnxCase(
            "Less, Where, Cast",
            "between constants",
            {0: (2, 6), 1: (1, 6)},
            {2: np.full(1, 2, np.int64), 3: np.float32([-1.5])},
            kernel=("compare", "select"),
            nodes=(
                ("Less", ("x0", "x1"), "less", {}),
                ("Cast", ("c2",), "two", {"to": 1}),
                ("Where", ("less", "two", "c3"), "y0", {}),
            ),
        ),
        OnnxCase(
            "Where, Sin",
            "a function of one tensor, of one that is filled",
            {0: (2, 6)},
            {1: _f(2, 6) > 0, 2: np.float32(0), 3: np.float32(1)},
            kernel=("select", "lookup"),
            nodes=(
                ("Where", ("c1", "x0", "c2"), "filled", {}),
                ("Abs", ("filled",), "size", {}),
                ("Greater", ("size", "c3"), "large", {}),
                ("Sin", ("filled",), "sine", {}),
                ("Where", ("large", "sine", "c2"), "y0", {}),
            ),
        ),
        OnnxCase("Where", "filled with a mask", {1: (2, 6)}, {0: _f(2, 6) > 0, 2: np.float32(-1e9)}, kernel=None),
        OnnxCase("Max", "of three", {0: X, 1: X, 2: X}, kernel=("maximum", "maximum"), steps=1.5),
        OnnxCase("Sum", "of three", {0: X, 1: X, 2: X}, kernel=("add", "add"), steps=1.5),
        OnnxCase("Pow", "squared", {0: X}, {1: np.float32(2)}, kernel="lookup"),
        OnnxCase("Pow", "of a constant per channel", {0: X}, {1: _f(4, 1, 1)}, low=0.5, kernel=None),
        OnnxCase("Mod", "fmod", {0: X}, {1: np.full((4, 1, 1), 3, np.float32)}, {"fmod": 1}, kernel=None),
        OnnxCase("PRelu", "per channel", {0: X}, {1: _f(4, 1, 1)}, kernel="prelu"),
        OnnxCase("PRelu", "whole", {0: (2, 5)}, {1: _f(2, 5)}, kernel="prelu"),
        OnnxCase("PRelu", "one slope", {0: X}, {1: np.float32([0.25])}, kernel="lookup"),
    ]
    for operator in ("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"):
        cases += [
            OnnxCase(operator, "two", {0: (3, 40), 1: (3, 40)}, kernel="compare", low=-1, high=1),
            OnnxCase(operator, "broadcast", {0: (3, 40), 1: (3, 1)}, kernel="compare", low=-1, high=1),
            OnnxCase(operator, "a constant", {0: (3, 40)}, {1: np.float32(0.25)}, kernel="compare", low=-1, high=1),
        ]
    return cases


_LOOKUPS = "Abs Atan Ceil Cos Elu Erf Exp Floor HardSigmoid HardSwish LeakyRelu Neg Round Selu Sigmoid Sign Sin \
Softplus Softsign Tanh ThresholdedRelu"


def _unary() -> List[OnnxCase]:
    cases = [OnnxCase(op, "", {0: (2, 60)}, kernel="lookup", opset=14) for op in _LOOKUPS.split()]
    cases += [OnnxCase(op, "", {0: (2, 60)}, kernel="lookup", low=0.5) for op in ("Log", "Sqrt", "Reciprocal")]
    cases += [
        OnnxCase("Gelu", "", {0: (2, 60)}, kernel="lookup", opset=20),
        OnnxCase("Gelu", "tanh", {0: (2, 60)}, {}, {"approximate": "tanh"}, kernel="lookup", opset=20),
        OnnxCase("Mish", "", {0: (2, 60)}, kernel="lookup", opset=18),
        OnnxCase("Swish", "", {0: (2, 60)}, kernel="lookup", opset=24),
        OnnxCase("Swish", "alpha", {0: (2, 60)}, {}, {"alpha": 0.5}, kernel="lookup", opset=24),
        OnnxCase("Gemm", "", {0: (2, 8)}, {1: _f(8, 5) / 4, 2: _f(5)}, kernel="dense"),
        OnnxCase("Gemm", "transB", {0: (2, 8)}, {1: _f(5, 8) / 4}, {"transB": 1}, kernel="dense"),
        OnnxCase("Relu", "", {0: X}, kernel="requantize"),
        OnnxCase("Clip", "0 to 3", {0: X}, {1: np.float32(0), 2: np.float32(3)}, kernel="requantize"),
        OnnxCase("Clip", "below", {0: X}, {1: np.float32(-1)}, kernel="requantize"),
    ]
    return cases


def _reductions() -> List[OnnxCase]:
    cases = []
    for name, kernel in (
        ("ReduceMean", "reduce_mean"),
        ("ReduceSum", "reduce_sum"),
        ("ReduceL1", "reduce_l1"),
        ("ReduceL2", "reduce_l2"),
        ("ReduceSumSquare", "reduce_sum_square"),
        ("ReduceMax", "reduce_max"),
        ("ReduceMin", "reduce_min"),
    ):
        for what, shape, axes, keep in (
            ("the plane", X, (2, 3), 1),
            ("channels", X, (1,), 1),
            ("the last axis, dropped", (3, 4, 5), (-1,), 0),
            ("first and last", (3, 4, 5), (0, 2), 0),
        ):
            attributes: Dict[str, Any] = {"keepdims": keep}
            constants = {}
            if name == "ReduceSum":
                constants = {1: _i(*axes)}
            else:
                attributes["axes"] = list(axes)
            # Transposes that stay may stand around it. The mean of a plane is the pooling of it.
            pooled = (name, what) == ("ReduceMean", "the plane")
            used = "average_pool2d" if pooled else kernel
            cases.append(OnnxCase(name, what, {0: shape}, constants, attributes, kernel=used))
    product = ("strided_slice", "strided_slice", "mul", "strided_slice", "mul")
    shares = ("reduce_max", "sub_broadcast", "lookup", "reduce_sum", "lookup", "add")
    for name, used in (("ReduceLogSum", ("reduce_sum", "lookup")), ("ReduceLogSumExp", shares)):
        options = {"axes": [1], "keepdims": 0}
        cases.append(OnnxCase(name, "", {0: (2, 3, 4)}, {}, options, kernel=used, steps=2, low=0.5, high=2))
    cases += [
        OnnxCase("ReduceLogSumExp", "of all", {0: (3, 4)}, {}, {"keepdims": 1}, kernel=shares, steps=2),
        OnnxCase("ReduceProd", "", {0: (2, 3, 4)}, {}, {"axes": [1]}, kernel=product, steps=4, high=2),
        OnnxCase("ReduceProd", "of many", {0: (2, 17)}, {}, {"axes": [1]}, low=0.5, high=1.5),
        OnnxCase("CumSum", "", {0: (2, 3, 8)}, {1: np.int64(2)}, kernel="dense"),
        OnnxCase("CumSum", "reverse", {0: (2, 6, 4)}, {1: np.int64(-2)}, {"reverse": 1}, kernel="dense"),
        OnnxCase("CumSum", "exclusive", {0: (7,)}, {1: np.int32(0)}, {"exclusive": 1}, kernel="dense"),
        OnnxCase("CumSum", "long", {0: (2, 300)}, {1: np.int64(1)}, low=-0.5, high=0.5),
    ]
    order = np.eye(4, dtype=np.float32)[[2, 0, 3, 1]].reshape(4, 4, 1, 1)
    hard = (("Conv", ("x0", "c1"), "c", {}), ("Hardmax", ("c",), "y0", {"axis": 1}))
    cases += [
        OnnxCase("Hardmax", "last axis", {0: (3, 40)}, kernel="hardmax"),
        OnnxCase("Hardmax", "channels", {0: X}, {}, {"axis": 1}, kernel="hardmax"),
        OnnxCase("Hardmax", "first of equals", {0: (90, 3)}, {}, {"axis": 0}, kernel="hardmax", low=-0.5, high=0.5),
        # Channels in another order: nothing is rounded, which could make another value the largest.
        OnnxCase("Conv, Hardmax", "channels", {0: X}, {1: order}, kernel=["conv2d", "hardmax"], nodes=hard),
        OnnxCase("Hardmax", "all axes from one on", {0: (3, 4, 5)}, {}, {"axis": 1}, kernel="hardmax", opset=11),
        OnnxCase("Hardmax", "all axes", {0: (3, 4, 5)}, {}, {"axis": 0}, kernel="hardmax", opset=12),
        OnnxCase("Hardmax", "all axes from the second on", {0: (3, 4, 5)}, kernel="hardmax", opset=9),
    ]
    both = ("topk", "topk_indices")
    ranked = (
        ("Softmax", ("x0",), "s", {"axis": 1}),
        ("TopK", ("s", "c1"), "y0 y1", {"axis": 1}),
    )
    cases += [
        OnnxCase("TopK", "last axis", {0: (3, 40)}, {1: _i(5)}, outputs=2, kernel=both),
        OnnxCase("TopK", "channels, smallest", {0: X}, {1: _i(2)}, {"axis": 1, "largest": 0}, outputs=2, kernel=both),
        OnnxCase("TopK", "neither 0 nor 1", {0: (3, 9)}, {1: _i(2)}, {"largest": 2}, outputs=2, kernel=both),
        OnnxCase(
            "TopK", "first of equals", {0: (3, 90)}, {1: _i(9)}, {"axis": 1}, outputs=2, kernel=both, low=-0.5, high=0.5
        ),
        OnnxCase("TopK", "as in opset 9", {0: (90, 3)}, {}, {"axis": 0, "k": 4}, outputs=2, kernel=both, opset=9),
        OnnxCase("Softmax, TopK", "", {0: (2, 30)}, {1: _i(3)}, outputs=2, kernel=("softmax", *both), nodes=ranked),
    ]
    for name in ("ArgMax", "ArgMin"):
        cases += [
            OnnxCase(name, "last axis", {0: (3, 40)}, {}, {"axis": -1, "keepdims": 0}, kernel="argmax"),
            OnnxCase(name, "channels", {0: X}, {}, {"axis": 1}, kernel="argmax"),
            OnnxCase(
                name,
                "last of equals",
                {0: (3, 90)},
                {},
                {"axis": 1, "select_last_index": 1},
                kernel="argmax",
                low=-0.5,
                high=0.5,
            ),
        ]
    return cases


def _moves() -> List[OnnxCase]:
    copied = ("y0", "y1", "x0", "c1")  # two outputs, an input, a constant
    pads = _i(0, 1, 2, 1, 0, 0, 1, 3)
    return [
        OnnxCase("Concat", "channels", {0: X, 1: (1, 3, 6, 8)}, {}, {"axis": 1}, kernel="concat"),
        OnnxCase("Concat", "of three", {0: (2, 3), 1: (2, 1), 2: (2, 4)}, {}, {"axis": -1}, kernel="concat"),
        OnnxCase("Concat", "rows", {0: X, 1: X}, {}, {"axis": 2}, kernel="concat"),
        OnnxCase("Concat", "behind a constant", {1: (1, 5, 8)}, {0: _f(1, 1, 8)}, {"axis": 1}, kernel="concat"),
        OnnxCase(
            "Concat", "constant channels between", {0: X, 2: X}, {1: _f(1, 2, 6, 8)}, {"axis": 1}, kernel="concat"
        ),
        OnnxCase("Split", "halves", {0: X}, {}, {"axis": 1}, outputs=2, kernel=("strided_slice",) * 2),
        OnnxCase(
            "Split", "parts", {0: (2, 9)}, {1: _i(2, 3, 4)}, {"axis": 1}, outputs=3, kernel=("strided_slice",) * 3
        ),
        OnnxCase(
            "Slice", "steps", {0: X}, {1: _i(1, 1), 2: _i(5, 7), 3: _i(2, 3), 4: _i(2, 1)}, kernel="strided_slice"
        ),
        OnnxCase("Slice", "backwards", {0: X}, {1: _i(-1), 2: _i(-100), 3: _i(3), 4: _i(-1)}, kernel="strided_slice"),
        OnnxCase("Pad", "constant", {0: X}, {1: pads}, kernel="pad"),
        OnnxCase("Pad", "with a value", {0: X}, {1: pads, 2: np.float32(-1.5)}, kernel="pad"),
        OnnxCase("Pad", "edge", {0: X}, {1: pads}, {"mode": "edge"}, kernel="pad"),
        OnnxCase("Pad", "reflect", {0: X}, {1: pads}, {"mode": "reflect"}, kernel="pad"),
        OnnxCase("Reshape", "", {0: X}, {1: _i(2, -1)}, kernel="requantize", behind_relu=True),
        OnnxCase("Flatten", "", {0: X}, kernel="requantize", behind_relu=True),
        OnnxCase("Squeeze", "", {0: X}, {1: _i(0)}, kernel="requantize", behind_relu=True),
        OnnxCase("Unsqueeze", "", {0: X}, {1: _i(1)}, kernel="requantize", behind_relu=True),
        OnnxCase("Identity", "", {0: X}, kernel="requantize", behind_relu=True),
        OnnxCase(
            "Relu, Softmax, Identity",
            "outputs that are copies",
            {0: (2, 9)},
            {1: np.float32([[0.1, -2.0]])},
            kernel=("requantize", "softmax", "softmax"),
            outputs=6,
            nodes=(
                ("Relu", ("x0",), "y0", {}),
                ("Softmax", ("x0",), "y1", {}),
                *(("Identity", (source,), made, {}) for made, source in zip(("y2", "y3", "y4", "y5"), copied)),
            ),
        ),
        OnnxCase("Cast", "float to float", {0: X}, {}, {"to": 1}, kernel="requantize", behind_relu=True),
        OnnxCase("Transpose", "", {0: X}, {}, {"perm": [0, 3, 1, 2]}, kernel="requantize", behind_relu=True),
        OnnxCase("Transpose", "all axes", {0: X}, kernel="requantize", behind_relu=True),
        OnnxCase("Gather", "channels", {0: X}, {1: _i(2, -1, 0)}, {"axis": 1}, kernel="gather"),
        OnnxCase("Gather", "axis and index from the end", {0: X}, {1: _i(-2)}, {"axis": -3}, kernel="strided_slice"),
        OnnxCase("Gather", "axis and indices from the end", {0: X}, {1: _i(-1, 1, -6)}, {"axis": -2}, kernel="gather"),
        OnnxCase("Gather", "matrix of indices", {0: (5, 3)}, {1: _i(2, 4, 0, 0).reshape(2, 2)}, kernel="gather"),
        OnnxCase("Gather", "one index", {0: (5, 3)}, {1: np.int64(2)}, {"axis": 1}, kernel="strided_slice"),
        OnnxCase(
            "ArgMax, Gather",
            "rows of a table by indices that are computed",
            {0: (2, 6, 5)},
            {1: _f(5, 8)},
            kernel=("argmax", "take"),
            nodes=(("ArgMax", ("x0",), "i", {"axis": 2, "keepdims": 0}), ("Gather", ("c1", "i"), "y0", {})),
        ),
        OnnxCase(
            "ArgMax, Gather",
            "columns by indices that are computed",
            {0: (3, 6), 1: (2, 6)},
            kernel=("argmax", "take"),
            nodes=(("ArgMax", ("x0",), "i", {"axis": 1, "keepdims": 0}), ("Gather", ("x1", "i"), "y0", {"axis": 1})),
        ),
        OnnxCase("GatherND", "", {0: (3, 4, 5)}, {1: _i(0, 1, 2, 3).reshape(2, 2)}, kernel="gather_rows"),
        OnnxCase("ScatterND", "rows", {0: (4, 5), 2: (2, 5)}, {1: _i(2, 0).reshape(2, 1)}, kernel="scatter_rows"),
        OnnxCase(
            "ReverseSequence",
            "",
            {0: (4, 3, 2)},
            {1: _i(1, 3, 4)},
            {"time_axis": 0, "batch_axis": 1},
            kernel="gather_rows",
        ),
        OnnxCase("Expand", "", {0: (1, 4, 1)}, {1: _i(3, 1, 5)}, kernel="broadcast"),
        OnnxCase("Tile", "", {0: (2, 3, 4)}, {1: _i(2, 1, 3)}, kernel="tile"),
        OnnxCase("DepthToSpace", "DCR", {0: (2, 8, 3, 2)}, {}, {"blocksize": 2}, kernel="depth_to_space"),
        OnnxCase(
            "DepthToSpace", "CRD", {0: (2, 8, 3, 2)}, {}, {"blocksize": 2, "mode": "CRD"}, kernel="depth_to_space"
        ),
        OnnxCase("SpaceToDepth", "", {0: (2, 3, 6, 4)}, {}, {"blocksize": 2}, kernel="space_to_depth"),
    ]


def _resizes() -> List[OnnxCase]:
    cases = []
    for mode, kernel in (("nearest", "resize_nearest"), ("linear", "resize_linear")):
        for transformation in ("half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"):
            for what, shape, sizes in (
                ("twice", X, (1, 4, 12, 16)),
                ("odd", X, (1, 4, 9, 5)),
                ("1-D", (1, 3, 6), (1, 3, 12)),
            ):
                attributes = {"mode": mode, "coordinate_transformation_mode": transformation}
                if mode == "nearest":
                    attributes["nearest_mode"] = "floor" if transformation == "asymmetric" else "round_prefer_floor"
                name = f"{mode}, {transformation}, {what}"
                cases.append(OnnxCase("Resize", name, {0: shape}, {3: _i(*sizes)}, attributes, kernel=kernel))
    for mode, kernel in (("nearest", "resize_nearest"), ("linear", "resize_linear")):
        cases.append(
            OnnxCase("Upsample", mode, {0: X}, {1: np.float32([1, 1, 2, 3])}, {"mode": mode}, kernel=kernel, opset=9)
        )
    return cases


# The rest of the table, which is made of the same rows.
from onnx_exports import EXPORT_CASES  # noqa: E402
from onnx_layers import LAYER_CASES  # noqa: E402
from onnx_pools import POOL_CASES  # noqa: E402

ONNX_CASES: List[OnnxCase] = [
    *_binary(),
    *_unary(),
    *_reductions(),
    *_moves(),
    *_resizes(),
    *POOL_CASES,
    *LAYER_CASES,
    *EXPORT_CASES,
]


def by_operator(cases: Sequence[OnnxCase] = ONNX_CASES) -> Dict[str, List[OnnxCase]]:
    """The rows of each operator."""
    found: Dict[str, List[OnnxCase]] = {}
    for case in cases:
        found.setdefault(case.operator, []).append(case)
    return found
