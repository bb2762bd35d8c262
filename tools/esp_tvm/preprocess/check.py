"""Whether a tool's result computes the same as the model it was given."""

from __future__ import annotations

import os
from typing import Dict, List

import numpy as np
import onnx

from ..model import inputs_of, outputs_of, run_session, session
from ..onnx_graph import Graph, copied

_SEED = 20240229


# These give values of a fixed range; float32 is as exact as that range says, however small the values at hand are.
_BOUNDED = {
    "Sigmoid": 1.0,
    "HardSigmoid": 1.0,
    "Softmax": 1.0,
    "Tanh": 1.0,
    "Softsign": 1.0,
    "Erf": 1.0,
    "Hardmax": 1.0,
}
# What their operands are rounded to comes through; of the second list from the first operand alone.
_SUMS = frozenset("Add Sub Sum Mean Concat Max Min Where".split())
_PASSING = frozenset(
    "Identity Reshape Flatten Squeeze Unsqueeze Transpose Slice Gather Split Expand Tile Pad Cast Relu Clip LeakyRelu "
    "MaxPool AveragePool GlobalAveragePool GlobalMaxPool ReduceMean ReduceMax ReduceMin DepthToSpace SpaceToDepth "
    "Resize Dropout Abs Neg".split()
)
_PRODUCTS = frozenset("Conv ConvTranspose Gemm MatMul Mul".split())


class WorkingRange:
    """How large the numbers are that each output of a model is computed from.

    What float32 rounds in an output is a share of these, not of the output, which may be the small difference of large
    numbers or the tail of a softmax.
    """

    def __init__(self, model: onnx.ModelProto, feeds: Dict[str, np.ndarray]):
        self.graph = Graph(copied(model))
        self.feeds = feeds
        self.largest: Dict[str, float] = {}
        names: Dict[str, None] = {}
        for output in self.graph.outputs:
            self._visit(output, names)
        self._measure([name for name in names if self.graph.producer(name) is not None])

    def of(self, name: str) -> float:
        """The range that tensor `name` is computed in."""
        node = self.graph.producer(name)
        own = self._magnitude(name)
        if node is None:
            return own
        own = max(own, _BOUNDED.get(node.op_type, 0.0))
        if node.op_type in _PRODUCTS:
            x, w = node.input[:2]
            return max(
                [own, self._magnitude(x) * self._magnitude(w), *[self._magnitude(b) for b in node.input[2:] if b]]
            )
        return max([own, *map(self.of, self._followed(node))])

    def _followed(self, node: onnx.NodeProto) -> List[str]:
        if node.op_type in _SUMS:
            return [name for name in node.input if name and self._is_float(name)]
        return list(node.input[:1]) if node.op_type in _PASSING else []

    def _is_float(self, name: str) -> bool:
        value = self.graph.constant(name)
        return value is None or value.dtype.kind == "f"

    def _visit(self, name: str, names: Dict[str, None]) -> None:
        waiting = [name]
        while waiting:
            name = waiting.pop()
            if name in names:
                continue
            names[name] = None
            node = self.graph.producer(name)
            if node is not None:
                waiting += self._followed(node)
                if node.op_type in _PRODUCTS:
                    names.update(dict.fromkeys(one for one in node.input if one))

    def _measure(self, names: List[str]) -> None:
        part = copied(self.graph.model)
        del part.graph.output[:]
        part.graph.output.extend(onnx.helper.make_value_info(name, onnx.TypeProto()) for name in names)
        for name, value in zip(names, run_session(session(part), names, self.feeds)):
            self.largest[name] = _largest(value)

    def _magnitude(self, name: str) -> float:
        if name not in self.largest:
            value = self.feeds.get(name, self.graph.constant(name))
            self.largest[name] = 0.0 if value is None else _largest(value)
        return self.largest[name]


def _largest(values: np.ndarray) -> float:
    if values.dtype.kind not in "fiu" or not values.size:
        return 0.0
    finite = np.abs(values[np.isfinite(values)].astype(np.float64))
    return float(finite.max()) if finite.size else 0.0


class Check:
    """Compares models with the original one on random input."""

    def __init__(self, original: onnx.ModelProto, path: str | os.PathLike):
        self.original, self.path = original, path
        self.names = [name for name, _, _ in outputs_of(original)]
        self.feeds = random_feeds(original)
        self.expected = run_session(session(original, path), self.names, self.feeds, path)
        working = WorkingRange(original, self.feeds)
        self.ranges = [working.of(name) for name in self.names]

    def difference(self, model: onnx.ModelProto) -> float:
        """Largest difference of any output, relative to the range that the output works in."""
        worst = 0.0
        for ours, theirs, scale in zip(run_session(session(model), self.names, self.feeds), self.expected, self.ranges):
            if ours.shape != theirs.shape or ours.dtype != theirs.dtype:
                raise ValueError("an output changed its shape or type")
            same = (ours == theirs) | ((ours != ours) & (theirs != theirs))
            if same.all():
                continue
            if ours.dtype.kind != "f" or not np.isfinite(ours[~same]).all():
                return float("inf")
            distance = float(np.abs(ours[~same].astype(np.float64) - theirs[~same]).max())
            worst = max(worst, distance / scale if scale > 0 else distance)
        return worst


def random_feeds(model: onnx.ModelProto) -> Dict[str, np.ndarray]:
    """Standard normal values for float inputs; 0 and 1 for integers, which are often indices."""
    random = np.random.RandomState(_SEED)
    feeds = {}
    for name, shape, dtype in inputs_of(model):
        values = random.standard_normal(shape) if np.dtype(dtype).kind == "f" else random.randint(0, 2, shape)
        feeds[name] = np.asarray(values).astype(dtype)
    return feeds
