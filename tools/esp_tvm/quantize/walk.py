"""Runs a network layer by layer on many samples, in integers and in float at the same time.

A tensor is kept only as long as a layer still reads it, its integers in one or two bytes: hundreds of samples of a
large network need only the memory of its largest layers.
"""

from __future__ import annotations

import copy
import threading
from typing import Dict, List, Sequence, Tuple

import numpy as np

from ..model import run_session
from .graph import Layer, Network
from .layer_sessions import session_of_nodes
from .parallel import in_order
from .simulate import Simulator
from .weights import Weights

# Of all values alive at a time.
BUDGET_BYTES, MOST_SAMPLES = 1 << 30, 256
# Samples computed at a time, and values of a layer: what the caches hold.
AT_ONCE, VALUES_AT_ONCE = 32, 1 << 20


def choose_walk_samples(network: Network, samples: Dict[str, Sequence[np.ndarray]]) -> List[Dict[str, np.ndarray]]:
    """As many samples as the budget holds, evenly spread, each {input: array}."""
    count = min(len(array) for array in samples.values())
    # A float and an integer of each value.
    keep = min(int(BUDGET_BYTES // (5 * max(_most_alive(network), 1))), MOST_SAMPLES)
    keep = min(max(keep, 4), count)
    indices = np.linspace(0, count - 1, keep).round().astype(int)
    return [{name: array[int(index)] for name, array in samples.items()} for index in indices]


def _last_readers(network: Network) -> Dict[str, int]:
    last = {name: index for index, layer in enumerate(network.layers) for name in layer.inputs}
    return {**last, **dict.fromkeys(network.outputs, len(network.layers))}


def _most_alive(network: Network) -> int:
    """The largest number of values of one sample that are alive at a time."""
    last = _last_readers(network)
    sizes = {name: int(np.prod(shape)) for name, shape in network.shapes.items()}
    alive = {name: sizes.get(name, 0) for name in network.inputs}
    most = 0
    for index, layer in enumerate(network.layers):
        alive[layer.output] = sizes.get(layer.output, 0)
        most = max(most, sum(alive.values()))
        alive = {name: size for name, size in alive.items() if last.get(name, -1) > index}
    return most


class Walk:
    """samples: [{input: array}], as the network's model reads them

    whole: integers of a tensor [N, *shape]; real: its float values in the float model
    floats: the values of float layers' results, as in the quantized network
    """

    def __init__(self, simulator: Simulator, samples: List[Dict[str, np.ndarray]], exponents: Dict[str, int]):
        self.simulator, self.samples, self.exponents = simulator, samples, exponents
        self.network = simulator.network
        self.whole: Dict[str, np.ndarray] = {}
        self.floats: Dict[str, np.ndarray] = {}
        self.real: Dict[str, np.ndarray] = {}
        self._last = _last_readers(self.network)
        self._lock = threading.Lock()
        for name in self.network.inputs:
            self.real[name] = np.stack([sample[name] for sample in samples])
            if name in exponents:
                self.whole[name] = self._stored(name, simulator.rounded(self.real[name], name, exponents))

    def _stored(self, name: str, whole: np.ndarray) -> np.ndarray:
        return whole.astype(np.int16 if name in self.network.wide else np.int8)

    def chunks(self, layer: Layer) -> List[slice]:
        """The samples, in parts for the work on one layer."""
        shapes = (self.network.shapes.get(name, ()) for name in (*layer.inputs, layer.output))
        each = sum(int(np.prod(shape)) for shape in shapes)
        count = int(np.clip(VALUES_AT_ONCE // max(each, 1), 1, AT_ONCE))
        return [slice(start, min(start + count, len(self.samples))) for start in range(0, len(self.samples), count)]

    def quantized(self, name: str, part: slice) -> np.ndarray:
        """Real values of the integers of a tensor, float32."""
        return self.whole[name][part].astype(np.float32) * np.float32(2.0 ** self.exponents[name])

    def need_whole(self, name: str) -> None:
        """Quantize the result of a float layer."""
        if name not in self.whole:
            rounded = self.simulator.rounded(self.floats[name], name, self.exponents)
            self.whole[name] = self._stored(name, rounded)

    def step(self, index: int, weights: Dict[str, Weights]) -> None:
        """Compute layer number `index`, in integers and in float, and drop tensors that no layer reads any more."""
        layer, parts = self.network.layers[index], self.chunks(self.network.layers[index])
        known = [name for name in layer.inputs if name in self.whole]
        made = in_order(lambda part: self._integers(layer, part, known, weights), parts)
        for part, tensors in zip(parts, made):
            for key, value in tensors.items():
                values, name = (self.whole, key) if isinstance(key, str) else (self.floats, key[1])
                self._room(values, name, value)[part] = value
        self._float(layer)
        for values in (self.whole, self.floats, self.real):
            for name in [name for name in values if self._last.get(name, -1) <= index]:
                del values[name]

    def _integers(
        self, layer: Layer, part: slice, known: Sequence[str], weights: Dict[str, Weights]
    ) -> Dict[object, np.ndarray]:
        """What a layer makes of a part of the samples; known: those of its inputs whose integers are there."""
        state: Dict[object, np.ndarray] = {name: self.whole[name][part].astype(np.float32) for name in known}
        for name in layer.inputs:
            if name in self.floats:
                state[("float", name)] = self.floats[name][part]
        given = set(state)
        simulator = copy.copy(self.simulator)
        simulator.samples = self.samples[part]
        simulator.step(layer, state, self.exponents, weights)
        return {
            key: self._stored(key, value) if isinstance(key, str) else value
            for key, value in state.items()
            if key not in given
        }

    def _room(self, values: Dict[str, np.ndarray], name: str, like: np.ndarray) -> np.ndarray:
        """values[name] for all samples; made where it is not there, like a part of it."""
        with self._lock:
            if name not in values:
                values[name] = np.empty((len(self.samples), *like.shape[1:]), like.dtype)
            return values[name]

    # --- float ---

    def before_bounds(self, layer: Layer, part: slice) -> np.ndarray:
        """What a Conv or Gemm computes in float, before its activation; behind that, it goes to `real`."""
        x = self.real[layer.inputs[0]][part]
        filling = None if layer.padding is None else layer.padding.value
        addend = None if layer.addend is None else self.real[layer.addend][part]
        values = self.simulator.product(layer, x, layer.weights, layer.bias, None, None, filling, addend)
        values = values.reshape(len(values), *self.network.shapes.get(layer.output, values.shape[1:]))
        bounded = self._room(self.real, layer.output, values)[part]
        np.maximum(values, np.float32(layer.low), out=bounded)
        np.minimum(bounded, np.float32(layer.high), out=bounded)
        return values

    def _float(self, layer: Layer) -> None:
        if layer.kind in ("conv", "dense"):
            if layer.output not in self.real:  # A fit has done that.
                for _ in in_order(lambda part: self.before_bounds(layer, part), self.chunks(layer)):
                    pass
            return
        run, names = self._session_of(layer)

        def computed(part: slice) -> List[np.ndarray]:
            rows = []
            for index in range(part.start, part.stop):
                given = self.samples[index]
                feeds = {n: self.real[n][index] if n in self.real else given[n] for n in dict.fromkeys(layer.inputs)}
                rows.append(run_session(run, names, feeds))
            return [np.stack(values) for values in zip(*rows)]

        parts = self.chunks(layer)
        for part, found in zip(parts, in_order(computed, parts)):
            for name, values in zip(names, found):
                self._room(self.real, name, values)[part] = values

    def _session_of(self, layer: Layer) -> Tuple[object, List[str]]:
        graph = self.network.model.graph
        nodes = [graph.node[index] for index in layer.nodes]
        inner = {name for node in nodes for name in node.input}
        names = [name for node in nodes for name in node.output if name and (name not in inner or name == layer.output)]
        return session_of_nodes(self.network, layer, nodes, names), names


__all__ = ["Walk", "choose_walk_samples"]
