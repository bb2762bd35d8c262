"""Attention masks: exporters write -inf or -1e9 for masked scores, which no int8 scale can hold together with scores.

exp(-8) is less than half of 2^-7, the step of a softmax's int8 result: a mask that lowers scores to 8 below the
smallest score has the same effect and leaves more bits to the scores. A mask that only keeps or removes becomes
min(scores, bound), whose range is that of the scores plus 8.

A mask may be computed (a padding mask, from word numbers that are 0, or from an input of ones and zeros): then the
number in the Where or Mul that makes it is exchanged, one for all softmaxes that the mask reaches.

Where only the largest of the values counts (masked_fill before amax, argmax, topk), a masked one has to be no larger
than the smallest: the range stays that of the scores. The same for +1e9 and the smallest of the values. A row in which
all is masked then gives about the smallest score in place of -1e9.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, List, Optional, Tuple

import numpy as np
import onnx

from ..model import run_session, session
from ..onnx_graph import Graph, attribute, copied, with_outputs

# Constants at most this large are masks.
MASKED = -1e4
_BELOW = 8.0
# Below the smallest score where only the order counts, as a share of the range: a place of its own for what is masked.
_BEHIND = 1 / 64
_LARGEST_COUNTS = ("ReduceMax", "ArgMax", "TopK", "GlobalMaxPool")
_SMALLEST_COUNTS = ("ReduceMin", "ArgMin", "TopK")
_MOVES = ("Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten", "Identity")
_SAMPLES = 64


def bound_masks(model: onnx.ModelProto, samples: Dict[str, np.ndarray]) -> onnx.ModelProto:
    """A copy of the float model with bounded masks; `model` itself where there are none.

    samples: {input: [N, *shape]}, for the range of the scores
    """
    graph = Graph(copied(model))
    masks = [mask for mask in (_mask(graph, node) for node in graph.nodes) if mask is not None]
    computed = [mask for mask in (_computed(graph, node) for node in graph.nodes) if mask is not None]
    if not masks and not computed:
        return model
    names = [*(mask.scores for mask in masks), *(name for mask in computed for name in (*mask.scores, *mask.share))]
    ranges = _ranges(model, names, samples)
    for one in computed:
        one.limit(graph, ranges)
    for mask in masks:
        node, (low, high) = mask.node, ranges[mask.scores]
        if mask.end:
            _put_behind(graph, mask, low, high)
            continue
        masked = mask.values <= MASKED
        # The added value must lower the largest score below the smallest one.
        bound = low - high - _BELOW if node.op_type == "Add" else low - _BELOW
        kept = np.where(masked, np.float32(bound), mask.values)
        if node.op_type == "Add" and not np.any(mask.values[~masked]):
            bound = low - _BELOW
            kept = np.where(masked, np.float32(bound), np.float32(max(-bound, 1.25 * high)))
            node.op_type = "Min"
        name = node.input[mask.position]
        graph.set_input(node, mask.position, graph.add_constant(f"{name}_bounded", kept, np.float32))
        if node.op_type == "Where":
            _as_minimum(graph, mask, bound, max(-bound, 1.25 * high))
    graph.write()
    return graph.model


@dataclass
class _Mask:
    """`node` masks the tensor `scores` for a softmax: its input `position` is the mask, whose values are `values`.

    end: -1 if only the largest values count behind it, 1 if only the smallest do, 0 for a softmax
    """

    node: onnx.NodeProto
    scores: str
    position: int
    values: np.ndarray
    end: int = 0


def _mask(graph: Graph, node: onnx.NodeProto) -> Optional[_Mask]:
    if node.op_type not in ("Add", "Where"):
        return None
    user = graph.only_consumer(node.output[0])
    if user is None or user.op_type != "Softmax":
        return _behind_all(graph, node)
    positions = (0, 1) if node.op_type == "Add" else (1, 2)
    for position, other in (positions, positions[::-1]):
        values, scores = graph.constant(node.input[position]), node.input[other]
        if values is None or scores in graph.constants or values.dtype != np.float32:
            continue
        masked = values <= MASKED
        if masked.any() and np.isfinite(values[~masked]).all() and (node.op_type == "Add" or masked.all()):
            return _Mask(node, scores, position, values)
    return None


@dataclass
class _Computed:
    """`node` (a Where of two constants, or a Mul by one) makes a mask that is added to each of `scores` before a
    softmax; its input `position` is the number that masks.

    share: of a Mul, what is multiplied, which has to be from 0 to 1
    """

    node: onnx.NodeProto
    position: int
    scores: List[str]
    share: List[str]

    def limit(self, graph: Graph, ranges: Dict[str, Tuple[float, float]]) -> None:
        """Exchange the number for one that lowers the largest score below the smallest one."""
        if any(ranges[name][0] < 0.0 or ranges[name][1] > 1.0 for name in self.share):
            return
        bound = min(ranges[name][0] - ranges[name][1] for name in self.scores) - _BELOW
        name = self.node.input[self.position]
        kept = np.full(graph.constant(name).shape, bound)
        graph.set_input(self.node, self.position, graph.add_constant(f"{name}_bounded", kept, np.float32))


def _computed(graph: Graph, node: onnx.NodeProto) -> Optional[_Computed]:
    """The mask that a node makes, if it makes one and all that reads it adds it to scores."""
    if node.op_type not in ("Where", "Mul") or len(node.output) != 1:
        return None
    constants = [graph.constant(name) for name in node.input]
    masks = [c is not None and c.dtype == np.float32 and c.size > 0 and bool(np.all(c <= MASKED)) for c in constants]
    if node.op_type == "Where":
        others = [place for place in (1, 2) if not masks[place] and constants[place] is not None]
        if constants[0] is not None or sum(masks) != 1 or len(others) != 1 or np.any(constants[others[0]]):
            return None
        share: List[str] = []
    else:
        if sum(masks) != 1 or constants[1 - masks.index(True)] is not None:
            return None
        share = [node.input[1 - masks.index(True)]]
    scores = _added_to(graph, node.output[0])
    return _Computed(node, masks.index(True), scores, share) if scores else None


def _added_to(graph: Graph, mask: str) -> List[str]:
    """The scores that a mask, moved or not, is added to before a softmax; empty where it is read by anything else."""
    found: List[str] = []
    if mask in graph.outputs:
        return []
    for user in graph.consumers(mask):
        softmax = graph.only_consumer(user.output[0])
        if user.op_type in (*_MOVES, "Expand") and user.input[0] == mask:
            more = _added_to(graph, user.output[0])
        elif user.op_type == "Add" and softmax is not None and softmax.op_type == "Softmax":
            more = [name for name in user.input if name != mask and name not in graph.constants]
        else:
            more = []
        if not more:
            return []
        found += more
    return found


def _behind_all(graph: Graph, node: onnx.NodeProto) -> Optional[_Mask]:
    """A Where that fills with -1e9 where only the largest values count, or with 1e9 where only the smallest do."""
    user = graph.only_consumer(node.output[0])
    while user is not None and user.op_type in _MOVES:
        user = graph.only_consumer(user.output[0])
    if user is None or node.op_type != "Where":
        return None
    ascending = user.op_type == "TopK" and not attribute(user, "largest", 1)
    for position, other in ((1, 2), (2, 1)):
        values, scores = graph.constant(node.input[position]), node.input[other]
        if values is None or scores in graph.constants or values.dtype != np.float32 or not values.size:
            continue
        if np.all(values <= MASKED) and user.op_type in _LARGEST_COUNTS and not ascending:
            return _Mask(node, scores, position, values, -1)
        if np.all(values >= -MASKED) and user.op_type in _SMALLEST_COUNTS and (ascending or user.op_type != "TopK"):
            return _Mask(node, scores, position, values, 1)
    return None


def _put_behind(graph: Graph, mask: _Mask, low: float, high: float) -> None:
    """Fill with a value just outside of the scores' range."""
    space = max(high - low, abs(high), abs(low)) * _BEHIND
    bound = low - space if mask.end < 0 else high + space
    name = graph.add_constant(f"{mask.node.input[mask.position]}_bounded", bound, np.float32)
    graph.set_input(mask.node, mask.position, name)


