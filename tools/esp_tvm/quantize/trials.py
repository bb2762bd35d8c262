"""Tries changes one after another, and measures the noise at the outputs at the lowest possible cost.

Layers that a change does not affect are not computed again, and a quarter of the samples is tried first: most changes
already make them worse.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import Callable, Dict, Iterable, List, Mapping, Optional, Sequence

import numpy as np

from .graph import Network
from .mixed import widenable
from .passes import State, exact_weights
from .simulate import Simulator

# With fewer samples than this a quarter of them is too few, unless it has so many values at the outputs.
_ENOUGH, _ENOUGH_VALUES = 8, 2_000
# Noise on the first quarter above this share of what it was ends a trial.
_WORSE = 1.002
# By how much the exponents of other tensors are finer, which are int16 while one is judged.
_FINER = 7


@dataclass
class _Part:
    simulator: Simulator
    values: Dict
    noise: float
    share: float


@dataclass
class Trial:
    """A quantization that was tried. noise: relative to the signal; full: whether on all samples."""

    state: State
    parts: List[_Part]
    noise: float
    full: bool


class Trials:
    """state: the best quantization so far; noise: what it leaves at the outputs.

    nearby: a trial ends where the noise right behind its change is this many times as large: then hardly anything of
    what follows is computed
    worse: and where the noise that it leaves on the first quarter of the samples is this many times as large
    """

    def __init__(self, simulator: Simulator, state: State, nearby: float = np.inf, worse: float = _WORSE):
        self.nearby, self.worse = nearby, worse
        count = len(simulator.samples)
        each = sum(simulator.reference[name][0].size for name in simulator.objectives())
        first = np.arange(count) % 4 == 2
        if count < _ENOUGH and np.count_nonzero(first) * each < _ENOUGH_VALUES:
            first = np.ones(count, bool)
        self.state = state
        self._parts: List[_Part] = []
        for mask in (first, ~first):
            if mask.any():
                part = simulator.part(np.flatnonzero(mask)) if not mask.all() else simulator
                values = part.forward(state.exponents, state.weights)
                self._parts.append(_Part(part, values, part.noise(values, state.exponents), mask.mean()))
        self.noise = sum(part.noise * part.share for part in self._parts)

    def moved(
        self, state: State, changed: Sequence[str], change: Optional[Callable[[Simulator], Simulator]] = None
    ) -> Trials:
        """Trials of another state on the same samples; `changed` and `change` as of `attempt`."""
        other = copy.copy(self)
        other.state = state
        other._parts = [_again(part, state, changed, change, self.state.exponents) for part in self._parts]
        other.noise = sum(part.noise * part.share for part in other._parts)
        return other

    @property
    def kept(self) -> Trial:
        """The best so far."""
        return Trial(self.state, self._parts, self.noise, True)

    def simulators(self) -> List[Simulator]:
        return [part.simulator for part in self._parts]

    @property
    def largest(self) -> Simulator:
        """The simulator of most of the samples."""
        return self._parts[-1].simulator

    def attempt(
        self, state: State, changed: Sequence[str], change: Optional[Callable[[Simulator], Simulator]] = None
    ) -> Trial:
        """`state` tried; changed: tensors whose exponents, or whose layers' weights, are not those of `self.state`;

        change: the simulator of the state's network from the one before
        """
        parts, whole = self._parts, self.noise
        made: List[_Part] = []
        for part in parts:
            again = _again(
                part,
                state,
                changed,
                change,
                self.state.exponents,
                np.inf if made else self.nearby,
            )
            if isinstance(again, float):
                return Trial(state, made, whole * again, False)
            made.append(again)
            noise = made[-1].noise
            if len(parts) > 1 and len(made) == 1 and noise > part.noise * self.worse:
                return Trial(state, made, whole * noise / max(part.noise, 1e-300), False)
        return Trial(state, made, sum(part.noise * part.share for part in made), True)

    def take(self, trial: Trial) -> None:
        """Continue from a trial on all samples."""
        self.state, self._parts, self.noise = trial.state, trial.parts, trial.noise


def _again(
    part: _Part,
    state: State,
    changed: Sequence[str],
    change: Optional[Callable[[Simulator], Simulator]],
    before: Mapping[str, int],
    most: float = np.inf,
) -> _Part | float:
    """What `state` makes of a part, as in `Trials.attempt`; or how many times as large the noise right behind the
    change is, where that is more than `most`. before: exponents of the part's values"""
    simulator, worse = part.simulator if change is None else change(part.simulator), 0.0

    def enough(values: Dict, names: List[str]) -> bool:
        nonlocal worse
        if names and set(names) <= simulator.reference.keys():
            least = max(part.simulator.noise(part.values, before, names), 1e-300)
            worse = simulator.noise(values, state.exponents, names) / least
        return worse > most

    looks = None if np.isinf(most) else enough
    values = simulator.forward_again(part.values, changed, state.exponents, state.weights, looks)
    if values is None:
        return worse
    return _Part(simulator, values, simulator.noise(values, state.exponents), part.share)


def isolated_trials(network: Network, exponents: Dict[str, int], few: Simulator, scope: set) -> Trials:
    """Trials of `network` with exact weights, and as many tensors as possible in int16, except those of `scope`: the
    outputs then show what rounding these does, which chance would hide among the rounding of all."""
    alone = _isolated(network, exponents, scope)
    return Trials(few.shifted(alone.network, {}), alone)


class Isolation:
    """Makes the `isolated_trials` of many scopes: layers before a scope are computed once for all of them, and again
    only where the network changes."""

    def __init__(self, network: Network, exponents: Dict[str, int], few: Simulator):
        self.network, self.exponents = network, exponents
        self._trials = isolated_trials(network, exponents, few, set())

    def trials(self, scope: set) -> Trials:
        """The `isolated_trials` of these tensors."""
        alone = _isolated(self.network, self.exponents, scope)
        return self._moved(alone, (), lambda one: one)

    def follow(
        self,
        network: Network,
        exponents: Dict[str, int],
        changed: Iterable[str],
        change: Callable[[Simulator], Simulator],
    ) -> None:
        """Continue with another network; `changed`, `change` as of `Trials.attempt`."""
        self.network, self.exponents = network, exponents
        self._trials = self._moved(_isolated(network, exponents, set()), changed, change)

    def _moved(self, alone: State, changed: Iterable[str], change: Callable[[Simulator], Simulator]) -> Trials:
        before = self._trials.state
        other = before.network.wide ^ alone.network.wide
        other |= {name for name, exponent in alone.exponents.items() if exponent != before.exponents[name]}
        return self._trials.moved(
            alone, sorted(other.union(changed)), lambda one: change(one).shifted(alone.network, {})
        )


def _isolated(network: Network, exponents: Dict[str, int], scope: set) -> State:
    """The quantization that `isolated_trials` try things in."""
    groups = list(widenable(network).values())
    # An input that is centred has no kernel for int16, but its rounding would hide what follows. A table of 256 values
    # has none for it.
    looked_up = {name for layer in network.layers if layer.kind == "lookup" for name in layer.inputs}
    inputs = [[name for name in network.integers if network.root(name) == one] for one in network.inputs]
    groups += [members for members in inputs if looked_up.isdisjoint(members)]
    wide = {name for members in groups for name in (members if scope.isdisjoint(members) else ())} - network.wide
    finer = {name: exponent - _FINER * (name in wide) for name, exponent in exponents.items()}
    alone = replace(network, wide=network.wide | wide)
    return State(alone, finer, exact_weights(alone, finer))


__all__ = ["Isolation", "Trial", "Trials", "isolated_trials"]
