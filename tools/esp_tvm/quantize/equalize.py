"""Cross-layer equalization: every channel of a tensor uses the whole int8 range.

A channel's scale can be chosen freely wherever what makes the tensor and what reads it can absorb a factor: weights
before it are multiplied, weights behind it divided, and relu, sums, pooling and moves let it pass. The float network
computes the same as before. With it a power-of-two exponent per tensor costs nothing against a free scale per channel.
"""

from __future__ import annotations

from typing import Dict, List, Set

import numpy as np
import onnx
from onnx import numpy_helper

from ..naming import fresh_name
from .graph import Layer, Network
from .rules import attribute

# Channels that hold next to nothing are not blown up beyond this.
MAX_RATIO = 64.0
PINNED = 0


class Channels:
    """Which channels share a factor.

    ids: tensor -> an id for each of its elements; `find` gives the group of ids. Group `find(PINNED)` stays at 1.
    """

    def __init__(self, network: Network):
        self.network = network
        self._parent = [PINNED]
        self.ids: Dict[str, np.ndarray] = {}
        for name in network.inputs:
            if name in network.shapes:
                self.ids[name] = np.zeros(network.shapes[name], np.int64)
        for layer in network.layers:
            self._layer(layer)
        for name in network.outputs:
            self._pin(name)

    def find(self, ids: np.ndarray) -> np.ndarray:
        """The group of each id."""
        parent = np.asarray(self._parent)
        while True:
            above = parent[ids]
            if np.array_equal(above, ids):
                return ids
            ids = above

    @property
    def count(self) -> int:
        return len(self._parent)

    def channel_ids(self, layer: Layer) -> np.ndarray:
        """The ids of the channels that the weights of a Conv or Gemm read."""
        return _channels_of(self.ids[layer.inputs[0]], layer.kind)

    def output_ids(self, layer: Layer) -> np.ndarray:
        """The ids of the channels that a Conv or Gemm makes."""
        return _channels_of(self.ids[layer.output], layer.kind)

    def _union(self, a: np.ndarray, b: np.ndarray) -> None:
        a, b = np.broadcast_arrays(self.find(a), self.find(b))
        pairs = np.unique(np.stack([a.reshape(-1), b.reshape(-1)]), axis=1)
        for one, other in pairs.T:
            one, other = self._top(int(one)), self._top(int(other))
            # The smaller one leads: PINNED always does.
            self._parent[max(one, other)] = min(one, other)

    def _top(self, one: int) -> int:
        while self._parent[one] != one:
            one = self._parent[one]
        return one

    def _pin(self, name: str) -> None:
        if name in self.ids:
            self._union(self.ids[name], np.zeros(1, np.int64))

    def _fresh(self, count: int) -> np.ndarray:
        first = len(self._parent)
        self._parent.extend(range(first, first + count))
        return np.arange(first, first + count)

    def _layer(self, layer: Layer) -> None:
        shape = self.network.shapes.get(layer.output)
        if layer.kind == "float" or shape is None or any(name not in self.ids for name in layer.inputs):
            for name in layer.inputs:
                self._pin(name)
            if shape is not None:
                self.ids[layer.output] = np.zeros(shape, np.int64)
            return
        ids = [self.ids[name] for name in layer.inputs]
        if layer.kind == "conv":
            self._union(ids[0], _first_places(ids[0][:1]))
            made = self._fresh(shape[1]).reshape(1, -1, *[1] * (len(shape) - 2))
        elif layer.kind == "dense":
            self._union(ids[0], ids[0].reshape(-1, ids[0].shape[-1])[0])
            made = self._fresh(shape[-1])
        elif layer.kind == "binary" and layer.op_type != "Mul":
            self._union(ids[0], ids[1])
            made = ids[0]
        elif layer.kind in ("max_pool", "average_pool"):
            made = _first_places(ids[0])
            self._union(ids[0], made)
        elif layer.kind == "clamp":
            made = ids[0]
        elif layer.kind == "move":
            made = self._moved(layer, ids[0], shape)
        else:
            for name in layer.inputs:
                self._pin(name)
            made = np.zeros((), np.int64)
        self.ids[layer.output] = np.broadcast_to(made, shape)
        # Relu lets a factor pass; so does an upper bound, see `scale_network`; other bounds do not.
        if layer.low not in (-np.inf, 0.0) or layer.low == -np.inf and layer.high != np.inf:
            self._pin(layer.output)

    def _moved(self, layer: Layer, ids: np.ndarray, shape) -> np.ndarray:
        node = self.network.model.graph.node[layer.nodes[0]]
        if node.op_type == "Transpose":
            return np.transpose(ids, attribute(node, "perm") or list(reversed(range(ids.ndim))))
        return ids.reshape(shape)


