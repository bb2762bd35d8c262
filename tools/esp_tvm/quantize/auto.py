"""The passes that keep a model's accuracy, in order, each judged by the noise it leaves at the network's outputs.

1. equalization: channel factors, in the strength that leaves least noise
2. centering: what is never negative is stored minus a constant, where that helps
3. search: each tensor's exponent one finer or coarser where that helps the outputs
4. fit: weights and biases that make up for rounding and for each other; then the search once more, and the last fit
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Callable, Dict, List, Optional, Sequence, Set, Tuple

import numpy as np

from ..errors import UserError
from ..naming import shown
from ..terminal import Progress
from .calibrate import Histogram, choose_exponent, choose_exponents, covering_exponent
from .centre import candidates, chains, shift_network
from .equalize import Channels, ChannelStatistics, channel_ranges, choose_factors, scalable_groups, scale_network
from .fit import ENOUGH_TO_PART, Fit
from .graph import Network, describe_layer
from .mixed import choose_wide, named, wide_outputs, widen, widenable
from .simulate import Simulator, decibels
from .stress import Risk
from .trials import Trials
from .walk import Walk
from .weights import Weights, quantize_weights, real_weights

# Clipping beyond 0.85 of the largest value costs less than the finer steps gain, in most tensors; to clip nothing must
# be better by more than chance: (share of the range, the noise must become this much smaller).
CLIPS = ((0.85, 0.998), (1.0, 0.93))
# Of networks without images or series: a sample shows one value of each channel, and the next one may be larger.
VECTOR_CLIPS = ((1.5, 0.998), (1.0, 0.93), (0.85, 0.93))
STRENGTHS = (0.5, 0.75, 1.0)
STRETCHES = (2**-0.5, 2**-0.25, 2**0.25, 2**0.5)
# A change must lower the noise by this share: less is chance, and would only fit the samples at hand.
WORTH = 0.998
# Things are tried on as many samples as make this many activations, within bounds; weights are fitted to all.
SEARCH_ACTIVATIONS, SEARCH_SAMPLES = 5_000_000, (32, 256)
# What makes the noise this much larger once is not tried again.
HOPELESS = 1.15


@dataclass(frozen=True)
class Effort:
    """samples: that things are tried on, as a share of the usual; sweeps: of the search; large: networks with more
    activations than this are fitted once, without the samples held back; smaller ones also with other exponents of the
    input, once more after another search, and last to all samples"""

    samples: float
    sweeps: int
    large: float


EFFORTS = {"quick": Effort(0.5, 1, 0), "default": Effort(1.0, 2, 300_000), "thorough": Effort(2.0, 3, np.inf)}


@dataclass
class Passes:
    """Which passes run. per_channel: weight exponents per output channel; method, percentile: see `calibrate`.

    int16_outputs: outputs of int16 where that costs next to nothing (with method auto)
    int16: tensors or layers of int16, by name, or auto: as many as gain int16_gain dB, see `mixed`
    effort: one of `EFFORTS`
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
    samples: List[Dict[str, np.ndarray]],
    statistics: ChannelStatistics,
) -> State:
    """Quantize `network`; histograms, statistics: of all samples; simulator: of some of them;
    samples: those weights are fitted to, each {input: array}."""
    exponents = _initial(network, histograms, simulator, passes)
    state = State(network, exponents, rounded_weights(network, exponents, simulator, passes))
    effects = [(f"{passes.local_method} exponents, rounded weights", simulator.noise_of(state))]
    if passes.equalize:
        state, simulator = _equalize(state, simulator, histograms, passes, statistics)
        effects.append(("equalization", simulator.noise_of(state)))
    if passes.centre:
        state, simulator = _centre(state, simulator, passes)
        effects.append(("centering", simulator.noise_of(state)))
    if passes.int16_outputs and passes.search:
        # Before the search: a rounding that goes away says nothing of what comes before it.
        for name in wide_outputs(state.network, simulator.objectives()):
            state, simulator = widen(state, simulator, name, [name]) or (state, simulator)
        if state.network.wide:
            effects.append(("int16 outputs", simulator.noise_of(state)))
    hopeless: Set[Tuple[str, int]] = set()
    if passes.search:

        def reweigh(exponents: Dict[str, int], only: Set[str]) -> Dict[str, Weights]:
            return rounded_weights(state.network, exponents, simulator, passes, only)

        searched = _search(state, simulator, passes, reweigh, hopeless, passes.pains.sweeps)
        # It looked at some of the samples only.
        state = min((state, searched), key=simulator.noise_of)
        effects.append(("search of exponents", simulator.noise_of(state)))
    if passes.fit:
        again = passes.search and activations(network) <= passes.pains.large
        rivals = _input_rivals(state, simulator, passes) if again else []
        fitted = [_fit(one, simulator, passes, samples) for one in (state, *rivals)]
        state = min(fitted, key=simulator.noise_of)
        effects.append(("fit of weights and biases", simulator.noise_of(state)))
        if again:
            searched = _search(state, simulator, passes, None, hopeless, 1)
            if searched.exponents != state.exponents:
                searched = _fit(searched, simulator, passes, samples)
                if simulator.noise_of(searched) < simulator.noise_of(state):
                    state = searched
            effects.append(("search and fit once more", simulator.noise_of(state)))
    if passes.int16:
        state, simulator = _mix(state, simulator, passes, samples)
        effects.append((f"int16 for {len(state.network.wide)} tensors", simulator.noise_of(state)))
    state.effects = [(what, decibels(noise)) for what, noise in effects]
    return state


