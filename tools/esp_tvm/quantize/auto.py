"""The passes that keep a model's accuracy, in order, each judged by the noise it leaves at the network's outputs.

1. equalization: channel factors, in the strength that leaves least noise
2. centering: what is never negative is stored minus a constant, where that helps
3. search: each tensor's exponent one finer or coarser where that helps the outputs
4. fit: weights and biases that make up for rounding and for each other; then the search once more, and the last fit
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Dict, List, Optional, Sequence, Set, Tuple

import numpy as np

from ..errors import UserError
from ..naming import shown
from .calibrate import Histogram, Progress, choose_exponent, choose_exponents, covering_exponent
from .centre import candidates, chains, shift_network
from .equalize import Channels, channel_ranges, choose_factors, scalable_groups, scale_network
from .fit import fit_layer
from .graph import Network, describe_layer
from .mixed import choose_wide, named, wide_outputs, widen, widenable
from .simulate import Simulator, decibels
from .weights import Weights, quantize_weights, real_weights

# Clipping beyond 0.85 of the largest value costs less than the finer steps gain, in most tensors; to clip nothing must
# be better by more than chance: (share of the range, the noise must become this much smaller).
CLIPS = ((0.85, 0.998), (1.0, 0.93))
STRENGTHS = (0.5, 0.75, 1.0)
STRETCHES = (2**-0.5, 2**-0.25, 2**0.25, 2**0.5)
# A change must lower the noise by this share: less is chance, and would only fit the samples at hand.
WORTH = 0.998
# How near to the trained weights a fit stays, and how much it trusts what the samples show: (ridge, damping) of `fit`.
FITS = ((10.0, 0.01), (100.0, 0.1))
# With fewer samples than this nothing can be held back to choose by.
ENOUGH_TO_PART = 16
# Things are tried on as many samples as make this many activations, within bounds; weights are fitted to all.
SEARCH_ACTIVATIONS, SEARCH_SAMPLES = 5_000_000, (32, 256)
# What makes the noise this much larger once is not tried again.
HOPELESS = 1.15


@dataclass
class Passes:
    """Which passes run. per_channel: weight exponents per output channel; method, percentile: see `calibrate`.

    int16_outputs: outputs of int16 where that costs next to nothing (with method auto)
    int16: tensors or layers of int16, by name, or auto: as many as gain int16_gain dB, see `mixed`
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

    @property
    def search(self) -> bool:
        return self.method == "auto"

    @property
    def local_method(self) -> str:
        return "mse" if self.search else self.method


@dataclass
class State:
    """A quantization: network (with its channel factors in), exponents by tensor, weights by layer output."""

    network: Network
    exponents: Dict[str, int]
    weights: Dict[str, Weights]
    effects: List[Tuple[str, float]] = field(default_factory=list)


def optimize(
    network: Network,
    histograms: Dict[str, Histogram],
    simulator: Simulator,
    passes: Passes,
) -> State:
    """Quantize `network`; histograms: of all samples; simulator: of some of them."""
    exponents = _initial(network, histograms, simulator, passes)
    state = State(network, exponents, rounded_weights(network, exponents, simulator, passes))
    effects = [(f"{passes.local_method} exponents, rounded weights", simulator.noise_of(state))]
    if passes.equalize:
        state, simulator = _equalize(state, simulator, histograms, passes)
        effects.append(("equalization", simulator.noise_of(state)))
    if passes.centre:
        state, simulator = _centre(state, simulator, passes)
        effects.append(("centering", simulator.noise_of(state)))
    hopeless: Set[Tuple[str, int]] = set()
    if passes.search:
        searched = _search(state, simulator, lambda e: rounded_weights(state.network, e, simulator, passes), hopeless)
        # It looked at some of the samples only.
        state = min((state, searched), key=simulator.noise_of)
        effects.append(("search of exponents", simulator.noise_of(state)))
    if passes.fit:
        rivals = _input_rivals(state, simulator, passes) if passes.search else []
        how = _choose_fit(state, simulator, passes)
        fitted = [_fit(one, simulator, passes, how) for one in (state, *rivals)]
        state = min(fitted, key=simulator.noise_of)
        effects.append(("fit of weights and biases", simulator.noise_of(state)))
        if passes.search:
            searched = _search(state, simulator, None, hopeless, sweeps=1)
            if searched.exponents != state.exponents:
                searched = _fit(searched, simulator, passes, how)
                if simulator.noise_of(searched) < simulator.noise_of(state):
                    state = searched
            effects.append(("search and fit once more", simulator.noise_of(state)))
    if passes.int16_outputs and passes.search:
        for name in wide_outputs(state.network, simulator.objectives()):
            state, simulator = widen(state, simulator, name, [name]) or (state, simulator)
        if state.network.wide:
            effects.append(("int16 outputs", simulator.noise_of(state)))
    if passes.int16:
        state, simulator = _mix(state, simulator, passes)
        effects.append((f"int16 for {len(state.network.wide)} tensors", simulator.noise_of(state)))
    state.effects = [(what, decibels(noise)) for what, noise in effects]
    return state


