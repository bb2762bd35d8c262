"""Inputs of very different range that are joined before one product: the product is split instead.

A Concat gives all that it joins one exponent: beside a gyroscope in hundreds, an accelerometer below one becomes 0.
W [a; b] is W_a a + W_b b: each part keeps an exponent of its own up to its own product. That costs a sum and the
second product's bias; it is done where the noise that the common exponent adds would be a good part of the result.
"""

from __future__ import annotations

from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np
import onnx
from onnx import helper, numpy_helper

from ..model import run_session, session
from ..naming import fresh_name
from .calibrate import samples_of, with_outputs
from .rules import attribute

# Noise from the common exponent, as a share of what the product makes, from which on it is split: 20 dB.
WORTH_SPLITTING = 0.01
# Parts whose largest values are within this factor of each other share an exponent.
_ALIKE = 4.0
_SAMPLES = 64


def split_products(model: onnx.ModelProto, samples: Dict[str, Sequence[np.ndarray]]) -> onnx.ModelProto:
    """A copy of the float model with such products split; `model` itself where there are none."""
    found = [pair for pair in map(_Finder(model).product, range(len(model.graph.node))) if pair is not None]
    if not found:
        return model
    graph = model.graph
    tensors = {name for concat, _ in found for name in graph.node[concat].input}
    tensors |= {graph.node[product].output[0] for _, product in found}
    statistics = _statistics(model, sorted(tensors), samples)
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    replaced: Dict[int, List[onnx.NodeProto]] = {}
    for concat, product in found:
        groups = _groups(copy.graph.node[concat], statistics)
        if len(groups) > 1 and _is_worth_it(copy.graph, concat, product, statistics):
            replaced[product] = _split(copy.graph, concat, product, groups, statistics)
            replaced[concat] = []
    if not replaced:
        return model
    nodes = [new for index, node in enumerate(copy.graph.node) for new in replaced.get(index, [node])]
    del copy.graph.node[:]
    copy.graph.node.extend(nodes)
    del copy.graph.value_info[:]
    return copy


class _Finder:
    def __init__(self, model: onnx.ModelProto):
        self.graph = model.graph
        self.constants = {tensor.name for tensor in model.graph.initializer}
        self.producers = {name: i for i, node in enumerate(model.graph.node) for name in node.output}
        self.users: Dict[str, int] = {}
        for name in [n for node in model.graph.node for n in node.input] + [v.name for v in model.graph.output]:
            self.users[name] = self.users.get(name, 0) + 1

    def product(self, index: int) -> Optional[Tuple[int, int]]:
        """(Concat, product) where node `index` multiplies constant weights with what only it reads of a Concat."""
        node = self.graph.node[index]
        if node.op_type not in ("Gemm", "MatMul", "Conv") or node.input[1] not in self.constants:
            return None
        concat = self.producers.get(node.input[0])
        if concat is None or self.graph.node[concat].op_type != "Concat" or self.users[node.input[0]] != 1:
            return None
        joined = self.graph.node[concat]
        if attribute(node, "transA", 0) or attribute(node, "group", 1) != 1 or set(joined.input) & self.constants:
            return None
        return concat, index


def _statistics(model: onnx.ModelProto, names: List[str], samples: Dict) -> Dict[str, Tuple[float, float, tuple]]:
    """(largest |x|, mean square, shape) of each tensor over some samples."""
    own = [name for name in names if name in samples]
    made = [name for name in names if name not in samples]
    run = session(with_outputs(model, made)) if made else None
    largest, squares, counts, shapes = (dict.fromkeys(names, zero) for zero in (0.0, 0.0, 0, ()))
    for index, sample in enumerate(samples_of(samples)):
        if index >= _SAMPLES:
            break
        values = dict(zip(made, run_session(run, made, sample))) if run else {}
        values.update((name, sample[name]) for name in own)
        for name, value in values.items():
            shapes[name] = value.shape
            if value.size:
                largest[name] = max(largest[name], float(np.abs(value).max()))
                squares[name] += float(np.square(value.astype(np.float64)).sum())
                counts[name] += value.size
    return {name: (largest[name], squares[name] / max(counts[name], 1), shapes[name]) for name in names}


def _channel_axis(node: onnx.NodeProto, rank: int) -> int:
    return 1 if node.op_type == "Conv" else rank - 1


