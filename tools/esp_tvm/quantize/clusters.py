"""Groups of nodes that one kernel computes: normalizations spelled out, and scale and offset per channel.

And the normal form of what belongs to them: batch normalizations as products and sums, recurrent layers with one
output.
"""

from __future__ import annotations

from typing import Dict, List, Optional, Set, Tuple

import numpy as np
import onnx
from onnx import helper, numpy_helper

from .rules import attribute

_PARTS = frozenset("ReduceMean ReduceSum ReduceL2 Sub Pow Mul Add Sqrt Div Reciprocal Max Clip Expand".split())
_LARGEST = 24  # nodes


def normalization(grouper, index: int) -> Optional[Tuple[List[int], str]]:
    """(nodes, the one tensor they depend on) of the smallest normalization that ends in node `index`."""
    graph, facts = grouper.graph, grouper.facts
    producers = {o: i for i, node in enumerate(graph.node) for o in node.output}
    cluster: Set[int] = {index}
    if not _is_part(grouper, index):
        return None
    while len(cluster) <= _LARGEST:
        border = _border(grouper, cluster)
        if len(border) == 1 and _is_normalization(graph, facts, cluster):
            source = next(iter(border))
            centered = _centered(grouper, source, producers)
            if centered is not None:
                cluster, source = cluster | centered[0], centered[1]
            inner = {graph.node[i].output[0] for i in cluster} - {graph.node[index].output[0]}
            closed = all(n not in grouper.outputs and set(grouper.users.get(n, ())) <= cluster for n in inner)
            same = facts.shapes.get(source) == facts.shapes.get(graph.node[index].output[0])
            return (sorted(cluster), source) if closed and same and source in grouper.floats else None
        grown = [producers[n] for n in border if n in producers and _is_part(grouper, producers[n])]
        if not grown:
            return None
        cluster.add(max(grown))
    return None


def _is_part(grouper, index: int) -> bool:
    node = grouper.graph.node[index]
    return node.op_type in _PARTS and index not in grouper.taken and node.output[0] in grouper.floats


def _border(grouper, cluster: Set[int]) -> Set[str]:
    nodes = [grouper.graph.node[i] for i in cluster]
    return {name for node in nodes for name in grouper.activations(node)} - {node.output[0] for node in nodes}


def _is_normalization(graph: onnx.GraphProto, facts, cluster: Set[int]) -> bool:
    """Something divided by the root of a sum of squares."""
    kinds = [graph.node[i].op_type for i in cluster]
    powers = [facts.constants.get(graph.node[i].input[1]) for i in cluster if graph.node[i].op_type == "Pow"]
    half = any(p is not None and p.size == 1 and abs(float(p.reshape(()))) == 0.5 for p in powers)
    root = "Sqrt" in kinds or "ReduceL2" in kinds or half
    reduced = any(kind.startswith("Reduce") for kind in kinds)
    return root and reduced and ("Div" in kinds or "Reciprocal" in kinds or half)


def _centered(grouper, source: str, producers: Dict[str, int]) -> Optional[Tuple[Set[int], str]]:
    """({Sub, ReduceMean}, x) where `source` is x - mean(x)."""
    index = producers.get(source)
    if index is None or grouper.graph.node[index].op_type != "Sub" or not _is_part(grouper, index):
        return None
    x, mean = grouper.graph.node[index].input
    other = producers.get(mean)
    if other is None or grouper.graph.node[other].op_type != "ReduceMean" or not _is_part(grouper, other):
        return None
    return ({index, other}, x) if grouper.graph.node[other].input[0] == x else None


def channelwise(grouper, index: int) -> Optional[Tuple[List[int], str]]:
    """([Mul, Add], x) where node `index` multiplies with constants along one axis and the next adds constants."""
    node = grouper.graph.node[index]
    if node.op_type != "Mul" or index in grouper.taken:
        return None
    factor = _constant_operand(grouper, node)
    following = grouper.only_user(node.output[0])
    if factor is None or following is None or grouper.graph.node[following].op_type != "Add":
        return None
    offset = _constant_operand(grouper, grouper.graph.node[following])
    shapes = grouper.facts.shapes
    x = grouper.activations(node)[0]
    along = [size for size in factor.shape if size != 1]
    if offset is None or len(along) != 1 or shapes.get(x) != shapes.get(grouper.graph.node[following].output[0]):
        return None
    if factor.ndim > len(shapes[x]) or (offset.size > 1 and offset.shape != factor.shape):
        return None
    return [index, following], x


