"""Centering: the result of a relu, or an input, is stored minus a constant, which the next bias adds back, to use all
256 steps.

The result of a relu uses only half of int8. If it is read by convolutions and dense layers, directly or through pooling
and moves, it can be stored as relu(x) - c: the bias before it is lowered by c, the relu becomes a clip at -c, and the
biases after it are raised by c times the sum of their weights. With c of 128 steps the clip is int8's own saturation,
and costs nothing. Convolutions with padding read -c around the image.

A sum of it and of the result of another layer has that layer's bias raised by c, or is itself stored minus c.

An input whose values are never negative (a picture), or lie more on one side of 0, is quantized as x - c with a c of up
to 128 whole steps: in integers, that is a zero point of the quantized input.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Dict, List, Mapping, Optional, Sequence, Set, Tuple

import numpy as np
import onnx

from ..onnx_graph import Graph, copied, set_attributes
from ..states import states_of
from .calibrate import exponent_at_least
from .equalize import new_constant, own_constants
from .graph import MOST_STEPS, Layer, Network
from .padding import Padding, padding_of
from .rules import attribute


@dataclass
class Chain:
    """maker: the layer with the relu; shifted: the layer whose bias is lowered (the maker, or a branch if the maker is
    a sum); both None where an input is lowered.

    tensors: all that are lowered, the maker's output or the input first; readers: layers whose bias is raised by the
    constant times their weights; adding: those that add a tensor to their sums, whose bias is raised by the constant;
    raised: layers whose result is raised by it; bounded: sums with a relu that are lowered, as one of their operands is
    """

    maker: Optional[Layer]
    shifted: Optional[Layer]
    tensors: List[str] = field(default_factory=list)
    readers: List[Layer] = field(default_factory=list)
    adding: List[Layer] = field(default_factory=list)
    raised: List[Layer] = field(default_factory=list)
    bounded: List[Layer] = field(default_factory=list)

    @property
    def touched(self) -> Set[str]:
        """The results of all layers that change."""
        layers = [*filter(None, [self.shifted]), *self.readers, *self.adding, *self.raised, *self.bounded]
        return {*self.tensors, *(layer.output for layer in layers)}

    @property
    def lowered(self) -> Set[str]:
        """The tensors whose values change."""
        layers = [*filter(None, [self.shifted]), *self.raised]
        return {*self.tensors, *(layer.output for layer in layers)}


def chains(network: Network) -> List[List[Chain]]:
    """For every relu whose result can be stored minus a constant, the ways to do so."""
    found = []
    for layer in network.layers:
        shifted = _shifted_layer(network, layer)
        if shifted is None:
            continue
        ways = []
        for through in (False, True):
            chain = Chain(layer, shifted)
            if _follow(network, layer.output, chain, through) and (chain.readers or chain.adding):
                # Without a sum on the way both are one.
                if not through or chain.bounded:
                    ways.append(chain)
        if ways:
            found.append(ways)
    return found


def input_chains(network: Network) -> List[Chain]:
    """For every input that can be stored minus a constant, how; the chip passes states on as they are."""
    states = states_of(network.model)
    found = []
    for name in network.inputs:
        chain = Chain(None, None)
        own = name in network.integers and network.root(name) == name and name not in states
        if own and _follow(network, name, chain, False) and (chain.readers or chain.adding):
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
    if not _is_sum(layer):
        return None
    return next((branch for branch in map(network.producer, layer.inputs) if _is_free(network, branch)), None)


def _is_sum(layer: Layer) -> bool:
    return layer.kind == "binary" and layer.op_type == "Add" and layer.inputs[0] != layer.inputs[1]


def _is_free(network: Network, layer: Optional[Layer]) -> bool:
    """Whether the result of a layer can be raised or lowered by its bias: one other layer reads it."""
    if layer is None or layer.kind not in ("conv", "dense") or layer.output in network.outputs:
        return False
    unbounded = layer.low == -np.inf and layer.high == np.inf
    return unbounded and len(network.consumers(layer.output)) == 1 and _has_bias(network, layer)


def _has_bias(network: Network, layer: Layer) -> bool:
    """Whether the layer has, or can be given, a bias."""
    return layer.op_type != "MatMul" or len(layer.nodes) > 1 and _second(network, layer) == "Add"


def _second(network: Network, layer: Layer) -> str:
    return network.model.graph.node[layer.nodes[1]].op_type


def _follow(network: Network, name: str, chain: Chain, through: bool) -> bool:
    """Collect the layers that read `name`; False if one of them cannot add the constant back.

    through: sums with a relu are lowered too, rather than their other operand raised
    """
    if name in network.outputs or name in chain.tensors:
        return False
    chain.tensors.append(name)
    users = network.consumers(name)
    for user in users:
        if user.kind in ("conv", "dense"):
            if not _has_bias(network, user):
                return False
            if user.inputs[0] == name:
                chain.readers.append(user)
            if user.addend == name:
                chain.adding.append(user)
        elif user.kind in ("move", "max_pool") or user.kind == "average_pool" and not _is_padded(network, user):
            if user.low != -np.inf or user.high != np.inf or not _follow(network, user.output, chain, through):
                return False
        elif _is_sum(user):
            if not _follow_sum(network, user, name, chain, through):
                return False
        else:
            return False
    return bool(users)


def _follow_sum(network: Network, user: Layer, name: str, chain: Chain, through: bool) -> bool:
    if through and _has_relu(network, user):
        chain.bounded.append(user)
        return _follow(network, user.output, chain, through)
    other = network.producer(next(one for one in user.inputs if one != name))
    if not _is_free(network, other):
        return False
    chain.raised.append(other)
    return True


def _has_relu(network: Network, layer: Layer) -> bool:
    last = network.model.graph.node[layer.nodes[-1]].op_type
    return layer.low == 0.0 and len(layer.nodes) == 2 and last in ("Relu", "Clip")


def _is_padded(network: Network, layer: Layer) -> bool:
    node = network.model.graph.node[layer.nodes[0]]
    if attribute(node, "auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID") or attribute(node, "ceil_mode", 0):
        return True
    return any(attribute(node, "pads") or [])


def candidates(chain: Chain, reaches: Mapping[str, float], lowered: Mapping[str, float], steps: int) -> List[int]:
    """Exponents to try at which `steps` below 0 and 127 above cover all, or nearly all, values of a tensor.

    reaches: the most that tensors hold, where it is known; lowered: by how much these are lowered
    """
    exponents: Set[int] = set()
    for name in chain.tensors:
        reach = reaches[name] + lowered.get(name, 0.0) if name in reaches else 0.0
        if reach > 0.0:
            exponent = exponent_at_least(reach / (127.0 + steps))
            exponents.update((exponent, exponent - 1))
    return sorted(exponents)


def input_windows(values: np.ndarray, exponents: Sequence[int], clips: bool) -> List[Tuple[float, int]]:
    """(constant, exponent) of the 256 steps to try for an input: for each of these exponents those from 0 on or up to 0
    where its values have one sign; else those that end with the largest value, begin with the smallest, or have the
    least squared error, halfway to these, and those around 0.

    values: of the input, not lowered; clips: whether steps that do not cover them all are tried
    """
    found: List[Tuple[float, int]] = []
    for exponent in exponents:
        whole, counts = np.unique(np.floor(values.astype(np.float64) * 2.0**-exponent + 0.5), return_counts=True)
        steps = np.arange(-MOST_STEPS, MOST_STEPS + 1)
        # What is within the steps is rounded by the same amount wherever they begin.
        errors = np.array([np.dot(counts, (whole - np.clip(whole, z - 128, z + 127)) ** 2) for z in steps])
        middle = (whole[0] + whole[-1] + 1.0) / 2.0
        if whole[0] >= 0.0 or whole[-1] <= 0.0:
            tried = [MOST_STEPS if whole[-1] > 0.0 else 1 - MOST_STEPS]
        else:
            ends = [int(steps[np.lexsort((np.abs(steps - middle), errors))[0]]), whole[-1] - 127, whole[0] + 128]
            ends = [int(np.clip(z, 1 - MOST_STEPS, MOST_STEPS)) for z in ends]
            tried = [*ends, *(z // 2 for z in ends)]
        for z in dict.fromkeys((0, *tried)):
            if clips or errors[z + MOST_STEPS] == 0.0:
                found.append((z * 2.0**exponent, exponent))
    return found


def shift_network(
    network: Network, chain: Chain, constant: float, model_too: bool = True
) -> Tuple[Network, Dict[str, float]]:
    """(the same function with the chain's tensors lowered by `constant`, {tensor: by how much more it is lowered}).

    The maker's result or the input may be lowered already, by another constant; sums behind it then by as much more.
    model_too: False does not change the ONNX model, for a network that is only tried.
    """
    model = copied(network.model) if model_too else network.model
    graph = Graph(model) if model_too else None
    nodes, constants = list(model.graph.node) if graph is None else list(graph.nodes), dict(network.constants)
    layers = [replace(layer) for layer in network.layers]
    by_output = {layer.output: layer for layer in layers}
    if chain.maker is None:
        more = constant - network.centres.get(chain.tensors[0], 0.0)
        centres = {**network.centres, chain.tensors[0]: constant}
    else:
        more, centres = constant + by_output[chain.maker.output].low, network.centres

    def own(one: Layer, bias: np.ndarray) -> None:
        layer = by_output[one.output]
        layer.bias = (layer.bias + bias).astype(np.float32)
        if graph is not None:
            own_constants(graph, layer, constants)

    if chain.shifted is not None:
        own(chain.shifted, np.float64(-more))
    for reader in chain.readers:
        reader = by_output[reader.output]
        own(reader, more * reader.weights.astype(np.float64).reshape(len(reader.weights), -1).sum(axis=1))
    for layer in (*chain.adding, *chain.raised):
        own(layer, np.float64(more))
    for layer in (by_output[one.output] for one in (*filter(None, [chain.maker]), *chain.bounded)):
        layer.low, layer.high = layer.low - more, layer.high - more
        if graph is not None:
            _clip(graph, nodes[layer.nodes[-1]], layer, constants)
    for layer in (by_output[one.output] for one in chain.readers if one.kind == "conv"):
        _fill(network, graph, nodes[layer.nodes[0]], layer, -more, constants)
    if graph is not None:
        for layer in layers:
            layer.nodes = [graph.place(nodes[index]) for index in layer.nodes]
        graph.write()
    lowered = dict.fromkeys(chain.tensors, more)
    if chain.shifted is not None:
        lowered[chain.shifted.output] = more
    for layer in chain.raised:
        lowered[layer.output] = lowered.get(layer.output, 0.0) - more
    total = {**network.lowered, **{name: network.lowered.get(name, 0.0) + more for name, more in lowered.items()}}
    changed = {"model": model, "constants": constants, "layers": layers, "centres": centres, "lowered": total}
    return replace(network, **changed), lowered


def _fill(
    network: Network,
    graph: Optional[Graph],
    node: onnx.NodeProto,
    layer: Layer,
    more: float,
    constants: Dict[str, np.ndarray],
) -> None:
    """Let a Conv with padding read what it read there and `more`, in `graph` by a Pad before its node."""
    if layer.padding is not None:
        layer.padding = replace(layer.padding, value=layer.padding.value + more)
        if graph is None:
            return
        filling = new_constant(graph, f"{node.name}_filling", layer.padding.value, constants)
        graph.set_input(graph.producer(node.input[0]), 2, filling)
        return
    shapes = (network.shapes[name][2:] for name in (layer.inputs[0], layer.output))
    before, after = padding_of(node, layer.weights.shape[2:], *shapes)
    if not any(before + after):
        return
    layer.padding = Padding(before, after, more)
    if graph is None:
        return
    set_attributes(node, pads=[0] * 2 * len(before), auto_pad="NOTSET")
    widths = graph.add_constant(f"{node.name}_pads", np.array([0, 0, *before, 0, 0, *after], np.int64))
    filling = new_constant(graph, f"{node.name}_filling", more, constants)
    padded = graph.fresh(f"{layer.inputs[0]}_padded")
    graph.insert_before(node, graph.make("Pad", [layer.inputs[0], widths, filling], [padded], f"{node.name}_Pad"))
    graph.set_input(node, 0, padded)


def _clip(graph: Graph, node: onnx.NodeProto, layer: Layer, constants: Dict[str, np.ndarray]) -> None:
    """Turn the activation `node` into a Clip between the bounds of `layer`."""
    node.op_type = "Clip"
    del node.attribute[:]
    inputs = [node.input[0]]
    for bound, what in ((layer.low, "low"), (layer.high, "high")):
        if np.isfinite(bound):
            inputs.append(new_constant(graph, f"{node.output[0]}_{what}", bound, constants))
    graph.set_inputs(node, inputs)
