"""Simulates the quantized network on many samples at once, layer by layer, fast enough for trials.

Activations are integers in float32 arrays [N, *shape]. ONNX Runtime computes sums in float32: they are exact below
2^24; above, the result may rarely differ by one step from the exact rules (in `esp_tvm.arithmetic`), which are used to
measure the finished model.
"""

from __future__ import annotations

import copy
import math
import threading
from typing import Callable, Dict, List, Mapping, Optional, Sequence, Set

import numpy as np

from .. import arithmetic
from ..errors import UserError
from ..model import run_session
from ..naming import shown
from ..operators.lookup_wide import MOST_OFF
from .calibrate import reader, samples_of
from .graph import Layer, Network
from .layer_sessions import LayerSessions
from .parallel import in_order, spare_cores, spread
from .planes import Planes
from .rules import attribute
from .weights import Weights

# Of all float activations of the samples held; the simulated ones take as much again.
BUDGET_BYTES = 192 << 20
# Values of a layer's input and output that are computed in one run.
PIECE = 1 << 20
# From so many on they are worth parts for cores that have nothing else to do.
SHARED = 1 << 16


def choose_samples(network: Network, samples: Dict[str, Sequence[np.ndarray]], limit: int = 256) -> Dict:
    """At most `limit` samples, evenly spread, that fit the budget."""
    count = min(len(array) for array in samples.values())
    each = 4 * sum(int(np.prod(network.shapes.get(layer.output, ()))) for layer in network.layers)
    keep = int(np.clip(BUDGET_BYTES // max(each, 1), 4, limit))
    if keep >= count:
        return samples
    indices = np.linspace(0, count - 1, keep).round().astype(int)
    return {name: np.stack([array[int(i)] for i in indices]) for name, array in samples.items()}


class Simulator:
    """Runs layers of `network` in integers on the samples it was made with.

    samples: as the network's model reads them; reference: float values [N, *shape] of the tensors between the layers
    wide: tensors that are held as fine as float, for finding out what the others cost; `FINE` is their exponent
    """

    FINE = -24

    def __init__(self, network: Network, samples: Dict[str, Sequence[np.ndarray]]):
        self.network = network
        self._sessions = LayerSessions()
        self._made: Dict[str, List[str]] = {}
        self.wide: Set[str] = set()
        self._channel_means = Planes({})
        self._read_reference = reader(
            network, list(dict.fromkeys([*network.integers, *self.objectives(), *network.outputs]))
        )
        self.take(list(samples_of(samples)))

    def take(self, samples: List[Dict[str, np.ndarray]]) -> None:
        """Continue with other samples, as users give them."""
        self.hold([self.network.entered(sample) for sample in samples])

    def hold(self, samples: List[Dict[str, np.ndarray]]) -> None:
        """Continue with other samples, as the network's model reads them."""
        self.samples = samples
        self._means: Dict[str, np.ndarray] = {}
        values: Dict[str, np.ndarray] = {}
        for index, found in enumerate(in_order(self._read_reference, self.samples)):
            for name, value in found.items():
                value = np.asarray(value)
                if name not in values:
                    values[name] = np.empty((len(samples), *value.shape), value.dtype)
                values[name][index] = value
        self.reference = Planes(values)
        for name, value in self.reference.items():
            shape = self.network.shapes.get(name, value.shape[1:])
            if value.shape[1:] != tuple(shape):
                raise UserError(
                    f"tensor '{shown(name)}': ONNX Runtime gives it the shape {list(value.shape[1:])}, the model's "
                    f"operators {list(shape)}; export the model with explicit pads"
                )

    def learn_means(self, means: Dict[str, np.ndarray]) -> None:
        """Take the means of tensors ([*shape], one place for all of a channel) from more samples than it has."""
        self._channel_means = Planes(dict(means))
        self._means = {}

    def scaled(self, network: Network, channels, factors: np.ndarray) -> Simulator:
        """A simulator of the same samples for `network`, which is this one with channel factors."""
        groups = channels.find(np.arange(channels.count))
        touched = factors != 1.0

        def scale_of(name: str, like: np.ndarray) -> Optional[np.ndarray]:
            if name not in channels.ids:
                return None
            ids = channels.few_ids(name)
            ids = groups[ids[tuple(slice(size) for size in like.shape[-ids.ndim :])]]
            return factors[ids].astype(np.float32) if touched[ids].any() else None

        def scale(name: str, values: np.ndarray) -> np.ndarray:
            factor = scale_of(name, values)
            return values if factor is None else values * factor

        return self._changed(network, scale)

    def shifted(self, network: Network, lowered: Mapping[str, float]) -> Simulator:
        """A simulator of the same samples for `network`, which is this one with tensors lowered by constants."""

        def lower(name: str, values: np.ndarray) -> np.ndarray:
            return values - np.float32(lowered[name]) if name in lowered else values

        other = self._changed(network, lower)
        if not set(lowered).isdisjoint(network.inputs):
            other.samples = [{name: lower(name, values) for name, values in one.items()} for one in self.samples]
        return other

    def _changed(self, network: Network, change: Callable[[str, np.ndarray], np.ndarray]) -> Simulator:
        other = copy.copy(self)
        other.network, other.wide, other._means = network, set(), {}
        other.reference = self.reference.changed(change)
        other._channel_means = self._channel_means.changed(change)
        return other

    def subset(self, limit: int) -> Simulator:
        """A simulator of at most `limit` of its samples, evenly spread."""
        if limit >= len(self.samples):
            return self
        return self.part(np.linspace(0, len(self.samples) - 1, limit).round().astype(int))

    def part(self, indices: Sequence[int]) -> Simulator:
        """A simulator of some of its samples."""
        other = copy.copy(self)
        other.wide, other._means = set(), {}
        other.samples = [self.samples[i] for i in indices]
        other.reference = self.reference.part(np.asarray(indices))
        return other

    def means(self, layer: Layer) -> np.ndarray:
        """[I]: mean of each input channel of a Conv or Gemm over all samples and places, in the float model."""
        name = layer.inputs[0]
        if name not in self._means:
            known = self._channel_means.get(name)
            values = self.reference[name] if known is None else known[None]
            values = values.reshape(-1, *values.shape[2:]) if layer.kind == "conv" else values
            axes = tuple(
                axis for axis in range(values.ndim) if axis != (1 if layer.kind == "conv" else values.ndim - 1)
            )
            self._means[name] = values.mean(axis=axes, dtype=np.float64)
        return self._means[name]

    def objectives(self) -> List[str]:
        """What noise is counted at: the outputs, before a softmax that ends the network."""
        return list(dict.fromkeys(self.network.before_softmax(name) for name in self.network.outputs))

    # --- tensors ---

    def quantize(self, name: str, exponents: Dict[str, int]) -> np.ndarray:
        """Whole numbers of the real values of a tensor."""
        return self.rounded(self.reference[name], name, exponents)

    def rounded(self, values: np.ndarray, name: str, exponents: Dict[str, int]) -> np.ndarray:
        """Whole numbers of real values, as tensor `name` holds them."""
        exponent = exponents[name]
        if name in self.wide:
            return values * np.float32(2.0**-exponent)
        return _rounded(values * np.float32(2.0**-exponent), *self.network.range_of(name))

    def inputs(self, exponents: Dict[str, int], only: Optional[Sequence[str]] = None) -> Dict[str, np.ndarray]:
        """The network's inputs (or those of them in `only`), quantized where they are."""
        state: Dict[str, np.ndarray] = {}
        for name in self.network.inputs:
            if name in exponents and (only is None or name in only):
                state[name] = self.quantize(name, exponents)
        return state

    def forward(
        self,
        exponents: Dict[str, int],
        weights: Dict[str, Weights],
        state: Optional[Dict[str, np.ndarray]] = None,
        only: Optional[Sequence[Layer]] = None,
    ) -> Dict[str, np.ndarray]:
        """All int8 tensors; from `state`, computing the layers `only` (of all that `judged` gives), where given.

        `state` is not changed.
        """
        state = dict(state) if state is not None else self.inputs(exponents)
        for layer in self.judged() if only is None else only:
            self.step(layer, state, exponents, weights)
        return state

    def judged(self) -> List[Layer]:
        """All layers but a softmax that ends the network: noise is counted before it."""
        layers = self.network.layers
        ends = set(self.network.outputs) - set(self.objectives())
        return [layer for layer in layers if not (layer.kind == "softmax" and layer.output in ends)]

    def forward_again(
        self,
        state: Dict,
        changed: Sequence[str],
        exponents: Dict[str, int],
        weights: Dict[str, Weights],
        enough: Optional[Callable[[Dict[str, np.ndarray], List[str]], bool]] = None,
    ) -> Optional[Dict[str, np.ndarray]]:
        """`state` after the tensors `changed` got other exponents, or their layers other weights: what follows from
        them is computed anew.

        enough: asked once the layers next to the change are computed, with all tensors and with the last of those that
        they make; None is returned where it says so
        """
        dirty, made = set(changed), set()
        later = []
        for layer in self.judged():
            if layer.output in dirty or not dirty.isdisjoint(layer.inputs):
                later.append(layer)
                outputs = self._outputs_of(layer)
                dirty.update(outputs)
                made.update(outputs)
        # The float value of a tensor whose exponent changed stays, unless what makes it is computed anew.
        stale = {*made, *changed, *(("float", name) for name in made)}
        kept = {name: values for name, values in state.items() if name not in stale}
        kept.update((k, v) for k, v in self.inputs(exponents, changed).items())
        if enough is not None:
            beside = [x for x in later if x.output in changed or not set(changed).isdisjoint(x.inputs)]
            first = later.index(beside[-1]) + 1 if beside else 0
            kept, later = self.forward(exponents, weights, kept, later[:first]), later[first:]
            read = {name for layer in beside for name in layer.inputs}
            if enough(kept, [layer.output for layer in beside if layer.output not in read]):
                return None
        return self.forward(exponents, weights, kept, later)

    def _outputs_of(self, layer: Layer) -> List[str]:
        """All tensors that a layer makes: a float layer may have several."""
        found = self._made.get(layer.output)
        if found is None:
            nodes = self.network.model.graph.node
            found = [name for index in layer.nodes for name in nodes[index].output if name]
            self._made[layer.output] = found
        return found

    def noise_of(self, quantization) -> float:
        """Noise of a quantization (see `passes.State`) relative to the signal; asked twice, it is computed once."""
        known = quantization.known
        if known is None or known[0] is not self:
            exponents = quantization.exponents
            known = self, self.noise(self.forward(exponents, quantization.weights), exponents)
            quantization.known = known
        return known[1]

    def step(self, layer: Layer, state: Dict, exponents: Dict[str, int], weights: Dict[str, Weights]) -> None:
        """Compute one layer from the tensors in `state` and put its output there."""
        if layer.kind in ("float", "compare") or (layer.kind == "softmax" and layer.output not in exponents):
            self._float(layer, state, exponents)
            return
        if layer.kind in ("real", "shape", "cluster", "channelwise"):
            self._float(layer, state, exponents)
            whole = layer.kind in ("cluster", "channelwise")
            made = layer.output if whole else next(o for o in self.network.model.graph.node[layer.nodes[0]].output if o)
            low, high = self.network.bounds_of(layer, exponents[layer.output])
            state[layer.output] = np.clip(self.rounded(state.pop(("float", made)), layer.output, exponents), low, high)
            return
        xs = []
        for name in layer.inputs:
            if name not in state:
                # A float layer made it; this is its QuantizeLinear.
                state[name] = self.rounded(state[("float", name)], name, exponents)
            xs.append(state[name])
        state[layer.output] = self.compute(layer, xs, exponents, weights.get(layer.output))

    def compute(
        self, layer: Layer, xs: List[np.ndarray], exponents: Dict[str, int], weights: Optional[Weights]
    ) -> np.ndarray:
        """The output of an integer layer as whole numbers."""
        e_y = exponents[layer.output]
        e_x = [exponents[name] for name in layer.inputs]
        low, high = self.network.bounds_of(layer, e_y)
        if layer.kind in ("conv", "dense"):
            values, offset = weights.scaled(e_y - e_x[0])
            filling = None if layer.padding is None else self.network.filling(layer, e_x[0])
            addend = None if layer.addend is None else xs[1] * np.float32(2.0 ** (e_x[1] - e_y))
            return self.product(layer, xs[0], values, offset, low, high, filling, addend)
        elif layer.kind == "move":
            return self._move(layer, xs[0])
        elif layer.kind == "max_pool":
            return _bounded(self._pool(layer, xs[0]), low, high)
        elif layer.kind == "average_pool":
            y = self._pool(layer, xs[0])
            y *= np.float32(2.0 ** (e_x[0] - e_y))
            return _rounded(y, low, high)
        elif layer.kind == "binary":
            if layer.op_type == "Mul":
                # float32 does not hold all products of int16.
                wide = not self.network.wide.isdisjoint(layer.inputs)
                y = xs[0].astype(np.float64) * xs[1] if wide else xs[0] * xs[1]
                y *= y.dtype.type(2.0 ** (e_x[0] + e_x[1] - e_y))
            else:
                y = xs[0] * np.float32(2.0 ** (e_x[0] - e_y))
                other = xs[1] if e_x[1] == e_y else xs[1] * np.float32(2.0 ** (e_x[1] - e_y))
                (np.add if layer.op_type == "Add" else np.subtract)(y, other, out=y)
            return _rounded(y, low, high).astype(np.float32, copy=False)
        elif layer.kind == "clamp":
            return _rounded(xs[0] * np.float32(2.0 ** (e_x[0] - e_y)), low, high)
        elif layer.kind == "lookup":
            return self._looked_up(layer, xs[0], e_x[0], e_y)
        else:
            real = xs[0].astype(np.float64) * 2.0 ** e_x[0]
            axis = int(attribute(self.network.model.graph.node[layer.nodes[0]], "axis", -1))
            axis += axis >= 0  # behind the axis of the samples
            powers = np.exp(real - real.max(axis=axis, keepdims=True))
            y = np.floor(powers / powers.sum(axis=axis, keepdims=True) * 2.0**-e_y + 0.5).astype(np.float32)
        return _bounded(y, low, high)

    # --- operators ---

    def _looked_up(self, layer: Layer, x: np.ndarray, e_x: int, e_y: int) -> np.ndarray:
        result = "int16" if layer.output in self.network.wide else "int8"
        if layer.inputs[0] not in self.network.wide:
            return self._sessions.table(self.network, layer, e_x, e_y, result)[x.astype(np.int16) + 128]
        table, _ = self._sessions.points(self.network, layer, e_x, e_y, result)
        return arithmetic.lookup_s16(x.astype(np.int16), table=table, output=result).astype(np.float32)

    def table_off(self, layer: Layer, exponents: Dict[str, int]) -> int:
        """By how many steps of its result the table of a layer that reads int16 is off; 0 of any other layer."""
        if layer.kind != "lookup" or layer.rule is None or layer.inputs[0] not in self.network.wide:
            return 0
        result = "int16" if layer.output in self.network.wide else "int8"
        off = self._sessions.points(self.network, layer, exponents[layer.inputs[0]], exponents[layer.output], result)[1]
        return 0 if off <= MOST_OFF[result] else off

    def product(
        self,
        layer: Layer,
        x: np.ndarray,
        weights,
        offset,
        low,
        high,
        filling: Optional[float] = None,
        addend: Optional[np.ndarray] = None,
    ) -> np.ndarray:
        """clip(floor(weights * x + offset + addend)) of a Conv or Gemm; low None: no rounding, no bounds.

        filling: what the layer's own padding, if it has one, is in the unit of x; addend: [N, *shape] of the result
        """
        if layer.kind == "dense":
            y = x.reshape(-1, x.shape[-1]) @ weights.T + offset
            y = y if low is None else _bounded(np.floor(y, out=y), low, high)
            return y.reshape(*x.shape[:-1], -1).astype(np.float32)
        run = self._sessions.convolution(self.network, layer, low is not None)
        feeds = {"w": weights, "offset": offset}
        if low is not None:
            feeds.update(low=np.array(low, np.float32), high=np.array(high, np.float32))
        return self._in_pieces(run, layer, x, feeds, filling, addend)

    def _in_pieces(
        self,
        run,
        layer: Layer,
        x: np.ndarray,
        feeds: Dict[str, np.ndarray],
        filling: Optional[float] = None,
        addend: Optional[np.ndarray] = None,
    ) -> np.ndarray:
        """The result [N, 1, C, ...] of a session for x [N, 1, C, ...], in runs whose arrays stay in the caches: what is
        larger is new memory each time, whose pages the system fills with zeros first. filling, addend: as of `product`
        """
        shape = self.network.shapes.get(layer.output, ())
        each = math.prod(x.shape[1:]) + math.prod(shape)
        count = max(PIECE // max(each, 1), 1)
        if each * len(x) >= SHARED:
            count = min(count, -(-len(x) // (1 + spare_cores())))

        def run_some(start: int) -> np.ndarray:
            some, given = x[start : start + count], feeds
            if layer.padding is not None:
                some = layer.padding.around(some, filling)
            if addend is not None:
                other = addend[start : start + count]
                given = {**feeds, "addend": other.reshape(-1, *other.shape[2:])}
            y = run_session(run, ["y"], {"x": some.reshape(-1, *some.shape[2:]), **given})[0]
            return y.reshape(len(some), -1, *y.shape[1:])

        if count >= len(x):
            return run_some(0)
        whole: List[np.ndarray] = []
        lock = threading.Lock()

        def keep(start: int) -> None:
            y = run_some(start)
            with lock:
                if not whole:
                    whole.append(np.empty((len(x), *y.shape[1:]), y.dtype))
            whole[0][start : start + count] = y

        spread(keep, range(0, len(x), count))
        return whole[0]

    def _pool(self, layer: Layer, x: np.ndarray) -> np.ndarray:
        return self._in_pieces(self._sessions.pooling(self.network, layer, x.ndim - 1), layer, x, {})

    def _move(self, layer: Layer, x: np.ndarray) -> np.ndarray:
        node = self.network.model.graph.node[layer.nodes[0]]
        if node.op_type == "Transpose":
            rank = x.ndim - 1
            axes = attribute(node, "perm") or list(reversed(range(rank)))
            return np.ascontiguousarray(np.transpose(x, [0, *[axis + 1 for axis in axes]]))
        return x.reshape(len(x), *self.network.shapes[layer.output])

    def _float(self, layer: Layer, state: Dict, exponents: Dict[str, int]) -> None:
        """A layer that stays in float, sample by sample; its output is `state[("float", name)]`."""
        direct = self._direct(layer, state, exponents)
        if direct is not None:
            state[("float", self.network.model.graph.node[layer.nodes[0]].output[0])] = direct
            return
        graph = self.network.model.graph
        whole = layer.kind in ("cluster", "channelwise")
        nodes = [graph.node[index] for index in (layer.nodes if whole else layer.nodes[:1])]
        made = [layer.output] if whole else [o for o in nodes[0].output if o]
        run = self._sessions.part(self.network, layer, nodes, made)
        results: List[List[np.ndarray]] = []
        for index, sample in enumerate(self.samples):
            feeds = {n: self._float_value(n, index, sample, state, exponents) for n in layer.inputs}
            results.append(run_session(run, made, feeds))
        for position, name in enumerate(made):
            state[("float", name)] = np.stack([result[position] for result in results])

    def _direct(self, layer: Layer, state: Dict, exponents: Dict[str, int]) -> Optional[np.ndarray]:
        """The result of a float layer for all samples at once, where NumPy computes the same; None elsewhere."""
        if layer.kind not in ("real", "shape") or layer.op_type not in ("Mul", "Concat"):
            return None
        if any(name not in state and ("float", name) not in state for name in layer.inputs):
            return None
        values = [self.real(name, state, exponents) for name in layer.inputs]
        node, rank = self.network.model.graph.node[layer.nodes[0]], values[0].ndim
        if len(values) != len(node.input) or any(v.ndim != rank or v.dtype != np.float32 for v in values):
            return None
        if layer.op_type == "Mul":
            return values[0] * values[1]
        axis = int(attribute(node, "axis"))
        return np.concatenate(values, axis + 1 if axis >= 0 else axis)

    def _float_value(self, name: str, index: int, sample: Dict, state: Dict, exponents: Dict[str, int]) -> np.ndarray:
        if name in sample:
            return sample[name]
        if ("float", name) in state:
            return state[("float", name)][index]
        return state[name][index] * np.float32(2.0 ** exponents[name])

    # --- results ---

    def real(self, name: str, state: Dict, exponents: Dict[str, int]) -> np.ndarray:
        """The value of a tensor as real numbers."""
        if ("float", name) in state:
            return state[("float", name)]
        return state[name] * np.float32(2.0 ** exponents[name])

    def noise(self, state: Dict, exponents: Dict[str, int], names: Optional[Sequence[str]] = None) -> float:
        """Noise relative to the signal, added up over the objectives, or over the tensors `names`."""
        total = 0.0
        for name in self.objectives() if names is None else names:
            reference = self.reference[name].astype(np.float64)
            difference = self.real(name, state, exponents) - reference
            total += float(np.sum(difference * difference) / max(np.sum(reference * reference), 1e-300))
        return total


def _rounded(y: np.ndarray, low: float, high: float) -> np.ndarray:
    """clip(floor(y + 1/2)), in place of y."""
    y += np.float32(0.5)
    return _bounded(np.floor(y, out=y), low, high)


def _bounded(y: np.ndarray, low: float, high: float) -> np.ndarray:
    """y between its bounds, in place of y; np.clip would copy, and looks at every argument first."""
    np.maximum(y, np.float32(low), out=y)
    return np.minimum(y, np.float32(high), out=y)


def decibels(noise: float) -> float:
    """Signal-to-noise ratio of noise relative to the signal."""
    return float("inf") if noise <= 0.0 else -10.0 * float(np.log10(noise))