def _mix(state: State, simulator: Simulator, passes: Passes) -> Tuple[State, Simulator]:
    """`state` with some tensors in int16, its weights fitted to them."""

    def fit(one: State, its_simulator: Simulator) -> State:
        return _fit(one, its_simulator, passes) if passes.fit else one

    if passes.int16 == "auto":
        return choose_wide(state, simulator, _search_samples(state.network), passes.int16_gain, fit)
    groups = widenable(state.network)
    for root in named(state.network, [name.strip() for name in passes.int16.split(",") if name.strip()]):
        wider = widen(state, simulator, root, groups[root])
        if wider is None:
            raise UserError(f"--int16: the bias behind '{shown(root, 60)}' does not fit int32 then; leave it out")
        state, simulator = wider
    return fit(state, simulator), simulator


def _initial(
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


def rounded_weights(
    network: Network, exponents: Dict[str, int], simulator: Simulator, passes: Passes
) -> Dict[str, Weights]:
    """Weights rounded to the nearest, by layer output; biases take what rounding does to the mean of the result."""
    result = {}
    for layer in network.layers:
        if layer.rule is None or layer.weights is None:
            continue
        e_x = exponents[layer.inputs[0]]
        most = -network.range_of(layer.inputs[0])[0]
        name = describe_layer(network, layer)
        made = quantize_weights(layer.weights, layer.bias, e_x, passes.per_channel, name, most)
        if passes.correct_bias:
            lost = layer.weights - real_weights(made, e_x)[0]
            bias = layer.bias + np.einsum("oi,oi->o", *_per_input(lost, simulator.means(layer)))
            made = Weights(made.values, made.exponents, made.bias, bias).for_input(e_x, most) or made
        result[layer.output] = made
    return result


def _per_input(weights: np.ndarray, means: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """(sums of weights [O, I / groups] over the window, mean of the input that each multiplies)."""
    sums = weights.reshape(*weights.shape[:2], -1).sum(axis=2)
    groups = len(means) // sums.shape[1]
    return sums, np.repeat(means.reshape(groups, -1), len(sums) // groups, axis=0)


def _search_samples(network: Network) -> int:
    """How many samples to try things on."""
    each = sum(int(np.prod(network.shapes.get(layer.output, ()))) for layer in network.layers)
    return int(np.clip(SEARCH_ACTIVATIONS // max(each, 1), *SEARCH_SAMPLES))


# --- equalization -----------------------------------------------------------------------------------------


def _equalize(
    state: State, simulator: Simulator, histograms: Dict[str, Histogram], passes: Passes
) -> Tuple[State, Simulator]:
    """The strength of equalization that leaves least noise; none at all where that is best."""
    channels = Channels(state.network)
    best, chosen = state, None
    few = simulator.subset(_search_samples(state.network))
    least = few.noise_of(state)
    with Progress("equalizing", len(STRENGTHS) * len(CLIPS)) as progress:
        for clip, worth in CLIPS:
            found = channel_ranges(channels, simulator.reference, clip)
            limit = least * worth
            for strength in STRENGTHS:
                factors = choose_factors(channels, found, strength)
                network = scale_network(state.network, channels, factors)
                scaled = few.scaled(network, channels, factors)
                exponents = _initial(network, _rescaled(network, histograms, channels, factors, scaled), scaled, passes)
                candidate = State(network, exponents, rounded_weights(network, exponents, scaled, passes))
                noise = scaled.noise_of(candidate)
                if noise < limit:
                    best, chosen, least = candidate, factors, noise
                    limit = noise * WORTH
                progress.step()
    if chosen is None:
        chosen = np.ones(channels.count)
    if passes.search:
        chosen = _stretch(best, few, state.network, channels, chosen, least, passes)
    if np.all(chosen == 1.0):
        return state, simulator
    network = scale_network(state.network, channels, chosen)
    simulator = simulator.scaled(network, channels, chosen)
    return State(network, best.exponents, rounded_weights(network, best.exponents, simulator, passes)), simulator


def _stretch(
    state: State,
    few: Simulator,
    network: Network,
    channels: Channels,
    factors: np.ndarray,
    least: float,
    passes: Passes,
) -> np.ndarray:
    """`factors` with each tensor as a whole a little larger (finer steps, more clipped) or smaller, where that helps.

    state: `network` with `factors` in; few: a simulator of `network`; least: the noise of `state`.
    """
    groups = scalable_groups(channels, network)
    roots = channels.find(np.arange(channels.count))
    with Progress("stretching", len(groups)) as progress:
        for group in groups:
            best = factors
            for stretch in STRETCHES:
                tried = np.where(np.isin(roots, group), factors * stretch, factors)
                scaled_network = scale_network(network, channels, tried, model_too=False)
                scaled = few.scaled(scaled_network, channels, tried)
                weights = rounded_weights(scaled_network, state.exponents, scaled, passes)
                noise = scaled.noise_of(State(scaled_network, state.exponents, weights))
                if noise < least * WORTH:
                    best, least = tried, noise
            factors = best
            progress.step()
    return factors


def _rescaled(
    network: Network, histograms: Dict[str, Histogram], channels: Channels, factors: np.ndarray, simulator: Simulator
) -> Dict[str, Histogram]:
    """Histograms of the tensors that got factors, from the simulator's samples; the others as they were."""
    result = {}
    for name in network.integers:
        if name in channels.ids and np.any(factors[channels.find(channels.ids[name])] != 1.0):
            result[name] = Histogram()
            result[name].add(simulator.reference[name])
        else:
            result[name] = histograms[name]
    return result


# --- centering --------------------------------------------------------------------------------------------


def _centre(state: State, simulator: Simulator, passes: Passes) -> Tuple[State, Simulator]:
    """Lower the tensors of each chain by the constant that leaves least noise, where one helps."""
    few = simulator.subset(_search_samples(state.network))
    least = few.noise_of(state)
    found = chains(state.network)
    with Progress("centering", len(found)) as progress:
        for chain in found:
            best = None
            for constant in candidates(chain, few.reference):
                network, names = shift_network(state.network, chain, constant)
                moved = few.shifted(network, names, constant)
                exponents = dict(state.exponents)
                exponents.update(_exponents_of(network, moved, names, passes))
                tried = State(network, exponents, rounded_weights(network, exponents, moved, passes))
                noise = moved.noise_of(tried)
                if noise < least * WORTH:
                    best, least = (tried, moved, names, constant), noise
            if best is not None:
                state, few, names, constant = best
                simulator = simulator.shifted(state.network, names, constant)
            progress.step()
    return state, simulator


def _exponents_of(network: Network, simulator: Simulator, names: Sequence[str], passes: Passes) -> Dict[str, int]:
    """Exponents of some tensors (with all that share them) by what they hold."""
    histograms = {}
    for name in names:
        if network.root(name) in simulator.reference:
            histograms[network.root(name)] = Histogram()
            histograms[network.root(name)].add(simulator.reference[network.root(name)])
    chosen = {root: choose_exponent(h, passes.local_method, passes.percentile) for root, h in histograms.items()}
    return {name: chosen[network.root(name)] for name in network.integers if network.root(name) in chosen}


# --- search -----------------------------------------------------------------------------------------------


def _search(state: State, simulator: Simulator, reweigh, hopeless: Set, sweeps: int = 2) -> State:
    """Each exponent one finer or coarser where the outputs gain; from the outputs back to the inputs and again.

    reweigh: exponents -> weights; None keeps the weights (their biases follow the exponents).
    hopeless: what is not worth trying; this search adds to it
    """
    network = state.network
    exponents, weights = dict(state.exponents), dict(state.weights)
    fixed = {x.output for x in network.layers if x.rule is not None and isinstance(x.rule.exponent, int)}
    groups: Dict[str, List[str]] = {}
    for name in network.integers:
        if network.root(name) not in fixed and name not in network.wide:
            groups.setdefault(network.root(name), []).append(name)
    simulator = simulator.subset(_search_samples(state.network))
    # What is clipped at an output is lost for good, and more of it in samples that are not at hand.
    for name in simulator.objectives():
        root = network.root(name)
        if root in groups:
            finest = _covering(simulator, groups[root])
            hopeless.update((root, finest - finer) for finer in range(1, 4))
    values = simulator.forward(exponents, weights)
    least = simulator.noise(values, exponents)
    with Progress("searching exponents", sweeps * len(groups)) as progress:
        for _sweep in range(sweeps):
            changed = False
            for root, members in groups.items():
                for step in (-1, 1):
                    if (root, exponents[root] + step) in hopeless:
                        continue
                    tried = {**exponents, **{name: exponents[name] + step for name in members}}
                    attempt = _weights_for(network, weights, tried, members, reweigh)
                    if attempt is None:
                        continue
                    after = simulator.forward_again(values, members, tried, attempt)
                    noise = simulator.noise(after, tried)
                    if noise < least * WORTH:
                        exponents, weights, values, least = tried, attempt, after, noise
                        changed = True
                        break
                    if noise > least * HOPELESS:
                        hopeless.add((root, tried[root]))
                progress.step()
            if not changed:
                break
    return State(network, exponents, weights)


def _covering(simulator: Simulator, names: Sequence[str]) -> int:
    """The exponent that covers all that these tensors hold."""
    low = min(float(simulator.reference[name].min()) for name in names)
    high = max(float(simulator.reference[name].max()) for name in names)
    return covering_exponent(low, high)


def _weights_for(
    network: Network, weights: Dict[str, Weights], exponents: Dict[str, int], changed: Sequence[str], reweigh
) -> Optional[Dict[str, Weights]]:
    """`weights` behind tensors whose exponents changed; None where a bias no longer fits."""
    if reweigh is not None:
        return reweigh(exponents)
    result = dict(weights)
    for layer in network.layers:
        if layer.output in weights and layer.inputs[0] in changed:
            most = -network.range_of(layer.inputs[0])[0]
            made = weights[layer.output].for_input(exponents[layer.inputs[0]], most)
            if made is None:
                return None
            result[layer.output] = made
    return result


# --- fit --------------------------------------------------------------------------------------------------


def _input_rivals(state: State, simulator: Simulator, passes: Passes) -> List[State]:
    """The same with an input one finer or coarser, where that is nearly as good.

    Nothing before an input can make up for its rounding: the choice is worth a fit of its own.
    """
    network = state.network
    few = simulator.subset(_search_samples(network))
    limit = few.noise_of(state) * HOPELESS
    rivals = []
    for name in network.inputs:
        members = [other for other in state.exponents if network.root(other) == name]
        for step in (-1, 1) if members else ():
            exponents = {**state.exponents, **{other: state.exponents[other] + step for other in members}}
            rival = State(network, exponents, rounded_weights(network, exponents, simulator, passes))
            if few.noise_of(rival) < limit:
                rivals.append(rival)
    return rivals


def _choose_fit(state: State, simulator: Simulator, passes: Passes) -> Tuple[float, float]:
    """The one of `FITS` that leaves least noise on samples that it was not fitted to."""
    if len(simulator.samples) < ENOUGH_TO_PART:
        return FITS[-1]
    most, held = simulator.parted()
    return min(FITS, key=lambda how: held.noise_of(_fit(state, most, passes, how)))


def _fit(state: State, simulator: Simulator, passes: Passes, how: Tuple[float, float] = FITS[0]) -> State:
    """Weights fitted layer by layer, each to the input that the fitted layers before it give; how: one of `FITS`."""
    network, exponents = state.network, state.exponents
    weights: Dict[str, Weights] = {}
    values = simulator.inputs(exponents)
    with Progress("fitting weights", len(network.layers)) as progress:
        for layer in network.layers:
            if layer.output in state.weights:
                weights[layer.output] = fit_layer(simulator, layer, values, exponents, passes.per_channel, *how)
            simulator.step(layer, values, exponents, weights)
            progress.step()
    fitted = State(network, exponents, weights)
    return fitted if simulator.noise(values, exponents) < simulator.noise_of(state) else state