def _mix(
    state: State, simulator: Simulator, passes: Passes, samples: List[Dict[str, np.ndarray]]
) -> Tuple[State, Simulator]:
    """`state` with some tensors in int16, its weights fitted to them."""

    def fit(one: State, its_simulator: Simulator) -> State:
        return _fit(one, its_simulator, passes, samples) if passes.fit else one

    if passes.int16 == "auto":
        return choose_wide(state, simulator, _search_samples(state.network, passes), passes.int16_gain, fit)
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


def activations(network: Network) -> int:
    """Values of all tensors of one sample."""
    return sum(int(np.prod(network.shapes.get(layer.output, ()))) for layer in network.layers)


def _search_samples(network: Network, passes: Passes) -> int:
    """How many samples to try things on."""
    usual = np.clip(SEARCH_ACTIVATIONS // max(activations(network), 1), *SEARCH_SAMPLES)
    return max(int(usual * passes.pains.samples), 4)


# --- equalization -----------------------------------------------------------------------------------------


def _equalize(
    state: State,
    simulator: Simulator,
    histograms: Dict[str, Histogram],
    passes: Passes,
    statistics: ChannelStatistics,
) -> Tuple[State, Simulator]:
    """The strength of equalization that leaves least noise; none at all where that is best."""
    channels = statistics.channels
    few = simulator.subset(_search_samples(state.network, passes))

    def scaled_by(factors: np.ndarray, by: Simulator) -> State:
        network = scale_network(state.network, channels, factors)
        scaled = by.scaled(network, channels, factors)
        exponents = _initial(network, _rescaled(network, histograms, channels, factors, scaled), scaled, passes)
        return State(network, exponents, rounded_weights(network, exponents, scaled, passes))

    how = _choose_strength(state, few, statistics, scaled_by)
    best, chosen = state, np.ones(channels.count)
    if how is not None:
        clip, strength = how
        chosen = choose_factors(channels, channel_ranges(channels, statistics.peaks, clip), strength)
        best = scaled_by(chosen, few)
    if passes.search:
        scaled = few.scaled(best.network, channels, chosen)
        stretched, factors = _stretch(best, scaled, channels, passes)
        risk = Risk(few, state) if _takes_vectors(state.network) else None
        if risk is None or risk.allows(
            stretched, lambda one: one.scaled(stretched.network, channels, chosen * factors)
        ):
            chosen = chosen * factors
    if np.all(chosen == 1.0):
        return state, simulator
    network = scale_network(state.network, channels, chosen)
    simulator = simulator.scaled(network, channels, chosen)
    return State(network, best.exponents, rounded_weights(network, best.exponents, simulator, passes)), simulator


def _takes_vectors(network: Network) -> bool:
    """Whether no layer reads many values of a channel at once."""
    return not any(layer.kind in ("conv", "max_pool", "average_pool", "real") for layer in network.layers)


def _choose_strength(
    state: State, few: Simulator, statistics: ChannelStatistics, scaled_by: Callable[[np.ndarray, Simulator], State]
) -> Optional[Tuple[float, float]]:
    """(share of the ranges, strength) of equalization that leaves least noise, or None.

    Of vectors, what every other sample says of the ranges is judged on the rest of them, which may hold more, and
    nothing may be lost on stressed samples.
    """
    channels, peaks, clips = statistics.channels, statistics.peaks, CLIPS
    seen, rest, risk = few, few, None
    if _takes_vectors(state.network) and len(few.samples) >= ENOUGH_TO_PART:
        seen, rest = (few.part(np.arange(len(few.samples))[i::2]) for i in (0, 1))
        known = ChannelStatistics(state.network, channels)
        for name, values in seen.reference.items():
            for value in values:
                known.add(name, value)
        peaks, clips, risk = known.peaks, VECTOR_CLIPS, Risk(rest, state)
    chosen, least = None, rest.noise_of(state)
    with Progress("equalizing", len(STRENGTHS) * len(clips)) as progress:
        for clip, worth in clips:
            found, limit = channel_ranges(channels, peaks, clip), least * worth
            for strength in STRENGTHS:
                factors = choose_factors(channels, found, strength)
                candidate = scaled_by(factors, seen)

                def scale(one: Simulator, network=candidate.network, factors=factors) -> Simulator:
                    return one.scaled(network, channels, factors)

                noise = scale(rest).noise_of(candidate)
                if noise < limit and (risk is None or risk.allows(candidate, scale)):
                    chosen, least, limit = (clip, strength), noise, noise * WORTH
                progress.step()
    return chosen


def _stretch(state: State, few: Simulator, channels: Channels, passes: Passes) -> Tuple[State, np.ndarray]:
    """(state, factors): each tensor as a whole is made a little larger (finer, more clipped) or smaller, where that

    helps. few: a simulator of the state's network
    """
    trials = Trials(few, state)
    groups = scalable_groups(channels, state.network)
    roots = channels.find(np.arange(channels.count))
    factors = np.ones(channels.count)
    with Progress("stretching", len(groups)) as progress:
        for group in groups:
            inside = np.isin(roots, group)
            base, best, chosen = trials.state, None, 1.0
            for stretch in STRETCHES:
                relative = np.where(inside, stretch, 1.0)
                network = scale_network(base.network, channels, relative, model_too=False)
                changed = {b.output for a, b in zip(base.network.layers, network.layers) if a is not b}
                scaled = trials.largest.scaled(network, channels, relative)
                weights = {
                    **base.weights,
                    **rounded_weights(network, base.exponents, scaled, passes, only=changed),
                }
                trial = trials.attempt(
                    State(network, base.exponents, weights),
                    sorted(changed),
                    lambda one, network=network, relative=relative: one.scaled(network, channels, relative),
                )
                if trial.full and trial.noise < (best.noise if best else trials.noise) * WORTH:
                    best, chosen = trial, stretch
            if best is not None:
                trials.take(best)
                factors[inside] *= chosen
            progress.step()
    return trials.state, factors


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
    trials = Trials(simulator.subset(_search_samples(state.network, passes)), state)
    found = chains(state.network)
    with Progress("centering", len(found)) as progress:
        for chain in found:
            best, base = None, trials.state
            for constant in candidates(chain, trials.largest.reference):
                network, names = shift_network(base.network, chain, constant)

                def lower(one: Simulator, network=network, names=names, constant=constant) -> Simulator:
                    return one.shifted(network, names, constant)

                moved = lower(trials.largest)
                exponents = {**base.exponents, **_exponents_of(network, moved, names, passes)}
                touched = {chain.shifted.output, *names, *(reader.output for reader in chain.readers)}
                weights = {**base.weights, **rounded_weights(network, exponents, moved, passes, only=touched)}
                trial = trials.attempt(State(network, exponents, weights), sorted(touched), lower)
                if trial.full and trial.noise < (best[0].noise if best else trials.noise) * WORTH:
                    best = trial, names, constant
            if best is not None:
                trial, names, constant = best
                trials.take(trial)
                simulator = simulator.shifted(trial.state.network, names, constant)
            progress.step()
    return trials.state, simulator


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


def _search(state: State, simulator: Simulator, passes: Passes, reweigh, hopeless: Set, sweeps: int) -> State:
    """Each exponent one finer or coarser where the outputs gain; from the outputs back to the inputs and again.

    reweigh: (exponents, outputs of layers) -> their weights; None keeps them (their biases follow the exponents).
    hopeless: what is not worth trying; this search adds to it
    """
    network = state.network
    fixed = {x.output for x in network.layers if x.rule is not None and isinstance(x.rule.exponent, int)}
    groups: Dict[str, List[str]] = {}
    for name in network.integers:
        if network.root(name) not in fixed and name not in network.wide:
            groups.setdefault(network.root(name), []).append(name)
    simulator = simulator.subset(_search_samples(state.network, passes))
    # What is clipped at an output is lost for good, and more of it in samples that are not at hand.
    for name in simulator.objectives():
        root = network.root(name)
        if root in groups:
            finest = _covering(simulator, groups[root])
            hopeless.update((root, finest - finer) for finer in range(1, 4))
    trials = Trials(simulator, State(network, dict(state.exponents), dict(state.weights)))
    with Progress("searching exponents", sweeps * len(groups)) as progress:
        for _sweep in range(sweeps):
            changed = False
            for root, members in groups.items():
                for step in (-1, 1):
                    exponents = trials.state.exponents
                    if (root, exponents[root] + step) in hopeless:
                        continue
                    tried = {**exponents, **{name: exponents[name] + step for name in members}}
                    attempt = _weights_for(network, trials.state.weights, tried, members, reweigh)
                    if attempt is None:
                        continue
                    trial = trials.attempt(State(network, tried, attempt), members)
                    if trial.full and trial.noise < trials.noise * WORTH:
                        trials.take(trial)
                        changed = True
                        break
                    if trial.noise > trials.noise * HOPELESS:
                        hopeless.add((root, tried[root]))
                progress.step()
            if not changed:
                break
    return trials.state


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
        behind = {layer.output for layer in network.layers if layer.inputs and layer.inputs[0] in changed}
        return {**weights, **reweigh(exponents, behind)}
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
    few = simulator.subset(_search_samples(network, passes))
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


def _fit(state: State, simulator: Simulator, passes: Passes, samples: List[Dict[str, np.ndarray]]) -> State:
    """Weights fitted to `samples` layer by layer, each to the input that the fitted layers before it give."""
    network = state.network
    fit = Fit(Walk(simulator, samples, state.exponents), passes.per_channel)
    layers = simulator.judged()
    last = max((i for i, layer in enumerate(network.layers) if layer in layers), default=-1)
    with Progress("fitting weights", last + 1) as progress:
        for index, layer in enumerate(network.layers[: last + 1]):
            if layer.output in state.weights:
                fit.layer(layer)
            if index < last:
                fit.step(index)
            progress.step()
    fitted = State(network, state.exponents, fit.weights)
    return fitted if simulator.noise_of(fitted) < simulator.noise_of(state) else state