def _channels_of(ids: np.ndarray, kind: str) -> np.ndarray:
    """[C] of what a Conv (kind "conv") or Gemm reads or makes."""
    return ids[0].reshape(ids.shape[1], -1)[:, 0] if kind == "conv" else ids.reshape(-1, ids.shape[-1])[0]


def _first_places(ids: np.ndarray) -> np.ndarray:
    """The first place of each channel of [N, C, ...]."""
    return ids[(slice(None), slice(None), *[slice(1)] * (ids.ndim - 2))]


def scale_network(network: Network, channels: Channels, factors: np.ndarray, model_too: bool = True) -> Network:
    """The same function with every channel multiplied by the factor of its group; factors: [channels.count].

    The one upper bound of all channels (relu6) is then that of the channel with the smallest factor: channels that stay
    far below it, and have a larger factor for that, meet it a little earlier than before.
    model_too: False leaves the ONNX model as it is, for a network that is only tried out.
    """
    model = network.model
    if model_too:
        model = onnx.ModelProto()
        model.CopyFrom(network.model)
    constants = dict(network.constants)
    layers: List[Layer] = []
    for layer in network.layers:
        layer = Layer(**vars(layer))
        layers.append(layer)
        if layer.rule is not None and layer.low == 0.0 and layer.high != np.inf:
            _scale_bound(
                layer, float(factors[channels.find(channels.ids[layer.output])].min()), model, constants, model_too
            )
        if layer.rule is None or layer.weights is None:
            continue
        ours = factors[channels.find(channels.output_ids(layer))]
        theirs = factors[channels.find(channels.channel_ids(layer))]
        weights = layer.weights.astype(np.float64)
        if layer.kind == "conv":
            groups = len(theirs) // weights.shape[1]
            per_group = theirs.reshape(groups, 1, weights.shape[1])
            per_output = np.repeat(per_group, len(weights) // groups, axis=1).reshape(weights.shape[:2])
            ratio = ours[:, None] / per_output
            weights = weights * ratio.reshape(*ratio.shape, *[1] * (weights.ndim - 2))
        else:
            weights = weights * (ours[:, None] / theirs[None, :])
        layer.weights = weights.astype(np.float32)
        layer.bias = (layer.bias * ours).astype(np.float32)
        if model_too:
            own_constants(model.graph, layer, constants)
    return Network(**{**vars(network), "model": model, "constants": constants, "layers": layers})


def _scale_bound(layer: Layer, factor: float, model: onnx.ModelProto, constants: Dict, model_too: bool) -> None:
    """Multiply the upper bound of a fused Clip."""
    if factor == 1.0:
        return
    layer.high *= factor
    if model_too:
        node = next(model.graph.node[i] for i in layer.nodes[::-1] if model.graph.node[i].op_type == "Clip")
        taken = set(constants) | {o for n in model.graph.node for o in n.output} | {v.name for v in model.graph.input}
        name = fresh_name(f"{node.output[0]}_high", taken)
        constants[name] = np.array(layer.high, np.float32)
        model.graph.initializer.append(numpy_helper.from_array(constants[name], name))
        node.input[2] = name


def own_constants(graph: onnx.GraphProto, layer: Layer, constants: Dict[str, np.ndarray]) -> None:
    """Give the nodes of `layer` its weights and bias, as initializers of their own."""

    def own(base: str, array: np.ndarray) -> str:
        name = fresh_name(f"{base}_equalized", taken)
        constants[name] = np.array(array, np.float32, order="C")
        graph.initializer.append(numpy_helper.from_array(constants[name], name))
        return name

    taken = set(constants) | {o for node in graph.node for o in node.output} | {v.name for v in graph.input}
    main = graph.node[layer.nodes[0]]
    old = main.input[1]
    main.input[1] = own(old, layer.weights.T if main.op_type == "MatMul" else layer.weights)
    taken.add(main.input[1])
    add = graph.node[layer.nodes[1]] if len(layer.nodes) > 1 else None
    if add is not None and add.op_type == "Add":
        position = next(i for i, name in enumerate(add.input) if name in constants)
        add.input[position] = own(add.input[position], layer.bias)
    elif len(main.input) > 2 and main.input[2]:
        main.input[2] = own(main.input[2], layer.bias)
    elif main.op_type != "MatMul" and np.any(layer.bias):
        main.input[2:] = [own(f"{old}_bias", layer.bias)]


def scalable_groups(channels: Channels, network: Network) -> List[np.ndarray]:
    """For each tensor whose channels can be scaled, with all that is tied to it: the groups of its channels."""
    pinned = int(channels.find(np.zeros(1, np.int64))[0])
    tensors: List[Set[int]] = []
    for layer in network.layers:
        if layer.rule is None or layer.weights is None or layer.output not in channels.ids:
            continue
        groups = set(channels.find(channels.output_ids(layer)).tolist()) - {pinned}
        for other in [t for t in tensors if t & groups]:
            groups |= other
            tensors.remove(other)
        if groups:
            tensors.append(groups)
    return [np.array(sorted(groups)) for groups in tensors]


# --- which factors ----------------------------------------------------------------------------------------


def channel_ranges(channels: Channels, reference: Dict[str, np.ndarray], clip: float) -> Dict[str, np.ndarray]:
    """{tensor: range of each id, [channels.count], 0 where it is always 0, -1 where the tensor has none}: `clip` of
    the largest |x|."""
    ranges = {}
    for name, values in reference.items():
        # Only numbers are scaled; a network may give truth values too.
        if name not in channels.ids or values.dtype.kind != "f":
            continue
        ids = channels.find(channels.ids[name])
        reach = np.maximum(values.max(axis=0) / 127.5, -values.min(axis=0) / 128.5) * clip
        found = np.full(channels.count, -1.0)
        np.maximum.at(found, ids.reshape(-1), reach.reshape(-1))
        ranges[name] = found
    return ranges


def choose_factors(channels: Channels, ranges: Dict[str, np.ndarray], strength: float) -> np.ndarray:
    """[channels.count] factors that bring the channels of every tensor to the same range.

    strength: 0 scales tensors only as a whole, to just fill the range at a power of two; 1 equalizes channels fully.
    """
    roots = channels.find(np.arange(channels.count))
    pinned = int(channels.find(np.zeros(1, np.int64))[0])
    # Tied tensors may have exponents of their own: what counts is a channel's range beside its tensor's.
    worst = np.zeros(channels.count)
    largest = np.zeros(channels.count)
    for found in ranges.values():
        top = found.max()
        if top <= 0:
            continue
        worst = np.maximum(worst, found / top)
        # Channels that are always 0 are scaled along.
        largest = np.where(found >= 0, np.maximum(largest, top), largest)
    ratio = np.maximum(np.where(worst > 0, worst, 1.0), 1.0 / MAX_RATIO)
    factors = ratio**-strength
    # Then fill: the largest range of the tensor becomes a power of two.
    step = np.where(largest > 0, largest, 1.0)
    factors *= np.exp2(np.ceil(np.log2(step))) / step
    factors = factors[roots]
    factors[roots == pinned] = 1.0
    return factors