def _constant_operand(grouper, node: onnx.NodeProto) -> Optional[np.ndarray]:
    constants = [grouper.facts.constants[name] for name in node.input if name in grouper.facts.constants]
    floats = len(constants) == 1 and constants[0].dtype == np.float32 and node.output[0] in grouper.floats
    return constants[0] if floats else None


# --- normal form ------------------------------------------------------------------------------------------


def batch_normalizations(model: onnx.ModelProto, shapes: Dict[str, Tuple[int, ...]], fresh) -> None:
    """BatchNormalization with constant parameters as a product and a sum; fresh(name, taken) -> an unused name."""
    graph = model.graph
    constants = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    taken = {o for node in graph.node for o in node.output} | set(constants) | set(shapes)
    nodes: List[onnx.NodeProto] = []
    for node in graph.node:
        parameters = [constants.get(name) for name in node.input[1:]]
        rank = len(shapes.get(node.input[0], ())) if node.input else 0
        plain = node.op_type == "BatchNormalization" and not attribute(node, "training_mode", 0)
        if not plain or rank < 2 or any(p is None for p in parameters) or len([o for o in node.output if o]) > 1:
            nodes.append(node)
            continue
        gamma, beta, mean, variance = (p.astype(np.float64) for p in parameters)
        factor = gamma / np.sqrt(variance + attribute(node, "epsilon", 1e-5))
        names = []
        for what, values in (("factor", factor), ("offset", beta - mean * factor)):
            names.append(fresh(f"{node.output[0]}_{what}", taken))
            taken.add(names[-1])
            values = values.astype(np.float32).reshape(-1, *[1] * (rank - 2))
            graph.initializer.append(numpy_helper.from_array(values, names[-1]))
            shapes[names[-1]] = values.shape
        product = fresh(f"{node.output[0]}_scaled", taken)
        taken.add(product)
        shapes[product] = shapes[node.input[0]]
        nodes.append(helper.make_node("Mul", [node.input[0], names[0]], [product], f"{node.name}_scale"))
        nodes.append(helper.make_node("Add", [product, names[1]], [node.output[0]], node.name))
    del graph.node[:]
    graph.node.extend(nodes)


def one_output_each(model: onnx.ModelProto, shapes: Dict[str, Tuple[int, ...]], fresh) -> None:
    """GRU and LSTM without outputs that nobody reads; the last state as a part of all, where both are read."""
    graph = model.graph
    used = {name for node in graph.node for name in node.input} | {value.name for value in graph.output}
    taken = {o for node in graph.node for o in node.output} | {t.name for t in graph.initializer} | set(shapes)
    nodes: List[onnx.NodeProto] = []
    for node in graph.node:
        nodes.append(node)
        if node.op_type not in ("GRU", "LSTM"):
            continue
        outputs = [name if name in used else "" for name in node.output]
        direction = attribute(node, "direction", b"forward")
        if len(outputs) > 1 and outputs[0] and outputs[1] and direction != b"bidirectional":
            place = fresh(f"{outputs[1]}_step", taken)
            taken.add(place)
            last = np.int64(0 if direction == b"reverse" else shapes[node.input[0]][0] - 1)
            graph.initializer.append(numpy_helper.from_array(np.asarray(last), place))
            shapes[place] = ()
            nodes.append(helper.make_node("Gather", [outputs[0], place], [outputs[1]], f"{node.name}_last", axis=0))
            outputs[1] = ""
        while outputs and not outputs[-1]:
            outputs.pop()
        node.output[:] = outputs
    del graph.node[:]
    graph.node.extend(nodes)
