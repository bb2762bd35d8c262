"""Cross-layer equalization: every channel of a tensor uses the whole int8 range.

A channel's scale can be chosen freely if the layers before and after the tensor can absorb a factor: weights before it
are multiplied, weights after it divided, and relu, leaky relu, PRelu, sums, pooling, resizing, moves, slices, concat
and products with a gate pass it on. The float network computes the same as before. With equalization, a power-of-two
exponent per tensor loses nothing compared with a free scale per channel.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Dict, FrozenSet, List, Optional, Set, Tuple

import numpy as np

from ..onnx_graph import Graph, copied
from .graph import Layer, Network
from .rules import attribute

# The largest factor for channels with very small values.
MAX_RATIO = 64.0
# A channel counts as active in a sample if it reaches this share of its largest value.
_ACTIVE = 0.25
# Up to so many samples, peaks are kept separately for each.
MOST_PEAKS = 64
PINNED = 0
# f(a x) = a f(x) for every a > 0.
_HOMOGENEOUS = ("LeakyRelu", "PRelu")


class Channels:
    """Which channels share a factor.

    ids: tensor -> an id for each of its elements; `find` gives the group of ids. Group `find(PINNED)` stays at 1.
    """

    def __init__(self, network: Network):
        self.network = network
        self._parent = [PINNED]
        # The group of every id, until two of them become one.
        self._groups: Optional[np.ndarray] = None
        self.ids: Dict[str, np.ndarray] = {}
        self._of_layers: Dict[str, Tuple[np.ndarray, np.ndarray]] = {}
        self._of_tensors: Dict[str, FrozenSet[int]] = {}
        for name in network.inputs:
            if name in network.shapes:
                self.ids[name] = np.broadcast_to(np.int64(PINNED), network.shapes[name])
        for layer in network.layers:
            self._layer(layer)
        for name in network.outputs:
            self._pin(name)

    def find(self, ids: np.ndarray) -> np.ndarray:
        """The group of each id."""
        if self._groups is None:
            groups = np.asarray(self._parent)
            while not np.array_equal(groups[groups], groups):
                groups = groups[groups]
            self._groups = groups
        return self._groups[ids]

    @property
    def count(self) -> int:
        return len(self._parent)

    def channel_ids(self, layer: Layer) -> np.ndarray:
        """The ids of the channels that the weights of a Conv or Gemm read."""
        return _channels_of(self.ids[layer.inputs[0]], layer.kind)

    def output_ids(self, layer: Layer) -> np.ndarray:
        """The ids of the channels that a Conv or Gemm makes."""
        return _channels_of(self.ids[layer.output], layer.kind)

    def groups_of(self, layer: Layer) -> Tuple[np.ndarray, np.ndarray]:
        """(groups of the channels that a Conv or Gemm makes, of those that its weights read)."""
        found = self._of_layers.get(layer.output)
        if found is None:
            found = self.find(self.output_ids(layer)), self.find(self.channel_ids(layer))
            self._of_layers[layer.output] = found
        return found

    def few_ids(self, name: str) -> np.ndarray:
        """The ids of a tensor with one place along the axes on which all have the same: it broadcasts to them."""
        ids = self.ids[name]
        return ids[tuple(slice(None) if step else slice(1) for step in ids.strides)]

    def groups_in(self, name: str) -> FrozenSet[int]:
        """The groups of the channels of a tensor."""
        found = self._of_tensors.get(name)
        if found is None:
            found = self._of_tensors[name] = frozenset(np.unique(self.find(self.few_ids(name))).tolist())
        return found

    def _union(self, a: np.ndarray, b: np.ndarray) -> None:
        a, b = np.broadcast_arrays(self.find(a), self.find(b))
        if np.array_equal(a, b):
            return
        self._groups = None
        self._of_layers.clear()
        self._of_tensors.clear()
        pairs = np.unique(np.stack([a.reshape(-1), b.reshape(-1)]), axis=1)
        for one, other in pairs.T:
            one, other = self._top(int(one)), self._top(int(other))
            # The smaller one becomes the root: PINNED always does.
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
        self._groups = None
        self._parent.extend(range(first, first + count))
        return np.arange(first, first + count)

    def _layer(self, layer: Layer) -> None:
        shape = self.network.shapes.get(layer.output)
        if layer.kind == "float" or shape is None or any(name not in self.ids for name in layer.inputs):
            for name in layer.inputs:
                self._pin(name)
            if shape is not None:
                self.ids[layer.output] = np.broadcast_to(np.int64(PINNED), shape)
            return
        ids = [self.ids[name] for name in layer.inputs]
        if layer.kind == "conv":
            self._union(ids[0], _first_places(ids[0][:1]))
            made = self._fresh(shape[1]).reshape(1, -1, *[1] * (len(shape) - 2))
            if layer.addend is not None:
                self._union(ids[1], np.broadcast_to(made, shape))
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
        elif layer.op_type in _HOMOGENEOUS and len(layer.nodes) == 1 and len(ids) == 1:
            made = ids[0]
        elif layer.kind == "move":
            made = self._moved(layer, ids[0], shape)
        elif layer.op_type == "Concat" and len(ids) == len(self._node(layer).input):
            made = self._joined(layer, ids)
        elif layer.op_type == "Slice" and layer.inputs == list(self._node(layer).input[:1]):
            made = self._cut(layer, ids[0])
        elif layer.op_type in ("Resize", "Upsample") and ids[0].ndim > 2 and ids[0].shape[:2] == tuple(shape[:2]):
            made = _first_places(ids[0])
            self._union(ids[0], made)
        elif layer.op_type == "Mul" and len(layer.nodes) == 1 and len(ids) == 2:
            made = self._gated(layer, ids, shape)
        else:
            for name in layer.inputs:
                self._pin(name)
            made = np.zeros((), np.int64)
        self.ids[layer.output] = np.broadcast_to(made, shape)
        # Relu passes a factor on, and so does an upper bound, see `scale_network`; other bounds do not.
        if layer.low not in (-np.inf, 0.0) or layer.low == -np.inf and layer.high != np.inf:
            self._pin(layer.output)

    def _node(self, layer: Layer):
        return self.network.model.graph.node[layer.nodes[0]]

    def _joined(self, layer: Layer, ids: List[np.ndarray]) -> np.ndarray:
        """Those of a Concat, with one place along the axes on which all its inputs have the same."""
        rank = ids[0].ndim
        axis = int(attribute(self._node(layer), "axis")) % rank
        alike = [i != axis and not any(one.strides[i] for one in ids) for i in range(rank)]
        return np.concatenate([one[tuple(slice(1) if a else slice(None) for a in alike)] for one in ids], axis)

    def _cut(self, layer: Layer, ids: np.ndarray) -> np.ndarray:
        """Those of a Slice."""
        starts, ends, *more = (self.network.constants[name].reshape(-1) for name in self._node(layer).input[1:])
        axes, steps = [*more, None, None][:2]
        where = [slice(None)] * ids.ndim
        for i, axis in enumerate(range(len(starts)) if axes is None else axes):
            start, end, step = int(starts[i]), int(ends[i]), 1 if steps is None else int(steps[i])
            # Backwards up to the first place: what is before that has no number.
            where[axis] = slice(start, None if step < 0 and end < -ids.shape[axis] else end, step)
        return ids[tuple(where)]

    def _gated(self, layer: Layer, ids: List[np.ndarray], shape) -> np.ndarray:
        """Those of a product of two tensors, which the larger one passes on; the factor of the other one is 1."""
        larger = int(ids[1].size > ids[0].size)
        self._pin(layer.inputs[1 - larger])
        if ids[larger].shape != tuple(shape) or layer.inputs[0] == layer.inputs[1]:
            self._pin(layer.inputs[larger])
            return np.zeros((), np.int64)
        return ids[larger]

    def _moved(self, layer: Layer, ids: np.ndarray, shape) -> np.ndarray:
        node = self._node(layer)
        if node.op_type == "Transpose":
            return np.transpose(ids, attribute(node, "perm") or list(reversed(range(ids.ndim))))
        return ids.reshape(shape)


def _channels_of(ids: np.ndarray, kind: str) -> np.ndarray:
    """[C] for the input or output of a Conv (kind "conv") or Gemm."""
    return ids[0].reshape(ids.shape[1], -1)[:, 0] if kind == "conv" else ids.reshape(-1, ids.shape[-1])[0]


def _first_places(ids: np.ndarray) -> np.ndarray:
    """The first position of each channel of [N, C, ...]."""
    return ids[(slice(None), slice(None), *[slice(1)] * (ids.ndim - 2))]


def scale_network(network: Network, channels: Channels, factors: np.ndarray, model_too: bool = True) -> Network:
    """The same function with every channel multiplied by the factor of its group; factors: [channels.count].

    The common upper bound of all channels (relu6) then becomes that of the channel with the smallest factor: channels
    that stay far below it, and therefore have a larger factor, reach it a little earlier than before. Layers without a
    factor are those of `network`.
    model_too: False does not change the ONNX model, for a network that is only tried.
    """
    model = copied(network.model) if model_too else network.model
    graph = Graph(model) if model_too else None
    constants = dict(network.constants)
    layers: List[Layer] = []
    for given in network.layers:
        layer, bound = given, 1.0
        if layer.rule is not None and layer.low == 0.0 and layer.high != np.inf:
            weighted = layer.weights is not None
            groups = channels.groups_of(layer)[0] if weighted else channels.find(channels.few_ids(layer.output))
            bound = float(factors[groups].min())
            if bound != 1.0:
                layer = replace(given)
                _scale_bound(layer, bound, graph, constants)
        if layer.rule is None or layer.weights is None:
            layers.append(layer)
            continue
        ours, theirs = (factors[groups] for groups in channels.groups_of(layer))
        if bound == 1.0 and (ours == 1.0).all() and (theirs == 1.0).all():
            layers.append(given)
            continue
        layer = replace(layer)
        layers.append(layer)
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
        if graph is not None:
            own_constants(graph, layer, constants)
    if graph is not None:
        graph.write()
    return replace(network, model=model, constants=constants, layers=layers)


def _scale_bound(layer: Layer, factor: float, graph: Optional[Graph], constants: Dict[str, np.ndarray]) -> None:
    """Multiply the upper bound of a fused Clip, in `graph` too where one is given."""
    if factor == 1.0:
        return
    layer.high *= factor
    if graph is not None:
        nodes = graph.nodes
        clip = next(nodes[index] for index in reversed(layer.nodes) if nodes[index].op_type == "Clip")
        graph.set_input(clip, 2, new_constant(graph, f"{clip.output[0]}_high", layer.high, constants))


def new_constant(graph: Graph, base: str, values, constants: Dict[str, np.ndarray]) -> str:
    """A new float32 initializer of `graph`, noted in `constants`; returns its name."""
    name = graph.add_constant(base, values, np.float32)
    constants[name] = graph.constants[name]
    return name


def own_constants(graph: Graph, layer: Layer, constants: Dict[str, np.ndarray]) -> None:
    """Give the nodes of `layer` its weights and bias as initializers that no other node reads."""

    def own(base: str, array: np.ndarray) -> str:
        return new_constant(graph, f"{base}_equalized", array, constants)

    nodes = [graph.nodes[index] for index in layer.nodes]
    main, add = nodes[0], nodes[1] if len(nodes) > 1 else None
    weights = main.input[1]
    graph.set_input(main, 1, own(weights, layer.weights.T if main.op_type == "MatMul" else layer.weights))
    if main.op_type == "MatMul" and add is not None and add.op_type == "Add":
        position = next(i for i, name in enumerate(add.input) if name in constants)
        graph.set_input(add, position, own(add.input[position], layer.bias))
    elif len(main.input) > 2 and main.input[2]:
        graph.set_input(main, 2, own(main.input[2], layer.bias))
    elif main.op_type != "MatMul" and np.any(layer.bias):
        graph.set_input(main, 2, own(f"{weights}_bias", layer.bias))


def scalable_groups(channels: Channels, network: Network) -> List[np.ndarray]:
    """For each tensor whose channels can be scaled, together with tied tensors: the groups of its channels."""
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


class ChannelStatistics:
    """What the channels of each tensor hold, over all calibration samples: the largest and smallest value of each

    sample and the mean. peaks: {tensor: [2 N, *shape]}, means: {tensor: [*shape]}, with one place in place of all
    where these share their channel (see `Channels`).
    """

    def __init__(self, network: Network, channels: Optional[Channels] = None):
        """channels: those of `network`, where they are known."""
        self.channels = channels or Channels(network)
        self._axes: Dict[str, Tuple[int, ...]] = {}
        self._peaks: Dict[str, List[np.ndarray]] = {}
        self._sums: Dict[str, np.ndarray] = {}
        self._counts: Dict[str, int] = {}

    def add(self, name: str, values: np.ndarray) -> None:
        """Count one sample of a tensor."""
        if values.dtype.kind != "f" or not values.size:
            return
        axes = self._axes.get(name)
        if axes is None:
            axes = self._axes[name] = self._shared(name, values.shape)
        peaks = self._peaks.setdefault(name, [])
        peaks.append(np.stack([values.max(axis=axes, keepdims=True), values.min(axis=axes, keepdims=True)]))
        if len(peaks) >= 2 * MOST_PEAKS:
            # Pairs of samples are merged if there are many: memory does not grow with their number.
            pairs = zip(peaks[::2], peaks[1::2])
            peaks[:] = [np.stack([np.maximum(a[0], b[0]), np.minimum(a[1], b[1])]) for a, b in pairs]
        self._counts[name] = self._counts.get(name, 0) + 1
        mean = values.mean(axis=axes, keepdims=True, dtype=np.float64)
        self._sums[name] = self._sums[name] + mean if name in self._sums else mean

    def _shared(self, name: str, shape: Tuple[int, ...]) -> Tuple[int, ...]:
        """The axes along which all values belong to one channel."""
        network = self.channels.network
        near = [layer for layer in (network.producer(name), *network.consumers(name)) if layer is not None]
        if name not in self.channels.ids or len(shape) < 3 or any(layer.kind == "dense" for layer in near):
            return ()
        ids = self.channels.find(self.channels.ids[name])
        alike = ids.shape == tuple(shape) and np.all(ids == _first_places(ids))
        return tuple(range(2, len(shape))) if alike else ()

    @property
    def peaks(self) -> Dict[str, np.ndarray]:
        return {name: np.concatenate(values) for name, values in self._peaks.items()}

    @property
    def means(self) -> Dict[str, np.ndarray]:
        return {name: total / self._counts[name] for name, total in self._sums.items()}


@dataclass
class Ranges:
    """found: {tensor: range of each channel id, 0 where it is always 0, -1 where the tensor has none}; active: in how
    many samples each channel shows more than a quarter of the most that it ever does."""

    found: Dict[str, np.ndarray]
    active: np.ndarray


def channel_ranges(channels: Channels, values: Dict[str, np.ndarray], clip: float) -> Ranges:
    """The ranges of channels, `clip` of the largest |x|; values: of tensors over the samples, or their peaks."""
    ranges, active = {}, np.zeros(channels.count)
    # Their channels are those of what they become a part of: its steps are what counts.
    parts = {name for layer in channels.network.layers if layer.op_type == "Concat" for name in layer.inputs}
    pinned = int(channels.find(np.zeros(1, np.int64))[0])
    for name, array in values.items():
        # Only numbers are scaled; a network may also have bool outputs.
        if name not in channels.ids or array.dtype.kind != "f":
            continue
        if name in parts and pinned not in channels.groups_in(name):
            continue
        ids = channels.find(channels.ids[name])[tuple(slice(size) for size in array.shape[1:])]
        each = np.maximum(array / 127.5, array / -128.5)
        reach = each.max(axis=0)
        found = np.full(channels.count, -1.0)
        np.maximum.at(found, ids.reshape(-1), reach.reshape(-1) * clip)
        ranges[name] = found
        often = np.count_nonzero(each > _ACTIVE * found[ids] / clip, axis=0)
        np.maximum.at(active, ids.reshape(-1), often.reshape(-1))
    return Ranges(ranges, active)


def choose_factors(channels: Channels, ranges: Ranges, strength: float) -> np.ndarray:
    """[channels.count] factors that bring the channels of every tensor to the same range.

    strength: 0 scales only whole tensors, so that they fill the range of a power of two; 1 equalizes channels fully.
    """
    roots = channels.find(np.arange(channels.count))
    pinned = int(channels.find(np.zeros(1, np.int64))[0])
    # Tied tensors may have different exponents: what counts is a channel's range relative to its tensor's.
    worst = np.zeros(channels.count)
    largest = np.zeros(channels.count)
    for found in ranges.found.values():
        top = found.max()
        if top <= 0:
            continue
        worst = np.maximum(worst, found / top)
        # Channels that are always 0 are scaled with the others.
        largest = np.where(found >= 0, np.maximum(largest, top), largest)
    # One or two samples may show far less than the true range; eight are trusted.
    most = np.clip(ranges.active**2, 1.0, MAX_RATIO)
    ratio = np.maximum(np.where(worst > 0, worst, 1.0), 1.0 / most)
    factors = ratio**-strength
    # Then fill: the largest range of the tensor becomes a power of two.
    step = np.where(largest > 0, largest, 1.0)
    factors *= np.exp2(np.ceil(np.log2(step))) / step
    factors = factors[roots]
    factors[roots == pinned] = 1.0
    return factors
