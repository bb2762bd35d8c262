"""The pass that equalizes: channel factors, in the strength that leaves least noise; then each tensor as a whole."""

from __future__ import annotations

from typing import Callable, Dict, Optional, Tuple

import numpy as np

from ..terminal import Progress
from .calibrate import Histogram
from .equalize import Channels, ChannelStatistics, channel_ranges, choose_factors, scalable_groups, scale_network
from .fit import ENOUGH_TO_PART
from .graph import Network
from .parallel import in_order
from .passes import WORTH, Passes, State, activations, initial_exponents, rounded_weights, search_samples
from .simulate import Simulator
from .stress import Risk
from .trials import Trial, Trials

# Clipping beyond 0.85 of the largest value costs less than the finer steps gain, in most tensors; to clip nothing must
# be better by more than chance: (share of the range, the noise must become this much smaller).
CLIPS = ((0.85, 0.998), (1.0, 0.93))
# Of networks without images or series: a sample shows one value of each channel, and the next one may be larger.
VECTOR_CLIPS = ((1.5, 0.998), (1.0, 0.93), (0.85, 0.93))
STRENGTHS = (0.5, 0.75, 1.0)
# A little to both sides, then farther.
STRETCHES = ((2**-0.25, 2**0.25), (2**-0.5, 2**0.5))
# In large networks not farther where a little made the noise this much larger.
HARM = 1.02
# And not to the outputs where the noise right behind is this many times as large.
NEARBY = 1.25


def equalize(
    state: State,
    simulator: Simulator,
    histograms: Dict[str, Histogram],
    passes: Passes,
    statistics: ChannelStatistics,
) -> Tuple[State, Simulator]:
    """The strength of equalization that leaves least noise; none at all where that is best."""
    channels = statistics.channels
    few = simulator.subset(search_samples(state.network, passes))

    def scaled_by(factors: np.ndarray, by: Simulator) -> State:
        network = scale_network(state.network, channels, factors)
        scaled = by.scaled(network, channels, factors)
        exponents = initial_exponents(
            network, _rescaled(network, histograms, channels, factors, scaled), scaled, passes
        )
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
        risk = Risk(few, state) if takes_vectors(state.network) else None
        if risk is None or risk.allows(
            stretched, lambda one: one.scaled(stretched.network, channels, chosen * factors)
        ):
            chosen = chosen * factors
    if np.all(chosen == 1.0):
        return state, simulator
    network = scale_network(state.network, channels, chosen)
    simulator = simulator.scaled(network, channels, chosen)
    return State(network, best.exponents, rounded_weights(network, best.exponents, simulator, passes)), simulator


def takes_vectors(network: Network) -> bool:
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
    if takes_vectors(state.network) and len(few.samples) >= ENOUGH_TO_PART:
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

            def tried(strength: float, found=found) -> Tuple[State, Callable, float]:
                factors = choose_factors(channels, found, strength)
                candidate = scaled_by(factors, seen)

                def scale(one: Simulator) -> Simulator:
                    return one.scaled(candidate.network, channels, factors)

                return candidate, scale, scale(rest).noise_of(candidate)

            for strength, (candidate, change, noise) in zip(STRENGTHS, in_order(tried, STRENGTHS)):
                if noise < limit and (risk is None or risk.allows(candidate, change)):
                    chosen, least, limit = (clip, strength), noise, noise * WORTH
                progress.step()
    return chosen


def _stretch(state: State, few: Simulator, channels: Channels, passes: Passes) -> Tuple[State, np.ndarray]:
    """(state, factors): each tensor as a whole is made a little larger (finer, more clipped) or smaller, where that

    helps. few: a simulator of the state's network
    """
    large = activations(state.network) > passes.pains.large
    trials = Trials(few, state, nearby=NEARBY if large else np.inf)
    groups = scalable_groups(channels, state.network)
    roots = channels.find(np.arange(channels.count))
    factors = np.ones(channels.count)
    with Progress("stretching", len(groups)) as progress:
        for group in groups:
            inside = np.isin(roots, group)
            base, best, chosen = trials.state, None, 1.0

            def tried(stretch: float, base=base, inside=inside) -> Trial:
                relative = np.where(inside, stretch, 1.0)
                network = scale_network(base.network, channels, relative, model_too=False)
                changed = {b.output for a, b in zip(base.network.layers, network.layers) if a is not b}
                scaled = trials.largest.scaled(network, channels, relative)
                weights = {
                    **base.weights,
                    **rounded_weights(network, base.exponents, scaled, passes, only=changed),
                }
                return trials.attempt(
                    State(network, base.exponents, weights),
                    sorted(changed),
                    lambda one: one.scaled(network, channels, relative),
                )

            found: Dict[float, Trial] = {}
            sides = [0, 1]
            for stretches in STRETCHES:
                some = [stretches[side] for side in sides]
                found.update(zip(some, in_order(tried, some)))
                if large:
                    sides = [side for side in sides if found[stretches[side]].noise < trials.noise * HARM]
            for stretch, trial in sorted(found.items(), key=lambda item: item[0]):
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
        if name in channels.ids and np.any(factors[channels.find(channels.few_ids(name))] != 1.0):
            result[name] = Histogram()
            result[name].add(simulator.reference[name])
        else:
            result[name] = histograms[name]
    return result
