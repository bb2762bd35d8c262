"""Unrolls Loop and Scan if their number of steps does not depend on the values of inputs.

torch.jit.script writes them for a Python loop over a range, older exporters for recurrent cells.
"""

from __future__ import annotations

from typing import Dict, List, Optional, Sequence

import numpy as np
import onnx

from ..onnx_graph import Graph, attribute, inferred_values, is_standard, opset_of
from .branches import decided, take_branch, values_of

# With more steps the program would consist of copies of the same layers.
_MOST_STEPS, _MOST_NODES = 512, 20000


def straighten(model: onnx.ModelProto, evaluate) -> None:
    """Replace every If, Loop and Scan that does not depend on the values of inputs, in place; others stay.

    evaluate(model, names) -> values of tensors of a model, or None if it cannot be run
    """
    if not any(is_standard(node, "If", "Loop", "Scan") for node in model.graph.node):
        return
    graph = Graph(model)
    while take_branch(graph, evaluate) or _unroll_one(graph, evaluate):
        pass
    graph.write()


def _unroll_one(graph: Graph, evaluate) -> bool:
    for node in graph.nodes:
        if is_standard(node, "Loop") and _unroll_loop(graph, node, evaluate):
            return True
        if is_standard(node, "Scan") and _unroll_scan(graph, node):
            return True
    return False


def _known(graph: Graph, name: str, evaluate) -> Optional[np.ndarray]:
    """The value of a tensor that does not depend on inputs; None for others."""
    maker = graph.producer(name)
    while maker is not None and is_standard(maker, "Identity"):
        name = maker.input[0]
        maker = graph.producer(name)
    if name in graph.constants:
        return graph.constants[name]
    values = values_of(graph, [name], evaluate) if decided(graph, name) else None
    return None if values is None else values[0]


def _unroll_loop(graph: Graph, node: onnx.NodeProto, evaluate) -> bool:
    body = attribute(node, "body")
    count = len(body.input) - 2
    limit = _known(graph, node.input[0], evaluate) if node.input[0] else np.int64(_MOST_STEPS + 1)
    going = _known(graph, node.input[1], evaluate) if len(node.input) > 1 and node.input[1] else np.array(True)
    if limit is None or going is None:
        return False
    steps = _Steps(graph, node, body, list(node.input[2 : 2 + count]), list(node.output))
    limit, true = int(np.ravel(limit)[0]), ""
    while np.all(going) and steps.done < limit:
        if steps.done == _MOST_STEPS or steps.done * len(body.node) > _MOST_NODES:
            return steps.undone()
        true = true or graph.add_constant(f"{node.output[0]}_going", True)
        index = graph.add_constant(f"{node.output[0]}_step", steps.done, np.int64)
        results = steps.add([index, true, *steps.state])
        going = _known(graph, results[0], evaluate)
        if going is None:
            return steps.undone()
        steps.take(results[1:])
    return steps.finish()


def _unroll_scan(graph: Graph, node: onnx.NodeProto) -> bool:
    body, scanned = attribute(node, "body"), attribute(node, "num_scan_inputs", 0)
    states = len(node.input) - scanned
    if opset_of(graph.model) < 9 or scanned < 1:
        return False
    sources = list(node.input[states:])
    axes = attribute(node, "scan_input_axes", [0] * scanned)
    backwards = attribute(node, "scan_input_directions", [0] * scanned)
    graph.write()
    values = inferred_values(graph.model)
    dims = values[sources[0]].type.tensor_type.shape.dim if sources[0] in values else []
    size = dims[axes[0]].dim_value if -len(dims) <= axes[0] < len(dims) else 0
    if not 0 < size <= _MOST_STEPS or size * len(body.node) > _MOST_NODES:
        return False
    steps = _Steps(graph, node, body, list(node.input[:states]), list(node.output))
    for step in range(size):
        picked = []
        for source, axis, backward in zip(sources, axes, backwards):
            index = graph.add_constant(f"{source}_step", size - 1 - step if backward else step, np.int64)
            picked.append(graph.fresh(f"{source}_{step}"))
            steps.insert([graph.make("Gather", [source, index], picked[-1:], axis=axis)])
        steps.take(steps.add([*steps.state, *picked]))
    scans = len(node.output) - states
    return steps.finish(
        attribute(node, "scan_output_axes", [0] * scans), attribute(node, "scan_output_directions", [0] * scans)
    )


class _Steps:
    """The copies of a body, before its node until they replace it."""

    def __init__(self, graph: Graph, node: onnx.NodeProto, body: onnx.GraphProto, state: List[str], outputs: List[str]):
        self.graph, self.node, self.body, self.state, self.outputs = graph, node, body, state, outputs
        self.nodes: List[onnx.NodeProto] = []
        self.collected: List[List[str]] = [[] for _ in outputs[len(state) :]]
        self.done = 0
        # The same in every step.
        self.shared: Dict[str, str] = {
            tensor.name: graph.adopt_constant(tensor, tensor.name) for tensor in body.initializer
        }

    def insert(self, nodes: Sequence[onnx.NodeProto]) -> None:
        self.graph.insert_before(self.node, *nodes)
        self.nodes.extend(nodes)

    def add(self, given: Sequence[str]) -> List[str]:
        """Add a copy whose inputs are `given`; returns its outputs."""
        bound = {**self.shared, **{value.name: name for value, name in zip(self.body.input, given)}}
        nodes, names = self.graph.inlined(self.body.node, [], bound)
        self.insert(nodes)
        return [names.get(value.name, value.name) for value in self.body.output]

    def take(self, results: Sequence[str]) -> None:
        """The results of a step: the state of the next one, and the collected values."""
        self.state = list(results[: len(self.state)])
        for collected, name in zip(self.collected, results[len(self.state) :]):
            collected.append(name)
        self.done += 1

    def undone(self) -> bool:
        self.graph.remove(*self.nodes)
        return False

    def finish(self, axes: Sequence[int] = (), backwards: Sequence[int] = ()) -> bool:
        """Replace the node's outputs by the results of the steps."""
        if self.collected and not self.done:
            return self.undone()  # A program cannot compute an empty tensor.
        graph, ends = self.graph, []
        for name, output in zip(self.state, self.outputs):
            if output:
                ends.append(graph.make("Identity", [name], [output]))
        for i, (names, output) in enumerate(zip(self.collected, self.outputs[len(self.state) :])):
            if output:
                axis = axes[i] if axes else 0
                ends += self.stacked(names[::-1] if backwards and backwards[i] else names, output, axis)
        graph.replace(self.node, *ends)
        return True

    def stacked(self, names: Sequence[str], output: str, axis: int) -> List[onnx.NodeProto]:
        """The tensors `names` along a new axis."""
        graph, nodes, parts = self.graph, [], []
        given, options = [], {"axes": [axis]}
        if opset_of(graph.model) >= 13:
            given, options = [graph.add_constant(f"{output}_axis", [axis], np.int64)], {}
        for name in names:
            parts.append(graph.fresh(f"{output}_part"))
            nodes.append(graph.make("Unsqueeze", [name, *given], parts[-1:], **options))
        return [*nodes, graph.make("Concat", parts, [output], axis=axis)]


__all__ = ["straighten"]