def _ranges(model: onnx.ModelProto, names: List[str], samples: Dict[str, np.ndarray]) -> Dict[str, Tuple[float, float]]:
    """The smallest and largest finite value of each tensor."""
    names = list(dict.fromkeys(names))
    own = {value.name for value in model.graph.input}
    run = session(with_outputs(model, names))
    ranges = dict.fromkeys(names, (np.inf, -np.inf))
    for index in range(min(_SAMPLES, *(len(array) for array in samples.values()))):
        feeds = {name: array[index] for name, array in samples.items() if name in own}
        for name, values in zip(names, run_session(run, names, feeds)):
            finite = values[np.isfinite(values)]
            if finite.size:
                low, high = ranges[name]
                ranges[name] = (min(low, float(finite.min())), max(high, float(finite.max())))
    return {name: (low, high) if low <= high else (0.0, 0.0) for name, (low, high) in ranges.items()}


def _as_minimum(graph: Graph, mask: _Mask, bound: float, above: float) -> None:
    """Where(c, x, bound) with a constant c as Min(x, U)."""
    node, position = mask.node, mask.position
    condition = graph.constant(node.input[0])
    if condition is None:
        return
    masked = condition if position == 1 else ~condition
    name = graph.add_constant(f"{node.input[position]}_minimum", np.where(masked, bound, above), np.float32)
    node.op_type = "Min"
    graph.set_inputs(node, [mask.scores, name])
