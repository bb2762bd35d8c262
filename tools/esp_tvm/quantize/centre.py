"""Centering: the result of a relu is stored minus a constant, which the next bias adds back, to use all 256 steps.

The result of a relu uses only half of int8. If only layers without padding (1x1 convolutions, dense layers) read it,
directly or through pooling and moves, it can be stored as relu(x) - c: the bias before it is lowered by c, the relu
becomes a clip at -c, and the biases after it are raised by c times the sum of their weights. With c of 128 steps the
clip is int8's own saturation, and costs nothing on the chip.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Dict, List, Optional, Set, Tuple

import numpy as np
import onnx

from ..onnx_graph import Graph, copied
from .calibrate import exponent_at_least
from .equalize import new_constant, own_constants
from .graph import Layer, Network
from .rules import attribute


@dataclass
class Chain:
    """maker: the layer with the relu; shifted: the layer whose bias is lowered (the maker, or a branch if the maker is
    a sum); tensors: all tensors that are lowered, the maker's output first; readers: layers whose bias is raised."""

    maker: Layer
    shifted: Layer
    tensors: List[str] = field(default_factory=list)
    readers: List[Layer] = field(default_factory=list)


def chains(network: Network) -> List[Chain]:
    """Every relu whose result can be stored minus a constant."""
    found = []
    for layer in network.layers:
        shifted = _shifted_layer(network, layer)
        if shifted is None:
            continue
        chain = Chain(layer, shifted)
        if _follow(network, layer.output, chain) and chain.readers:
            found.append(chain)
    return found


def _shifted_layer(network: Network, layer: Layer) -> Optional[Layer]:
    """The layer whose bias lowers the result of `layer`, a Conv, Gemm or Add with one relu or clip from 0 on."""
    graph = network.model.graph
    kinds = [graph.node[index].op_type for index in layer.nodes]
    if layer.low != 0.0 or kinds[-1] not in ("Relu", "Clip") or sum(k in ("Relu", "Clip") for k in kinds) != 1:
        return None
    if layer.kind in ("conv", "dense"):
        return layer if _has_bias(network, layer) else None
    if layer.kind != "binary" or layer.op_type != "Add" or layer.inputs[0] == layer.inputs[1]:
        return None
    for name in layer.inputs:
        branch = network.producer(name)
        free = branch is not None and branch.kind in ("conv", "dense") and name not in network.outputs
        if free and branch.low == -np.inf and branch.high == np.inf and len(network.consumers(name)) == 1:
            if _has_bias(network, branch):
                return branch
    return None


def _has_bias(network: Network, layer: Layer) -> bool:
    """Whether the layer has, or can be given, a bias."""
    return layer.op_type != "MatMul" or len(layer.nodes) > 1 and _second(network, layer) == "Add"


def _second(network: Network, layer: Layer) -> str:
    return network.model.graph.node[layer.nodes[1]].op_type


def _follow(network: Network, name: str, chain: Chain) -> bool:
    """Collect the layers that read `name`; False if one of them cannot add the constant back."""
    if name in network.outputs:
        return False
    chain.tensors.append(name)
    users = network.consumers(name)
    for user in users:
        if user.kind == "conv" and not _is_padded(network, user) or user.kind == "dense":
            if not _has_bias(network, user):
                return False
            chain.readers.append(user)
        elif user.kind in ("move", "max_pool") or user.kind == "average_pool" and not _is_padded(network, user):
            if user.low != -np.inf or user.high != np.inf or not _follow(network, user.output, chain):
                return False
        else:
            return False
    return bool(users)


def _is_padded(network: Network, layer: Layer) -> bool:
    node = network.model.graph.node[layer.nodes[0]]
    if attribute(node, "auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID") or attribute(node, "ceil_mode", 0):
        return True
    return any(attribute(node, "pads") or [])


def candidates(chain: Chain, reference: Dict[str, np.ndarray]) -> List[float]:
    """Constants to try: 128 steps of an exponent at which 256 steps cover all, or nearly all, values of a tensor."""
    constants: Set[float] = set()
    for name in chain.tensors:
        reach = float(reference[name].max()) if name in reference else 0.0
        if reach > 0.0:
            exponent = exponent_at_least(reach / 255.0)
            constants.update((128 * 2.0**exponent, 64 * 2.0**exponent))
    return sorted(constants)


def shift_network(network: Network, chain: Chain, constant: float) -> Tuple[Network, List[str]]:
    """(the same function with the chain's tensors lowered by `constant`, all tensors that were lowered)."""
    model = copied(network.model)
    graph = Graph(model)
    constants = dict(network.constants)
    layers = [Layer(**vars(layer)) for layer in network.layers]
    by_output = {layer.output: layer for layer in layers}
    maker, shifted = by_output[chain.maker.output], by_output[chain.shifted.output]
    shifted.bias = (shifted.bias - np.float64(constant)).astype(np.float32)
    own_constants(graph, shifted, constants)
    for reader in (by_output[one.output] for one in chain.readers):
        sums = reader.weights.astype(np.float64).reshape(len(reader.weights), -1).sum(axis=1)
        reader.bias = (reader.bias + constant * sums).astype(np.float32)
        own_constants(graph, reader, constants)
    maker.low, maker.high = -constant, maker.high - constant
    _clip(graph, graph.nodes[maker.nodes[-1]], maker, constants)
    graph.write()
    lowered = list(chain.tensors)
    if shifted is not maker:
        lowered.append(shifted.output)
    changed = {"model": model, "constants": constants, "layers": layers}
    return Network(**{**vars(network), **changed}), lowered


def _clip(graph: Graph, node: onnx.NodeProto, layer: Layer, constants: Dict[str, np.ndarray]) -> None:
    """Turn the activation `node` into a Clip between the bounds of `layer`."""
    node.op_type = "Clip"
    del node.attribute[:]
    inputs = [node.input[0]]
    for bound, what in ((layer.low, "low"), (layer.high, "high")):
        if np.isfinite(bound):
            inputs.append(new_constant(graph, f"{node.output[0]}_{what}", bound, constants))
    graph.set_inputs(node, inputs)
