"""Every operator with each attribute away from its default, against ONNX Runtime: `make sweep`.

A model of one operator goes through load, quantize (where something in it can be quantized), import and the reference;
what that computes must be what ONNX Runtime computes of the same model, or the pipeline says in one line why it does
not take it. What is compared here is what TVM's importer and the rewrites understood of the attributes; that the C
computes what the reference does is tested elsewhere, and here with --compile.
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
import tempfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

os.environ.setdefault("TOPHUB_LOCATION", "NONE")
REPO = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(REPO / "tools"), str(REPO / "tests"), str(REPO / "tvm" / "python")]

import numpy as np  # noqa: E402
import onnx  # noqa: E402
from onnx import helper, numpy_helper  # noqa: E402

SAMPLES = 4
Shape = Tuple[int, ...]


@dataclass(frozen=True)
class SweepCase:
    """One operator: inputs {place: shape} in float, constants {place: array}, attributes; so many outputs."""

    operator: str
    inputs: Dict[int, Shape]
    attributes: Dict[str, Any] = field(default_factory=dict)
    constants: Dict[int, np.ndarray] = field(default_factory=dict)
    opset: int = 17
    outputs: int = 1
    low: float = -2.5
    high: float = 2.5

    @property
    def id(self) -> str:
        said = [f"{name}={value}" for name, value in self.attributes.items()]
        said += [f"{place}:{_said(array)}" for place, array in self.constants.items()]
        shapes = "x".join(str(list(shape)) for shape in self.inputs.values())
        return f"{self.operator}-{self.opset} {shapes} {' '.join(said)}".strip()

    def model(self) -> onnx.ModelProto:
        places = range(max([*self.inputs, *self.constants]) + 1)
        names = [f"x{p}" if p in self.inputs else f"c{p}" if p in self.constants else "" for p in places]
        outputs = [f"y{place}" for place in range(self.outputs)]
        node = helper.make_node(self.operator, names, outputs, "node", **self.attributes)
        inputs = [
            helper.make_tensor_value_info(f"x{place}", onnx.TensorProto.FLOAT, shape)
            for place, shape in self.inputs.items()
        ]
        empty = [helper.make_empty_tensor_value_info(name) for name in outputs]
        constants = [numpy_helper.from_array(array, f"c{place}") for place, array in self.constants.items()]
        graph = helper.make_graph([node], "sweep", inputs, empty, constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)])
        model.ir_version = 8
        return onnx.shape_inference.infer_shapes(model, data_prop=True)

    def samples(self) -> Dict[str, np.ndarray]:
        random = np.random.RandomState(zlib.crc32(self.id.encode()))
        made = {}
        for place, shape in self.inputs.items():
            # Quarters: nothing is lost where int8 holds them, and ties come about.
            values = random.randint(int(self.low * 4), int(self.high * 4) + 1, (SAMPLES, *shape)) / 4
            values.reshape(SAMPLES, -1)[:, 0] = self.high
            made[f"x{place}"] = values.astype(np.float32)
        return made


def _said(array: np.ndarray) -> str:
    return f"{array.dtype}{list(array.shape)}" if array.size > 8 else str(array.tolist())


# --- the table --------------------------------------------------------------------------------------------------------

IMAGE, LINE, BOX, MATRIX = (1, 4, 7, 6), (1, 4, 9), (1, 2, 5, 4, 4), (3, 8)


def _i(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def _f(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def _weights(*shape: int) -> np.ndarray:
    return (np.random.RandomState(int(np.prod(shape))).randint(-8, 9, shape) / 8).astype(np.float32)


def _each(operator: str, inputs: Dict[int, Shape], changes: Dict[str, Sequence], base=None, **more) -> List[SweepCase]:
    """The defaults (`base`), each attribute changed alone, and the last values of every two together."""
    base = dict(base or {})
    cases = [base]
    cases += [{**base, name: value} for name, values in changes.items() for value in values]
    cases += [{**base, one: changes[one][-1], two: changes[two][-1]} for one, two in itertools.combinations(changes, 2)]
    return [SweepCase(operator, inputs, attributes, **more) for attributes in cases]


def _functions() -> Iterator[SweepCase]:
    x = {0: MATRIX}
    yield from _each("Elu", x, {"alpha": [0.5, 2.0]})
    yield from _each("Celu", x, {"alpha": [0.5, 2.0]})
    yield from _each("Selu", x, {"alpha": [1.2], "gamma": [0.7]})
    yield from _each("LeakyRelu", x, {"alpha": [0.3, -0.5, 1.5, 0.0]})
    yield from _each("ThresholdedRelu", x, {"alpha": [0.25, -1.0, 0.0]})
    yield from _each("HardSigmoid", x, {"alpha": [0.5, -0.3], "beta": [0.1, 0.9]})
    yield from _each("Shrink", x, {"lambd": [1.0, 0.25], "bias": [0.5, 1.0]})
    yield from _each("Mod", {0: MATRIX, 1: (1, 8)}, {}, {"fmod": 1}, low=0.5)
    yield from _each("IsInf", x, {"detect_negative": [0], "detect_positive": [0]})
    yield from _each("CumSum", x, {"exclusive": [1], "reverse": [1]}, constants={1: np.array(1, np.int64)})
    yield from _each("CumSum", x, {"reverse": [1]}, constants={1: np.array(-2, np.int64)})
    for low, high in ((None, 1.0), (-1.0, None), (-1.0, 1.0), (0.0, 6.0), (None, -0.5)):
        bounds = {p: np.float32(v) for p, v in ((1, low), (2, high)) if v is not None}
        yield SweepCase("Clip", x, {}, bounds)
    for to in (1, 6, 7, 3, 2, 9, 10, 11):
        yield SweepCase("Cast", x, {"to": to}, low=0.0 if to == 2 else -2.5)
    for operator in ("Softmax", "LogSoftmax", "Hardmax"):
        for axis in (0, 1, 2, -1, -2, -3):
            yield SweepCase(operator, {0: (2, 3, 5)}, {"axis": axis})
        yield SweepCase(operator, {0: IMAGE}, {"axis": 1})
    for slope in (_weights(4, 1, 1), _weights(1, 4, 1, 1), _weights(6), _weights(7, 1), _f(0.25), _weights(*IMAGE)):
        yield SweepCase("PRelu", {0: IMAGE}, {}, {1: slope})
    for exponent in (_f(2), _f(0.5), np.int64(3), np.int32(2), np.float32(-1), _weights(8)):
        yield SweepCase("Pow", x, {}, {1: exponent}, low=0.25)
    yield SweepCase("Trilu", {0: (4, 5)}, {"upper": 0}, opset=14)
    yield SweepCase("Trilu", {0: (4, 5)}, {"upper": 1}, {1: np.array(-1, np.int64)}, opset=14)
    yield SweepCase("Trilu", {0: (2, 4, 5)}, {"upper": 0}, {1: np.array(2, np.int64)}, opset=14)
    for axis in (0, 1, 2, -1):
        yield SweepCase("CumSum", {0: (2, 3, 4)}, {}, {1: np.array(axis, np.int32)})
    mask = np.random.RandomState(0).randint(0, 2, (3, 8)).astype(bool)
    yield SweepCase("Where", {1: MATRIX, 2: MATRIX}, {}, {0: mask})
    yield SweepCase("Where", {1: MATRIX, 2: (1, 8)}, {}, {0: mask[:, :1]})
    yield SweepCase("Where", {1: MATRIX}, {}, {0: mask, 2: _f(-1)})


def _normalizations() -> Iterator[SweepCase]:
    for shape in (IMAGE, LINE):
        yield from _each("LRN", {0: shape}, {"alpha": [0.5], "beta": [0.5], "bias": [2.0]}, {"size": 3})
    yield SweepCase("LRN", {0: IMAGE}, {"size": 4, "alpha": 0.5})
    yield SweepCase("LRN", {0: IMAGE}, {"size": 1, "alpha": 0.5})
    for axis in (0, 1, -1, -2):
        yield from _each("LpNormalization", {0: (3, 4, 5)}, {"p": [1]}, {"axis": axis}, low=0.25)
    for axes in ([0, 2, 3], [1], [2, 3], [-1], [0, 1, 2, 3]):
        yield SweepCase("MeanVarianceNormalization", {0: (2, 4, 3, 6)}, {"axes": axes}, opset=13)
    scale, bias = np.abs(_weights(4)) + np.float32(0.5), _weights(4) * np.float32(2)
    for shape in (IMAGE, LINE, (2, 4, 5)):
        yield from _each("InstanceNormalization", {0: shape}, {"epsilon": [0.5]}, constants={1: scale, 2: bias})
    statistics = {1: scale, 2: bias, 3: bias, 4: scale}
    for shape in (IMAGE, LINE, (3, 4)):
        yield from _each("BatchNormalization", {0: shape}, {"epsilon": [0.5], "momentum": [0.1]}, constants=statistics)
    for axis in (-1, 1, 2, -2, -3):
        shape = (2, 3, 4, 5)
        constants = {1: np.abs(_weights(*shape[axis:])) + np.float32(0.5), 2: _weights(*shape[axis:])}
        yield from _each("LayerNormalization", {0: shape}, {"epsilon": [0.5]}, {"axis": axis}, constants=constants)
        yield SweepCase("LayerNormalization", {0: shape}, {"axis": axis}, {1: constants[1]})
    yield SweepCase("LayerNormalization", {0: MATRIX}, {}, {1: _weights(8), 2: _weights(8)}, outputs=3)
    yield SweepCase("Dropout", {0: MATRIX}, {}, {1: np.float32(0.3)})
    yield SweepCase("Dropout", {0: MATRIX}, {"seed": 3}, {1: np.float32(0.3), 2: np.array(False)}, opset=13)
    yield SweepCase("Dropout", {0: MATRIX}, {}, {1: np.float32(0.3), 2: np.array(True)})


def _windows() -> Iterator[SweepCase]:
    for shape, rank in ((IMAGE, 2), (LINE, 1), (BOX, 3)):
        kernel, k = [3, 2, 2][:rank], {"kernel_shape": [3, 2, 2][:rank]}
        pads = [1, 0, 1][:rank] + [1, 1, 0][:rank]
        windows = {
            "strides": [[2, 3, 2][:rank]],
            "auto_pad": ["SAME_UPPER", "SAME_LOWER", "VALID"],
            "dilations": [[2, 1, 2][:rank]],
            "pads": [[0] * rank + [1] * rank, pads],
        }
        # Where the operator chooses the padding, none may be given.
        for operator, more in (
            ("MaxPool", {"ceil_mode": [1], "storage_order": [1]}),
            ("AveragePool", {"ceil_mode": [1], "count_include_pad": [1]}),
            ("LpPool", {"p": [1, 3]}),
        ):
            changes = {**{n: v for n, v in windows.items() if operator == "MaxPool" or n != "dilations"}, **more}
            yield from _padded(_each(operator, {0: shape}, changes, k))
        for group in (1, 2):
            weights = {1: _weights(6, shape[1] // group, *kernel), 2: _weights(6)}
            yield from _padded(_each("Conv", {0: shape}, windows, {"group": group}, constants=weights))
            weights = {1: _weights(shape[1], 6 // group, *kernel), 2: _weights(6)}
            changes = {**windows, "output_padding": [[1] * rank], "output_shape": [[2 * s for s in shape[2:]]]}
            base = {"group": group, "strides": [2] * rank}
            yield from _padded(_each("ConvTranspose", {0: shape}, changes, base, constants=weights))
        for operator in ("GlobalAveragePool", "GlobalMaxPool"):
            yield SweepCase(operator, {0: shape})
        yield from _each("GlobalLpPool", {0: shape}, {"p": [1, 3]})


def _padded(cases: Sequence[SweepCase]) -> Iterator[SweepCase]:
    for case in cases:
        if {"auto_pad", "pads"} <= set(case.attributes) or {"pads", "output_shape"} <= set(case.attributes):
            continue
        yield case


def _reductions() -> Iterator[SweepCase]:
    kinds = "Max Min Mean Sum Prod L1 L2 LogSum LogSumExp SumSquare".split()
    for kind, (axes, keep) in itertools.product(kinds, (([1], 1), ([0, 2], 0), ([-1], 1), ([-2, -1], 0), (None, 0))):
        positive = {"low": 0.5, "high": 1.5} if kind in ("Prod", "LogSum") else {}
        if kind == "Sum":
            constants = {} if axes is None else {1: _i(*axes)}
            yield SweepCase("ReduceSum", {0: (2, 3, 4)}, {"keepdims": keep}, constants)
        else:
            attributes = {"keepdims": keep, **({} if axes is None else {"axes": axes})}
            yield SweepCase(f"Reduce{kind}", {0: (2, 3, 4)}, attributes, **positive)
    yield SweepCase("ReduceSum", {0: (2, 3, 4)}, {"noop_with_empty_axes": 1}, {1: np.zeros(0, np.int64)})
    for kind in ("ArgMax", "ArgMin"):
        for axis in (0, 1, -1, -3):
            changes = {"keepdims": [0], "select_last_index": [1]}
            yield from _each(kind, {0: (3, 4, 5)}, changes, {"axis": axis}, high=1, low=-1)
    for largest, sorted_ in itertools.product((0, 1), (0, 1)):
        yield SweepCase("TopK", {0: MATRIX}, {"largest": largest, "sorted": sorted_}, {1: _i(3)}, outputs=2)


def _moves() -> Iterator[SweepCase]:
    x3 = (2, 3, 4)
    for axis in (0, 1, 2, -1, -3):
        yield SweepCase("Concat", {0: x3, 1: x3}, {"axis": axis})
        yield SweepCase("Gather", {0: x3}, {"axis": axis}, {1: _i(1, -1, 0)})
        index = np.random.RandomState(1).randint(-2, 2, (2, 2, 2)).astype(np.int64)
        yield SweepCase("GatherElements", {0: x3}, {"axis": axis}, {1: index})
        few = index[:1, :, :1]
        yield SweepCase("GatherElements", {0: x3}, {"axis": axis}, {1: few})
        places = np.array([[[0, -1], [1, 0]], [[1, 1], [0, 0]]], np.int64)
        for more in ({}, {"reduction": "none"}):
            one = {1: places[:1, :1, :1]}
            yield SweepCase("ScatterElements", {0: (2, 2, 2), 2: (1, 1, 1)}, {"axis": axis, **more}, one)
        for reduction in ("add", "mul"):
            yield SweepCase(
                "ScatterElements", {0: (2, 2, 2), 2: (2, 2, 2)}, {"axis": axis, "reduction": reduction}, {1: places}
            )
        yield SweepCase("Flatten", {0: x3}, {"axis": axis})
        yield SweepCase("Unsqueeze", {0: x3}, {}, {1: _i(axis)})
    yield SweepCase("Flatten", {0: x3}, {"axis": 3})
    yield SweepCase("Squeeze", {0: (1, 3, 1, 4)}, {}, {1: _i(-2)})
    yield SweepCase("Squeeze", {0: (1, 3, 1, 4)})
    yield SweepCase("Unsqueeze", {0: x3}, {}, {1: _i(-1, 0)})
    for axis in (0, 1, -1):
        yield SweepCase("Split", {0: (4, 4, 4)}, {"axis": axis}, outputs=2)
        yield SweepCase("Split", {0: (4, 4, 4)}, {"axis": axis}, {1: _i(1, 3)}, outputs=2)
    rows = np.array([[0, -1], [1, 2]], np.int64)
    yield SweepCase("GatherND", {0: x3}, {}, {1: rows})
    yield SweepCase("GatherND", {0: x3}, {"batch_dims": 1}, {1: rows[:, 1:]})
    yield SweepCase("GatherND", {0: (2, 2, 3, 4)}, {"batch_dims": 1}, {1: rows.reshape(2, 1, 2)[:, :, :]})
    rows = np.array([[1], [-1], [1]], np.int64)
    yield SweepCase("ScatterND", {0: (4, 5), 2: (2, 5)}, {}, {1: rows[:2]})
    yield SweepCase("ScatterND", {0: (4, 5), 2: (2, 5)}, {"reduction": "none"}, {1: rows[:2]})
    for reduction in ("add", "mul"):
        yield SweepCase("ScatterND", {0: (4, 5), 2: (3, 5)}, {"reduction": reduction}, {1: rows})
    for axis in (0, 1, -1, -2):
        yield SweepCase("OneHot", {2: (2,)}, {"axis": axis}, {0: np.array([[0, 2], [-1, 1]], np.int64), 1: _i(3)})
    for time, batch in ((0, 1), (1, 0)):
        axes = {"time_axis": time, "batch_axis": batch}
        yield SweepCase("ReverseSequence", {0: (3, 3, 2)}, axes, {1: _i(1, 3, 2)})
    for mode in ("DCR", "CRD"):
        yield SweepCase("DepthToSpace", {0: (1, 8, 3, 2)}, {"blocksize": 2, "mode": mode})
    yield SweepCase("SpaceToDepth", {0: (1, 2, 6, 4)}, {"blocksize": 2})
    for perm in ([0, 2, 3, 1], [3, 2, 1, 0], [1, 0, 2, 3]):
        yield SweepCase("Transpose", {0: IMAGE}, {"perm": perm})
    for mode in ("constant", "edge", "reflect"):
        for pads in (_i(0, 0, 1, 2, 0, 0, 2, 1), _i(0, 1, 0, 0, 0, 2, 0, 0), _i(0, 0, 0, 1, 0, 0, 0, 0)):
            yield SweepCase("Pad", {0: IMAGE}, {"mode": mode}, {1: pads})
        yield SweepCase("Pad", {0: IMAGE}, {"mode": mode}, {1: _i(0, 0, -1, 1, 0, 0, 1, -2)})
        yield SweepCase("Pad", {0: MATRIX}, {"mode": mode}, {1: _i(1, 2, 0, 1)})
    yield SweepCase("Pad", {0: IMAGE}, {}, {1: _i(0, 0, 1, 2, 0, 0, 2, 1), 2: np.float32(-1.5)})
    for starts, ends, axes, steps in (
        ([1, -3], [-1, 100], [0, 2], [1, 2]), ([-1], [-100], [1], [-1]), ([5, 4], [0, -100], [-1, -2], [-2, -1]),
        ([0], [2], [-4], [1]),
    ):  # fmt: skip
        yield SweepCase("Slice", {0: (3, 5, 6, 7)}, {}, {1: _i(*starts), 2: _i(*ends), 3: _i(*axes), 4: _i(*steps)})
    yield SweepCase("Slice", {0: (3, 5)}, {}, {1: _i(1, 1), 2: _i(3, 4)})
    yield SweepCase("Tile", {0: x3}, {}, {1: _i(2, 1, 3)})
    yield SweepCase("Expand", {0: (3, 1)}, {}, {1: _i(2, 1, 4)})
    yield SweepCase("Reshape", {0: x3}, {}, {1: _i(0, -1)})
    yield SweepCase("Reshape", {0: x3}, {"allowzero": 1}, {1: _i(4, 6)}, opset=14)
    for start, end in ((0, None), (1, -1), (-2, None)):
        attributes = {"start": start, **({} if end is None else {"end": end})}
        yield SweepCase("Shape", {0: x3}, attributes, opset=15)
    yield SweepCase("Compress", {0: x3}, {"axis": 1}, {1: np.array([True, False, True])})
    yield SweepCase("Compress", {0: x3}, {}, {1: np.array([True, False, True, True])})
    for k in (0, 1, -1):
        yield SweepCase("EyeLike", {0: (3, 4)}, {"k": k, "dtype": 1})


def _products() -> Iterator[SweepCase]:
    for a, b in itertools.product((0, 1), (0, 1)):
        weights = {1: _weights(*((5, 8) if b else (8, 5))), 2: _weights(5)}
        shape = (8, 3) if a else (3, 8)
        yield from _each(
            "Gemm", {0: shape}, {"alpha": [0.5], "beta": [2.0, 0.0]}, {"transA": a, "transB": b}, constants=weights
        )
    for bias in (_weights(3, 5), _weights(3, 1), _weights(1), np.float32(0.5)):
        yield SweepCase("Gemm", {0: (3, 8)}, {"beta": 0.5}, {1: _weights(8, 5), 2: bias})
    for one, other in (((3, 8), (8, 5)), ((2, 3, 8), (8, 5)), ((2, 3, 8), (2, 8, 5)), ((8,), (8, 5)), ((3, 8), (8,))):
        yield SweepCase("MatMul", {0: one}, {}, {1: _weights(*other)})
        yield SweepCase("MatMul", {0: one, 1: other})
    for equation, *shapes in (
        ("ij,jk->ik", (3, 4), (4, 5)),
        ("bij,bkj->bik", (2, 3, 4), (2, 5, 4)),
        ("ij->ji", (3, 4)),
        ("ij->i", (3, 4)),
        ("i,j->ij", (3,), (4,)),
    ):
        yield SweepCase("Einsum", dict(enumerate(shapes)), {"equation": equation})


def _resizes() -> Iterator[SweepCase]:
    ways = "half_pixel pytorch_half_pixel align_corners asymmetric".split()
    nearest = "round_prefer_floor round_prefer_ceil floor ceil".split()
    for shape in ((1, 2, 4, 6), (1, 2, 5)):
        rank = len(shape) - 2
        for sizes in ([8, 9][:rank], [3, 3][:rank], [1, 1][:rank]):
            whole = _i(1, 2, *sizes)
            for way, rounding in itertools.product(ways, nearest):
                attributes = {"mode": "nearest", "coordinate_transformation_mode": way, "nearest_mode": rounding}
                yield SweepCase("Resize", {0: shape}, attributes, {3: whole})
            for mode, way in itertools.product(("linear", "cubic"), ways):
                yield SweepCase("Resize", {0: shape}, {"mode": mode, "coordinate_transformation_mode": way}, {3: whole})
        scales = _f(1, 1, *[2, 1.5][:rank])
        for mode in ("nearest", "linear", "cubic"):
            yield SweepCase("Resize", {0: shape}, {"mode": mode}, {2: scales})
    cubic = {"mode": "cubic"}
    yield from _each("Resize", {0: (1, 2, 4, 6)}, {"cubic_coeff_a": [-0.5], "exclude_outside": [1]}, cubic,
                     constants={3: _i(1, 2, 8, 9)})  # fmt: skip
    roi = _f(0, 0, 0.2, 0.1, 1, 1, 0.8, 1.2)
    crop = {"coordinate_transformation_mode": "tf_crop_and_resize"}
    for mode in ("nearest", "linear", "cubic"):
        yield from _each("Resize", {0: (1, 2, 4, 6)}, {"extrapolation_value": [1.5]}, {"mode": mode, **crop},
                         constants={1: roi, 3: _i(1, 2, 5, 4)})  # fmt: skip
    grid = np.random.RandomState(2).uniform(-1.3, 1.3, (1, 3, 5, 2)).astype(np.float32)
    for mode, padding, corners in itertools.product(
        ("bilinear", "nearest", "bicubic"), ("zeros", "border", "reflection"), (0, 1)
    ):
        attributes = {"mode": mode, "padding_mode": padding, "align_corners": corners}
        yield SweepCase("GridSample", {0: (1, 2, 4, 6)}, attributes, {1: grid}, opset=16)
    rois, batch = _f(0, 0, 3, 4, 1, 1, 4, 3.5).reshape(2, 4), _i(0, 0)
    changes = {
        "mode": ["max"],
        "sampling_ratio": [2, 3],
        "spatial_scale": [0.5],
        "output_height": [2],
        "output_width": [3],
    }
    for opset, way in ((15, {}), (16, {"coordinate_transformation_mode": "output_half_pixel"}), (16, {})):
        yield from _each("RoiAlign", {0: (1, 2, 6, 6)}, changes, way, constants={1: rois, 2: batch}, opset=opset)
    boxes = _f(0, 0, 0, 3, 4, 0, 1, 1, 4, 5).reshape(2, 5)
    pooled = {"pooled_shape": [2, 3]}
    yield from _each("MaxRoiPool", {0: (1, 2, 6, 6)}, {"spatial_scale": [0.5]}, pooled, constants={1: boxes})


def _losses() -> Iterator[SweepCase]:
    labels = np.array([0, 2, 1], np.int64)
    for operator in ("NegativeLogLikelihoodLoss", "SoftmaxCrossEntropyLoss"):
        for reduction, more in itertools.product(("none", "sum", "mean"), ({}, {"ignore_index": 2})):
            yield SweepCase(operator, {0: (3, 4)}, {"reduction": reduction, **more}, {1: labels})
            yield SweepCase(
                operator, {0: (3, 4)}, {"reduction": reduction, **more}, {1: labels, 2: np.abs(_weights(4))}
            )


def cases() -> List[SweepCase]:
    """All of them, none twice."""
    made = itertools.chain(
        _functions(), _normalizations(), _windows(), _reductions(), _moves(), _products(), _resizes(), _losses()
    )
    return list({case.id: case for case in made}.values())


# --- one case ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Outcome:
    """way: right, refused, found (refused by the comparison with ONNX Runtime alone), wrong, or unknown (ONNX Runtime
    computes no such model); why: what there is to say."""

    way: str
    why: str = ""


def run_case(case: SweepCase, compiled: bool = False) -> Outcome:
    """What becomes of a case; an exception that is no `UserError` is wrong."""
    from esp_tvm.errors import UserError

    try:
        model, samples = case.model(), case.samples()
        onnx.checker.check_model(model)
        right = _theirs(model, samples)
    except Exception as error:
        return Outcome("unknown", _line(error))
    try:
        return _compared(model, samples, right, compiled)
    except UserError as error:
        return Outcome("found" if "otherwise than ONNX Runtime" in str(error) else "refused", _line(error))
    except Exception as error:
        return Outcome("wrong", f"{type(error).__name__}: {_line(error)}")


def _line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][-300:]


def _theirs(model: onnx.ModelProto, samples: Dict[str, np.ndarray]) -> Dict[str, np.ndarray]:
    from esp_tvm.model import session

    run, names = session(model), [value.name for value in model.graph.output]
    results = [run.run(names, {name: array[i] for name, array in samples.items()}) for i in range(SAMPLES)]
    return {name: np.stack([result[i] for result in results]) for i, name in enumerate(names)}


def _compared(model, samples, right, compiled: bool) -> Outcome:
    from pipeline_harness import quantized_or_float

    from esp_tvm.compile import compile_model
    from esp_tvm.compile.importing.import_onnx import import_onnx
    from esp_tvm.compile.partition import partition
    from esp_tvm.evaluate import NumpyEvaluator
    from esp_tvm.model import load_model
    from esp_tvm.project.verify import verify

    with tempfile.TemporaryDirectory(prefix="esp_tvm_sweep_") as folder:
        path = Path(folder) / "model.onnx"
        onnx.save(model, str(path))
        loaded = load_model(path)
    prepared = quantized_or_float(loaded, samples)
    if compiled:
        result = compile_model(prepared)
        imported, partitioned = result.imported, result.partitioned
    else:
        imported = import_onnx(prepared)
        partitioned = partition(imported)
    evaluator = NumpyEvaluator(imported, partitioned)
    if compiled:
        first = {name: array[0] for name, array in samples.items()}
        verify(prepared, result, first, evaluator.run(first), evaluator)
    is_float = prepared is loaded
    # Of the quantized model: what quantization costs is no fault of an attribute.
    theirs = right if is_float else _theirs(prepared, samples)
    for i in range(SAMPLES):
        ours = evaluator.run({name: array[i] for name, array in samples.items()}).outputs
        for name, values in theirs.items():
            why = _difference(ours[name], values[i], right[name], is_float)
            if why:
                return Outcome("wrong", f"{name}: {why}")
    return Outcome("right")


def _difference(ours: np.ndarray, theirs: np.ndarray, every: np.ndarray, is_float: bool) -> Optional[str]:
    if ours.shape != theirs.shape or ours.dtype != theirs.dtype:
        return f"it is {ours.dtype}{list(ours.shape)}, not {theirs.dtype}{list(theirs.shape)}"
    if theirs.dtype.kind != "f":
        return None if np.array_equal(ours, theirs) else f"{np.count_nonzero(ours != theirs)} of {theirs.size} differ"
    finite = np.abs(every[np.isfinite(every)])
    largest = float(finite.max()) if finite.size else 0.0
    # Rules round once where ONNX Runtime rounds several times, half up and not to even: a few steps of int8.
    bound = largest * (1e-4 if is_float else 0.06) + 1e-6
    with np.errstate(all="ignore"):
        same = (ours == theirs) | (np.isnan(ours) & np.isnan(theirs)) | (np.abs(ours - theirs) <= bound)
    return None if same.all() else f"off by {float(np.abs(ours - theirs)[~same].max()):.3g} of {largest:.3g}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pattern", nargs="*", help="only cases whose name contains one of these")
    parser.add_argument("--compile", action="store_true", help="also through the compiler and the export's comparison")
    parser.add_argument("--every", type=int, default=1, help="only every N-th case")
    options = parser.parse_args()
    chosen = [c for c in cases() if not options.pattern or any(p in c.id for p in options.pattern)][:: options.every]
    if not chosen:
        parser.error(f"no case has one of these in its name: {' '.join(options.pattern)}")
    counts: Dict[str, int] = {}
    for case in chosen:
        outcome = run_case(case, options.compile)
        counts[outcome.way] = counts.get(outcome.way, 0) + 1
        if outcome.way != "right":
            print(f"{outcome.way}: {case.id}: {outcome.why}", flush=True)
    print(", ".join(f"{count} {way}" for way, count in sorted(counts.items())))
    return 1 if counts.get("wrong") or counts.get("found") else 0


if __name__ == "__main__":
    sys.exit(main())
