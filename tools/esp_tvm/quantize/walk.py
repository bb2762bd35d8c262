"""Runs a network layer by layer on many samples, in integers and in float at the same time.

A tensor is kept only as long as a layer still reads it, its integers in one or two bytes: hundreds of samples of a
large network need only the memory of its largest layers.
"""

from __future__ import annotations

import copy
from typing import Dict, Iterator, List, Sequence, Tuple

import numpy as np
from onnx import helper

from ..model import run_session, session
from .graph import Layer, Network
from .simulate import Simulator, any_type
from .weights import Weights

# Of all values alive at a time, and samples computed at a time.
BUDGET_BYTES, MOST_SAMPLES, AT_ONCE = 1 << 30, 256, 8


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
    """samples: [{input: array}]; whole: integers of a tensor [N, *shape]; real: its float values in the float model;

    floats: the values of float layers' results, as in the quantized network
    """

    def __init__(self, simulator: Simulator, samples: List[Dict[str, np.ndarray]], exponents: Dict[str, int]):
        self.simulator, self.samples, self.exponents = simulator, samples, exponents
        self.network = simulator.network
        self.whole: Dict[str, np.ndarray] = {}
        self.floats: Dict[str, np.ndarray] = {}
        self.real: Dict[str, np.ndarray] = {}
        self._last = _last_readers(self.network)
        self._before_bounds: Dict[Tuple[str, int], np.ndarray] = {}
        for name in self.network.inputs:
            self.real[name] = np.stack([sample[name] for sample in samples])
            if name in exponents:
                self.whole[name] = self._stored(name, simulator.rounded(self.real[name], name, exponents))

    def _stored(self, name: str, whole: np.ndarray) -> np.ndarray:
        return whole.astype(np.int16 if name in self.network.wide else np.int8)

    def chunks(self) -> Iterator[slice]:
        for start in range(0, len(self.samples), AT_ONCE):
            yield slice(start, min(start + AT_ONCE, len(self.samples)))

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
        layer = self.network.layers[index]
        made: Dict[object, List[np.ndarray]] = {}
        for part in self.chunks():
            for key, value in self._integers(layer, part, weights).items():
                made.setdefault(key, []).append(value)
        for key, values in made.items():
            if isinstance(key, str):
                self.whole[key] = np.concatenate(values)
            else:
                self.floats[key[1]] = np.concatenate(values)
        self._float(layer)
        for values in (self.whole, self.floats, self.real):
            for name in [name for name in values if self._last.get(name, -1) <= index]:
                del values[name]

    def _integers(self, layer: Layer, part: slice, weights: Dict[str, Weights]) -> Dict[object, np.ndarray]:
        state: Dict[object, np.ndarray] = {}
        for name in layer.inputs:
            if name in self.whole:
                state[name] = self.whole[name][part].astype(np.float32)
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

    # --- float ---

    def before_bounds(self, layer: Layer, part: slice) -> np.ndarray:
        """What a Conv or Gemm computes in float, before its activation; kept until the layer's step."""
        key = (layer.output, part.start)
        if key not in self._before_bounds:
            ones = np.ones(len(layer.weights), np.float32)
            x = self.real[layer.inputs[0]][part]
            self._before_bounds[key] = self.simulator.product(layer, x, layer.weights, ones, layer.bias, None, None)
        return self._before_bounds[key]

    def _float(self, layer: Layer) -> None:
        if layer.kind in ("conv", "dense"):
            bounded = (np.clip(self.before_bounds(layer, p), layer.low, layer.high) for p in self.chunks())
            made = np.concatenate([values.astype(np.float32) for values in bounded])
            self._before_bounds.clear()
            shape = self.network.shapes.get(layer.output, made.shape[1:])
            self.real[layer.output] = made.reshape(len(self.samples), *shape)
            return
        run, names = self._session_of(layer)
        rows = []
        for index, sample in enumerate(self.samples):
            feeds = {n: self.real[n][index] if n in self.real else sample[n] for n in dict.fromkeys(layer.inputs)}
            rows.append(run_session(run, names, feeds))
        for position, name in enumerate(names):
            self.real[name] = np.stack([row[position] for row in rows])

    def _session_of(self, layer: Layer) -> Tuple[object, List[str]]:
        graph = self.network.model.graph
        nodes = [graph.node[index] for index in layer.nodes]
        inner = {name for node in nodes for name in node.input}
        names = [name for node in nodes for name in node.output if name and (name not in inner or name == layer.output)]
        used = {name for node in nodes for name in node.input}
        part = helper.make_graph(
            nodes,
            "part",
            [helper.make_value_info(n, any_type(self.network, n)) for n in dict.fromkeys(layer.inputs)],
            [helper.make_value_info(name, any_type(self.network, name)) for name in names],
            [tensor for tensor in graph.initializer if tensor.name in used],
        )
        model = helper.make_model(part, opset_imports=self.network.model.opset_import)
        model.ir_version = 8
        return session(model), names


__all__ = ["Walk", "choose_walk_samples"]