def _groups(concat: onnx.NodeProto, statistics) -> List[List[str]]:
    """The joined tensors, those of a like range together, each group in the order of the Concat."""
    names = list(dict.fromkeys(concat.input))
    if len(names) != len(concat.input):
        return [names]
    groups: List[List[str]] = []
    for name in sorted(names, key=lambda one: -statistics[one][0]):
        if groups and statistics[groups[-1][0]][0] <= _ALIKE * max(statistics[name][0], 1e-30):
            groups[-1].append(name)
        else:
            groups.append([name])
    return [sorted(group, key=names.index) for group in groups]


def _weights_of(graph: onnx.GraphProto, node: onnx.NodeProto) -> np.ndarray:
    """[O, I, ...] of a product."""
    tensor = next(t for t in graph.initializer if t.name == node.input[1])
    weights = numpy_helper.to_array(tensor)
    plain = node.op_type == "MatMul" or node.op_type == "Gemm" and not attribute(node, "transB", 0)
    return weights.T if plain and weights.ndim == 2 else weights


def _places(concat: onnx.NodeProto, product: onnx.NodeProto, statistics) -> Optional[Dict[str, slice]]:
    """Where each joined tensor lies among the inputs of the product; None where another axis is joined."""
    places, start = {}, 0
    for name in concat.input:
        shape = statistics[name][2]
        axis = _channel_axis(product, len(shape))
        if not shape or int(attribute(concat, "axis", 0)) % len(shape) != axis:
            return None
        places[name] = slice(start, start + shape[axis])
        start += shape[axis]
    return places


def _is_worth_it(graph: onnx.GraphProto, concat: int, product: int, statistics) -> bool:
    joined, node = graph.node[concat], graph.node[product]
    weights, places = _weights_of(graph, node), _places(joined, node, statistics)
    if places is None or weights.ndim < 2 or weights.dtype != np.float32:
        return False
    step = max(statistics[name][0] for name in joined.input) / 127.5
    noise = 0.0
    for name, place in places.items():
        largest, square, _ = statistics[name]
        # What is below half a step is lost as a whole, no more than that.
        lost = min(step * step / 12.0, square)
        if largest * 2 * _ALIKE < step * 127.5:
            noise += lost * float(np.square(weights[:, place].astype(np.float64)).sum())
    _, signal, _ = statistics[node.output[0]]
    return noise / len(weights) > WORTH_SPLITTING * signal


def _split(graph: onnx.GraphProto, concat: int, product: int, groups, statistics) -> List[onnx.NodeProto]:
    """The nodes in place of the product: for each group a Concat and a product, then their sum."""
    joined, node = graph.node[concat], graph.node[product]
    places = _places(joined, node, statistics)
    weights = _weights_of(graph, node)
    taken = {name for one in graph.node for name in [*one.input, *one.output, one.name]}
    taken |= {tensor.name for tensor in graph.initializer}

    def fresh(base: str) -> str:
        name = fresh_name(base, taken)
        taken.add(name)
        return name

    nodes: List[onnx.NodeProto] = []
    sums: List[str] = []
    for group in groups:
        columns = np.concatenate([np.arange(weights.shape[1])[places[name]] for name in group])
        part = np.ascontiguousarray(weights[:, columns])
        source = group[0]
        if len(group) > 1:
            source = fresh(f"{joined.output[0]}_part")
            made = helper.make_node("Concat", group, [source], fresh(f"{joined.name}_part"))
            made.attribute.extend(joined.attribute)
            nodes.append(made)
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        copy.name = fresh(f"{node.name}_part")
        plain = node.op_type == "MatMul" or node.op_type == "Gemm" and not attribute(node, "transB", 0)
        name = fresh(f"{node.input[1]}_part")
        graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(part.T if plain else part), name))
        # The first part has the bias.
        copy.input[:] = [source, name, *(node.input[2:] if not sums else [])]
        copy.output[:] = [fresh(f"{node.output[0]}_part")]
        nodes.append(copy)
        sums.append(copy.output[0])
    total = sums[0]
    for position, other in enumerate(sums[1:]):
        last = position == len(sums) - 2
        made = node.output[0] if last else fresh(f"{node.output[0]}_sum")
        nodes.append(helper.make_node("Add", [total, other], [made], node.name if last else fresh(f"{node.name}_sum")))
        total = made
    return nodes
