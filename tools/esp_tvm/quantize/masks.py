"""Attention masks: what a softmax must not see is written as -inf or -1e9, which no int8 scale holds beside scores.

exp(-8) is less than a half of the 2^-7 that a softmax's int8 result has: a mask that takes scores 8 below the
smallest one seen does the same and leaves the scores their bits. Where a mask only keeps or removes, that is
min(scores, bound), which needs no wider range than the scores and those 8.
"""

from __future__ import annotations

from typing import Dict, List, Optional, Tuple

import numpy as np
import onnx
from onnx import numpy_helper

from ..model import run_session, session
from ..naming import fresh_name

# Constants from here on down are masks.
MASKED = -1e4
_BELOW = 8.0
_SAMPLES = 64


def bound_masks(model: onnx.ModelProto, samples: Dict[str, np.ndarray]) -> onnx.ModelProto:
    """A copy of the float model with bounded masks; `model` itself where there are none.

    samples: {input: [N, *shape]}, which tell the range of the scores
    """
    masks = [mask for mask in map(_Finder(model).mask, range(len(model.graph.node))) if mask is not None]
    if not masks:
        return model
    ranges = _ranges(model, [scores for _, scores, _, _ in masks], samples)
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    graph = copy.graph
    taken = {name for node in graph.node for name in [*node.input, *node.output]}
    taken |= {tensor.name for tensor in graph.initializer}
    for index, scores, place, values in masks:
        node, (low, high) = graph.node[index], ranges[scores]
        masked = values <= MASKED
        # What is added must take the largest score below the smallest one.
        bound = low - high - _BELOW if node.op_type == "Add" else low - _BELOW
        kept = np.where(masked, np.float32(bound), values)
        if node.op_type == "Add" and not np.any(values[~masked]):
            bound = low - _BELOW
            kept = np.where(masked, np.float32(bound), np.float32(max(-bound, 1.25 * high)))
            node.op_type = "Min"
        name = fresh_name(f"{node.input[place]}_bounded", taken)
        taken.add(name)
        graph.initializer.append(numpy_helper.from_array(kept.astype(np.float32), name))
        node.input[place] = name
        if node.op_type == "Where":
            _as_minimum(graph, node, place, bound, max(-bound, 1.25 * high), taken)
    return copy


class _Finder:
    def __init__(self, model: onnx.ModelProto):
        self.graph = model.graph
        self.constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in self.graph.initializer}
        self.outputs = {value.name for value in self.graph.output}

    def mask(self, index: int) -> Optional[Tuple[int, str, int, np.ndarray]]:
        """(node, scores, which input is the mask, its values) where node `index` masks scores for a softmax."""
        node = self.graph.node[index]
        if node.op_type not in ("Add", "Where") or node.output[0] in self.outputs:
            return None
        users = [other.op_type for other in self.graph.node if node.output[0] in other.input]
        if users != ["Softmax"]:
            return None
        places = (0, 1) if node.op_type == "Add" else (1, 2)
        for place, other in (places, places[::-1]):
            values = self.constants.get(node.input[place])
            scores = node.input[other]
            if values is None or scores in self.constants or values.dtype != np.float32:
                continue
            masked = values <= MASKED
            if masked.any() and np.isfinite(values[~masked]).all() and (node.op_type == "Add" or masked.all()):
                return index, scores, place, values
        return None


def _ranges(model: onnx.ModelProto, names: List[str], samples: Dict[str, np.ndarray]) -> Dict[str, Tuple[float, float]]:
    """The smallest and largest finite value of each tensor."""
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    names = list(dict.fromkeys(names))
    own = {value.name for value in model.graph.input}
    del watched.graph.output[:]
    watched.graph.output.extend(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in names
    )
    run = session(watched)
    ranges = dict.fromkeys(names, (np.inf, -np.inf))
    for index in range(min(_SAMPLES, *(len(array) for array in samples.values()))):
        feeds = {name: array[index] for name, array in samples.items() if name in own}
        for name, values in zip(names, run_session(run, names, feeds)):
            finite = values[np.isfinite(values)]
            if finite.size:
                low, high = ranges[name]
                ranges[name] = (min(low, float(finite.min())), max(high, float(finite.max())))
    return {name: (low, high) if low <= high else (0.0, 0.0) for name, (low, high) in ranges.items()}


def _as_minimum(graph: onnx.GraphProto, node: onnx.NodeProto, place: int, bound: float, above: float, taken) -> None:
    """Where(c, x, bound) with a constant c as Min(x, U)."""
    conditions = {tensor.name: tensor for tensor in graph.initializer}
    if node.input[0] not in conditions:
        return
    condition = numpy_helper.to_array(conditions[node.input[0]])
    masked = condition if place == 1 else ~condition
    name = fresh_name(f"{node.input[place]}_minimum", taken)
    taken.add(name)
    graph.initializer.append(numpy_helper.from_array(np.where(masked, bound, above).astype(np.float32), name))
    scores = node.input[3 - place]
    node.op_type = "Min"
    node.input[:] = [scores, name]
