"""Splits a product whose input joins tensors of very different range.

A Concat gives all its inputs one exponent: together with a gyroscope in hundreds, an accelerometer below one becomes 0.
W [a; b] is W_a a + W_b b: so each part can keep its own exponent up to its own product. That costs a sum and another
product; it is done if the noise that the common exponent adds is a considerable part of the result.
"""

from __future__ import annotations

from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np
import onnx

from ..model import run_session, session
from ..onnx_graph import Graph, attribute, copied, with_outputs
from .calibrate import samples_of

# A product is split if the common exponent adds more noise than this share of its result: 20 dB.
WORTH_SPLITTING = 0.01
# Parts whose largest values are within this factor of each other share an exponent.
_ALIKE = 4.0
_SAMPLES = 64


def split_products(model: onnx.ModelProto, samples: Dict[str, Sequence[np.ndarray]]) -> onnx.ModelProto:
    """A copy of the float model with such products split; `model` itself where there are none."""
    graph = Graph(copied(model))
    found = [(concat, node) for node in graph.nodes for concat in [_joined_input(graph, node)] if concat is not None]
    if not found:
        return model
    tensors = {name for concat, product in found for name in [*concat.input, product.output[0]]}
    statistics = _statistics(model, sorted(tensors), samples)
    for concat, product in found:
        groups = _groups(concat, statistics)
        if len(groups) > 1 and _is_worth_it(graph, concat, product, statistics):
            graph.replace(product, *_split(graph, concat, product, groups, statistics))
            graph.remove(concat)
    if not graph.changed:
        return model
    graph.write()
    del graph.proto.value_info[:]
    return graph.model


def _joined_input(graph: Graph, node: onnx.NodeProto) -> Optional[onnx.NodeProto]:
    """The Concat whose result only `node` reads, where that is a product of it and constant weights."""
    if node.op_type not in ("Gemm", "MatMul", "Conv") or node.input[1] not in graph.constants:
        return None
    concat = graph.producer(node.input[0])
    if concat is None or concat.op_type != "Concat" or graph.only_consumer(node.input[0]) is None:
        return None
    if list(node.input).count(node.input[0]) != 1 or any(name in graph.constants for name in concat.input):
        return None
    return None if attribute(node, "transA", 0) or attribute(node, "group", 1) != 1 else concat


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
    """The joined tensors in groups of similar range, each group in the order of the Concat."""
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


def _is_transposed(node: onnx.NodeProto) -> bool:
    """Whether the constant weights of a product are [I, O]."""
    return node.op_type == "MatMul" or node.op_type == "Gemm" and not attribute(node, "transB", 0)


def _weights_of(graph: Graph, node: onnx.NodeProto) -> np.ndarray:
    """[O, I, ...] of a product."""
    weights = graph.constants[node.input[1]]
    return weights.T if _is_transposed(node) and weights.ndim == 2 else weights


def _places(concat: onnx.NodeProto, product: onnx.NodeProto, statistics) -> Optional[Dict[str, slice]]:
    """The position of each joined tensor among the inputs of the product; None if another axis is joined."""
    places, start = {}, 0
    for name in concat.input:
        shape = statistics[name][2]
        axis = _channel_axis(product, len(shape))
        if not shape or int(attribute(concat, "axis", 0)) % len(shape) != axis:
            return None
        places[name] = slice(start, start + shape[axis])
        start += shape[axis]
    return places


def _is_worth_it(graph: Graph, concat: onnx.NodeProto, product: onnx.NodeProto, statistics) -> bool:
    weights, places = _weights_of(graph, product), _places(concat, product, statistics)
    if places is None or weights.ndim < 2 or weights.dtype != np.float32:
        return False
    step = max(statistics[name][0] for name in concat.input) / 127.5
    noise = 0.0
    for name, place in places.items():
        largest, square, _ = statistics[name]
        # Values below half a step are lost completely, but not more than their own size.
        lost = min(step * step / 12.0, square)
        if largest * 2 * _ALIKE < step * 127.5:
            noise += lost * float(np.square(weights[:, place].astype(np.float64)).sum())
    _, signal, _ = statistics[product.output[0]]
    return noise / len(weights) > WORTH_SPLITTING * signal


def _split(
    graph: Graph, concat: onnx.NodeProto, product: onnx.NodeProto, groups: List[List[str]], statistics
) -> List[onnx.NodeProto]:
    """The nodes in place of the product: for each group a Concat and a product, then their sum."""
    places, weights = _places(concat, product, statistics), _weights_of(graph, product)
    output, weights_name = product.output[0], product.input[1]
    nodes: List[onnx.NodeProto] = []
    total = ""
    for position, group in enumerate(groups):
        source = group[0]
        if len(group) > 1:
            source = graph.fresh(f"{concat.output[0]}_part")
            nodes.append(graph.make_like(concat, group, [source], f"{concat.name}_part"))
        columns = np.concatenate([np.arange(weights.shape[1])[places[name]] for name in group])
        part = weights[:, columns].T if _is_transposed(product) else weights[:, columns]
        # The first part has the bias.
        inputs = [source, graph.add_constant(f"{weights_name}_part", part), *(product.input[2:] if not total else [])]
        made = graph.fresh(f"{output}_part")
        nodes.append(graph.make_like(product, inputs, [made], f"{product.name}_part"))
        if not total:
            total = made
            continue
        last = position == len(groups) - 1
        result = output if last else graph.fresh(f"{output}_sum")
        nodes.append(graph.make("Add", [total, made], [result], f"{product.name}_sum"))
        total = result
    nodes[-1].name = product.name
    return nodes
