"""The pass that centers: what is never negative is stored minus the constant that leaves least noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Iterable, Iterator, List, Mapping, Optional, Tuple

import numpy as np

from ..terminal import Progress
from .centre import Chain, candidates, chains, shift_network
from .equalize import PINNED, Channels, scale_network
from .graph import Network
from .mixed import widenable
from .pass_equalize import takes_vectors
from .passes import (
    WORTH,
    Passes,
    State,
    exact_weights,
    held_exponents,
    rounded_weights,
    search_samples,
    shared_exponents,
)
from .simulate import Simulator
from .trials import Trials

# More samples say no more of one tensor.
MOST_SAMPLES = 32
# By how much the exponents of other tensors are finer, and steps that 128 may stand for.
FINER, NEARLY = 7, 160
# Equalization fitted ranges to 127 steps, and clips some: with 255 steps other shares of the largest value are worth
# trying.
CLIPS = (0.85, 1.0)


@dataclass
class _Way:
    """A chain whose channels are first stretched by `factors` (None: not), then lowered by `constant`."""

    chain: Chain
    constant: float
    factors: Optional[np.ndarray] = None

    def apply(self, network: Network, channels: Channels) -> Tuple[Network, Network, Dict[str, float]]:
        """(the network stretched, lowered too, {tensor: by how much})."""
        stretched = network
        if self.factors is not None:
            stretched = scale_network(network, channels, self.factors)
        return (stretched, *shift_network(stretched, self.chain, self.constant))


def centre(state: State, simulator: Simulator, passes: Passes, channels: Channels) -> Tuple[State, Simulator]:
    """Lower the tensors of each chain by the constant that leaves least noise, where one helps.

    In these trials weights are exact, and tensors that have nothing to do with the chain are int16: the outputs then
    show what the chain's rounding does to them, which chance would hide among the rounding of all.
    channels: of the network, before any was lowered
    """
    few = simulator.subset(min(search_samples(state.network, passes), MOST_SAMPLES))
    network, exponents = state.network, state.exponents
    found = chains(network)
    # Other vectors may hold more than those at hand: nothing is clipped for finer steps then.
    daring = not takes_vectors(network)
    total: Dict[str, float] = {}
    fixed = {int(channels.find(np.array(PINNED)))}
    with Progress("centering", len(found)) as progress:
        for ways in found:
            inside = _groups(channels, ways[0].tensors[0])
            scope = {name for way in ways for name in way.lowered}
            scope |= {name for name in network.integers if name in channels.ids and inside & _groups(channels, name)}
            trials = isolated_trials(network, exponents, few, scope)
            stretched = inside if daring and not inside & fixed else set()
            tried = _ways(ways, few.reference, total, channels, stretched)
            best = _best(trials, tried, channels, passes, daring)
            if best is not None:
                way, changed = best
                step = _Step(way, network, channels)
                network, exponents = step.network, {**exponents, **changed}
                few, simulator = step.change(few), step.change(simulator)
                total.update((name, total.get(name, 0.0) + more) for name, more in step.lowered.items())
                fixed |= inside
            progress.step()
    if network is state.network:
        return state, simulator
    return State(network, exponents, rounded_weights(network, exponents, simulator, passes)), simulator


def isolated_trials(network: Network, exponents: Dict[str, int], few: Simulator, scope: set) -> Trials:
    """Trials of `network` with exact weights, and as many tensors as possible in int16, except those of `scope`."""
    wide = {
        name
        for members in widenable(network).values()
        for name in (members if scope.isdisjoint(members) else ())
        if name not in network.wide
    }
    finer = {name: exponent - FINER * (name in wide) for name, exponent in exponents.items()}
    alone = Network(**{**vars(network), "wide": network.wide | wide})
    return Trials(few.shifted(alone, {}), State(alone, finer, exact_weights(alone, finer)))


def _best(
    trials: Trials, ways: Iterable[_Way], channels: Channels, passes: Passes, daring: bool
) -> Optional[Tuple[_Way, Dict[str, int]]]:
    """The way, and the exponents that change with it, that leave least noise; None where none helps."""
    plain, limit, best = trials.state, trials.noise * WORTH, None
    for way in ways:
        step = _Step(way, plain.network, channels)
        for changed in _exponents_of(step, trials.largest, passes, daring):
            exponents = {**plain.exponents, **changed}
            weights = {**plain.weights, **exact_weights(step.network, exponents, step.layers)}
            trial = trials.attempt(State(step.network, exponents, weights), sorted(step.touched), step.change)
            if trial.full and trial.noise < limit:
                best, limit = (way, changed), trial.noise * WORTH
    return best


class _Step:
    """What a way does to a network: network: the new one; lowered: {tensor: by how much}; changed: the integer tensors
    with other values; layers: those whose weights change, or the exponent of what they read; touched: all results to
    compute anew."""

    def __init__(self, way: _Way, network: Network, channels: Channels):
        self.way, self._channels = way, channels
        self._stretched, self.network, self.lowered = way.apply(network, channels)
        names = [name for name in network.integers if self.lowered.get(name)]
        if way.factors is not None:
            for name in network.integers:
                if name in channels.ids and np.any(way.factors[channels.find(channels.ids[name])] != 1.0):
                    names.append(name)
        self.changed = list(dict.fromkeys(names))
        layers = {b.output for a, b in zip(network.layers, self._stretched.layers) if a is not b} | way.chain.touched
        self.touched = layers | set(self.changed)
        self.layers = layers | {x.output for x in network.layers if x.inputs and x.inputs[0] in self.changed}

    def change(self, simulator: Simulator) -> Simulator:
        """A simulator of the new network from one of the network before."""
        if self.way.factors is not None:
            simulator = simulator.scaled(self._stretched, self._channels, self.way.factors)
        return simulator.shifted(self.network, self.lowered)


def _ways(
    ways: List[Chain],
    reference: Mapping[str, np.ndarray],
    lowered: Mapping[str, float],
    channels: Channels,
    inside: set,
) -> Iterator[_Way]:
    """What is tried: constants, and with them factors of the channels of the groups `inside`."""
    for chain in ways:
        for constant in candidates(chain, reference, lowered):
            yield _Way(chain, constant)
        name = chain.tensors[0]
        reach = float(reference[name].max()) if inside and name in reference else 0.0
        roots = channels.find(np.arange(channels.count))
        for clip in CLIPS if reach > 0.0 else ():
            exponent = int(np.round(np.log2(reach * clip / 255.0)))
            factor = 255.0 * 2.0**exponent / (reach * clip)
            yield _Way(chain, 128.0 * 2.0**exponent, np.where(np.isin(roots, sorted(inside)), factor, 1.0))


def _groups(channels: Channels, name: str) -> set:
    return set(np.unique(channels.find(channels.ids[name])).tolist())


def _exponents_of(step: _Step, simulator: Simulator, passes: Passes, daring: bool) -> List[Dict[str, int]]:
    """Exponents to try for the tensors that changed (with all that share them): by what they hold, and where `daring`
    for those of the chain the one of which its constant is 128 steps.

    simulator: of the network before
    """
    network, simulator = step.network, step.change(simulator)
    roots = {network.root(name) for name in step.changed} & set(simulator.reference)
    held = held_exponents(roots, simulator, passes)
    finest = int(np.log2(step.way.constant)) - 7
    fine = dict(held)
    for root in {network.root(name) for name in step.way.chain.tensors} & set(held):
        # Where 128 steps cover nearly all that is above 0.
        if daring and float(simulator.reference[root].max()) < NEARLY * 2.0**finest:
            fine[root] = finest
    found: List[Dict[str, int]] = []
    for chosen in (fine,) if step.way.factors is not None else (held, fine):
        exponents = shared_exponents(network, chosen)
        found += [exponents] if exponents not in found else []
    return found
