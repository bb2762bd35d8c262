"""Which passes run and how much they try; what they hand on to each other: a quantization."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Dict, Iterable, List, Mapping, Optional, Set, Tuple

import numpy as np

from .calibrate import Histogram, choose_exponent, choose_exponents, covering_exponent
from .graph import Network, describe_layer
from .simulate import Simulator
from .weights import Weights, quantize_weights, real_weights

# A change must lower the noise by this share: less is chance, and would only fit the samples at hand.
WORTH = 0.998
# What makes the noise this much larger once is not tried again.
HOPELESS = 1.15
# Things are tried on as many samples as make this many activations, within bounds; weights are fitted to all.
SEARCH_ACTIVATIONS, SEARCH_SAMPLES = 5_000_000, (32, 256)


@dataclass(frozen=True)
class Effort:
    """samples: that things are tried on, as a share of the usual; sweeps: of the search; large: networks with more
    activations than this are fitted once, then to all samples; smaller ones also with other exponents of the input,
    once more after another search, and all of this again on all samples"""

    samples: float
    sweeps: int
    large: float


EFFORTS = {"quick": Effort(0.5, 1, 0), "default": Effort(1.0, 2, 300_000), "thorough": Effort(2.0, 3, np.inf)}


@dataclass
class Passes:
    """Which passes run. per_channel: weight exponents per output channel; method, percentile: see `calibrate`.

    int16_outputs: outputs and small tensors of int16 where that costs next to nothing (with method auto)
    int16: tensors or layers of int16, by name, or auto: as many as gain int16_gain dB, see `mixed`
    effort: one of `EFFORTS`
    budget: what int16 and centering may cost, "instructions=5%,arena=5%", see `budget`; empty: 3 %, where it gains much
    """

    per_channel: bool = True
    method: str = "auto"
    percentile: float = 99.99
    equalize: bool = True
    centre: bool = True
    correct_bias: bool = True
    fit: bool = True
    int16_outputs: bool = True
    int16: str = ""
    int16_gain: float = 6.0
    effort: str = "default"
    budget: str = ""

    @property
    def pains(self) -> Effort:
        return EFFORTS[self.effort]

    @property
    def search(self) -> bool:
        return self.method == "auto"

    @property
    def local_method(self) -> str:
        return "mse" if self.search else self.method


@dataclass
class State:
    """A quantization: network (with its channel factors in), exponents by tensor, weights by layer output.

    effects: what each pass left at the outputs, in dB; cautions: of each fitted layer, by its output (see `fit`)
    known: the simulator that was asked last for the noise, and what it said: see `Simulator.noise_of`
    """

    network: Network
    exponents: Dict[str, int]
    weights: Dict[str, Weights]
    effects: List[Tuple[str, float]] = field(default_factory=list)
    cautions: Dict[str, Tuple[float, float]] = field(default_factory=dict)
    known: Optional[Tuple[Simulator, float]] = field(default=None, repr=False, compare=False)


def initial_exponents(
    network: Network, histograms: Dict[str, Histogram], simulator: Simulator, passes: Passes
) -> Dict[str, int]:
    """Exponents by what each tensor holds; the outputs' cover everything where `method` is auto."""
    exponents = choose_exponents(network, histograms, passes.local_method, passes.percentile)
    if passes.search:
        for name in simulator.objectives():
            root = network.root(name)
            members = [other for other in exponents if network.root(other) == root]
            if root in exponents:
                top = max(covering_exponent(histograms[m].low, histograms[m].high) for m in members)
                exponents.update((member, max(exponents[member], top)) for member in members)
    return exponents


def held_exponents(roots: Iterable[str], simulator: Simulator, passes: Passes) -> Dict[str, int]:
    """Exponents of tensors by the values that they have in `simulator`."""
    found = {}
    for root in roots:
        histogram = Histogram()
        histogram.add(simulator.reference[root])
        found[root] = choose_exponent(histogram, passes.local_method, passes.percentile)
    return found


def shared_exponents(network: Network, chosen: Mapping[str, int]) -> Dict[str, int]:
    """The exponents chosen for some tensors, by all that have them in common."""
    roots = {name: network.root(name) for name in network.integers}
    return {name: chosen[root] for name, root in roots.items() if root in chosen}


def rounded_weights(
    network: Network,
    exponents: Dict[str, int],
    simulator: Simulator,
    passes: Passes,
    only: Optional[Set[str]] = None,
) -> Dict[str, Weights]:
    """Weights rounded to the nearest, by layer output; biases take what rounding does to the mean of the result.

    only: of the layers with these outputs
    """
    result = {}
    for layer in network.layers:
        if layer.rule is None or layer.weights is None or (only is not None and layer.output not in only):
            continue
        e_x = exponents[layer.inputs[0]]
        most = -network.range_of(layer.inputs[0])[0]
        name = describe_layer(network, layer)
        left = None if layer.addend is None else exponents[layer.addend] - e_x
        made = quantize_weights(layer.weights, layer.bias, e_x, passes.per_channel, name, most, left)
        if passes.correct_bias:
            lost = layer.weights - real_weights(made, e_x)[0]
            bias = layer.bias + np.einsum("oi,oi->o", *_per_input(lost, simulator.means(layer)))
            made = Weights(made.values, made.exponents, made.bias, bias).for_input(e_x, most) or made
        result[layer.output] = made
    return result


def impossible_sums(network: Network, exponents: Dict[str, int], weights: Dict[str, Weights]) -> List[str]:
    """What the Adds make that Convs cannot compute with their sums: what they add has finer steps, or is too large."""
    found = []
    for layer in network.layers:
        if layer.rule is not None and layer.addend is not None:
            most = [-network.range_of(name)[0] for name in layer.inputs]
            left = exponents[layer.addend] - exponents[layer.inputs[0]]
            if not weights[layer.output].can_add(left, *most):
                found.append(network.model.graph.node[layer.nodes[1]].output[0])
    return found


def exact_weights(network: Network, exponents: Dict[str, int], only: Optional[Set[str]] = None) -> Dict[str, Weights]:
    """Weights that are not rounded, by layer output, for trials that are about tensors; only: of these layers."""
    result = {}
    for layer in network.layers:
        if layer.rule is not None and layer.weights is not None and (only is None or layer.output in only):
            ones = np.zeros(len(layer.weights), np.int64)
            bias = layer.bias.astype(np.float64)
            result[layer.output] = Weights(layer.weights, ones, bias * 2.0 ** -exponents[layer.inputs[0]], bias)
    return result


def _per_input(weights: np.ndarray, means: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """(sums of weights [O, I / groups] over the window, mean of the input that each multiplies)."""
    sums = weights.reshape(*weights.shape[:2], -1).sum(axis=2)
    groups = len(means) // sums.shape[1]
    return sums, np.repeat(means.reshape(groups, -1), len(sums) // groups, axis=0)


def activations(network: Network) -> int:
    """Values of all tensors of one sample."""
    return sum(int(np.prod(network.shapes.get(layer.output, ()))) for layer in network.layers)


def search_samples(network: Network, passes: Passes) -> int:
    """How many samples to try things on."""
    usual = np.clip(SEARCH_ACTIVATIONS // max(activations(network), 1), *SEARCH_SAMPLES)
    return max(int(usual * passes.pains.samples), 4)
