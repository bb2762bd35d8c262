"""Layers of the float model as models of their own, which ONNX Runtime computes; and the tables made with them."""

from __future__ import annotations

from typing import Callable, Dict, List, Optional, Sequence, Tuple

import numpy as np
import onnx
from onnx import helper

from ..model import run_session, session
from ..onnx_graph import set_attributes
from ..operators.lookup import table_of
from ..operators.lookup_wide import points, steps_off
from .graph import Layer, Network


class LayerSessions:
    """Sessions that compute one layer, each made when it is first asked for.

    Networks that differ only in what their sessions are given (weights, exponents) share them.
    """

    def __init__(self) -> None:
        self._made: Dict[object, object] = {}

    def convolution(self, network: Network, layer: Layer, rounds: bool):
        """y from x, w and offset, and what is added to that; rounds: rounded down and bounded by low and high."""
        key = (layer.output, rounds, layer.padding is None)
        if key not in self._made:
            conv, total = _copy(network, layer.nodes[0]), "sum" if rounds else "y"
            if layer.padding is not None:  # x has it around it; a network that is only tried has the old node.
                set_attributes(conv, pads=[0] * 2 * len(layer.padding.before), auto_pad="NOTSET")
            conv.input[:] = ["x", "w", "offset"]
            conv.output[:] = [total if layer.addend is None else "products"]
            nodes = [conv]
            inputs = {"x": layer.weights.ndim, "w": layer.weights.ndim, "offset": 1}
            if layer.addend is not None:
                nodes.append(helper.make_node("Add", ["products", "addend"], [total]))
                inputs["addend"] = layer.weights.ndim
            if rounds:
                nodes.append(helper.make_node("Floor", ["sum"], ["floor"]))
                nodes.append(helper.make_node("Clip", ["floor", "low", "high"], ["y"]))
                inputs.update(low=0, high=0)
            self._made[key] = _session_of_floats(network, nodes, inputs)
        return self._made[key]

    def pooling(self, network: Network, layer: Layer, rank: int):
        """y from x, which has this rank."""
        if layer.output not in self._made:
            node = _copy(network, layer.nodes[0])
            node.input[:] = ["x"]
            node.output[:] = ["y"]
            self._made[layer.output] = _session_of_floats(network, [node], {"x": rank})
        return self._made[layer.output]

    def part(self, network: Network, layer: Layer, nodes: Sequence[onnx.NodeProto], outputs: Sequence[str]):
        """`session_of_nodes` for what the layer reads."""
        if layer.output not in self._made:
            self._made[layer.output] = session_of_nodes(network, layer, nodes, outputs)
        return self._made[layer.output]

    def table(self, network: Network, layer: Layer, e_x: int, e_y: int, result: str = "int8") -> np.ndarray:
        """float32[256]: the result of a layer, of type `result`, for each int8 input, from -128 on."""
        key = (layer.output, e_x, e_y, result)
        if key not in self._made:
            function = self._function(network, layer)
            self._made[key] = table_of(function, e_x, e_y, result=result).astype(np.float32)
        return self._made[key]

    def points(self, network: Network, layer: Layer, e_x: int, e_y: int, result: str) -> Tuple[np.ndarray, int]:
        """(the table of a layer that reads int16, how many steps of its result that is off at most)."""
        key = (layer.output, e_x, e_y, result, "points")
        if key not in self._made:
            function = self._function(network, layer)
            table = points(function, e_x, e_y, result)
            self._made[key] = table, steps_off(function, table, e_x, e_y, result)
        return self._made[key]

    def _function(self, network: Network, layer: Layer) -> Callable[[np.ndarray], np.ndarray]:
        """What a layer computes of real values, one by one, in float32."""
        key = (layer.output, "function")
        if key not in self._made:
            nodes = [_copy(network, index) for index in layer.nodes]
            for node in nodes:
                node.input[:] = ["x" if name == layer.inputs[0] else name for name in node.input]
                node.output[:] = ["y" if name == layer.output else name for name in node.output]
            run = _session_of_floats(network, nodes, {"x": 1}, _constants_of(network, nodes))
            self._made[key] = lambda x: run_session(run, ["y"], {"x": x.astype(np.float32)})[0].reshape(-1)
        return self._made[key]


def session_of_nodes(network: Network, layer: Layer, nodes: Sequence[onnx.NodeProto], outputs: Sequence[str]):
    """Computes `outputs` by nodes of the network's model from one sample of what `layer` reads."""
    part = helper.make_graph(
        nodes,
        "part",
        [helper.make_value_info(name, _type_of(network, name)) for name in dict.fromkeys(layer.inputs)],
        [helper.make_value_info(name, onnx.TypeProto()) for name in outputs],
        _constants_of(network, nodes),
    )
    model = helper.make_model(part, opset_imports=network.model.opset_import)
    model.ir_version = 8
    return session(model, threads=1)  # Those who run it have all cores at work, see `parallel`.


def _session_of_floats(
    network: Network,
    nodes: Sequence[onnx.NodeProto],
    ranks: Dict[str, int],
    constants: Sequence[onnx.TensorProto] = (),
):
    """Computes "y" by nodes of the opset of the network's model. ranks: of the inputs, which have any sizes"""

    def port(name: str, rank: Optional[int]):
        shape = None if rank is None else [None] * rank
        return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)

    inputs = [port(name, rank) for name, rank in ranks.items()]
    graph = helper.make_graph(nodes, "part", inputs, [port("y", None)], list(constants))
    opset = max(o.version for o in network.model.opset_import if o.domain in ("", "ai.onnx"))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    model.ir_version = 8
    return session(model, threads=1)


def _copy(network: Network, index: int) -> onnx.NodeProto:
    node = onnx.NodeProto()
    node.CopyFrom(network.model.graph.node[index])
    return node


def _constants_of(network: Network, nodes: Sequence[onnx.NodeProto]) -> List[onnx.TensorProto]:
    used = {name for node in nodes for name in node.input}
    return [tensor for tensor in network.model.graph.initializer if tensor.name in used]


def _type_of(network: Network, name: str) -> onnx.TypeProto:
    for value in network.types:
        if value.name == name:
            return value.type
    return helper.make_tensor_type_proto(onnx.TensorProto.FLOAT, None)


__all__ = ["LayerSessions", "session_of_nodes"]
