"""Tries changes one after another, and measures the noise at the outputs at the lowest possible cost.

Layers that a change does not affect are not computed again, and a quarter of the samples is tried first, two of them
before the others in large networks: most changes already make them worse.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Dict, List, Optional, Sequence, Tuple

import numpy as np

from .passes import activations
from .simulate import Simulator

# With fewer samples than this a quarter of them is too few.
_ENOUGH = 8
# Noise on the first quarter above this share of what it was ends a trial, and on the first two samples above that.
_WORSE, _WORSE_ON_FEW = 1.002, 1.02
# Networks with more activations than this begin with two samples of the quarter, where it has so many.
_LARGE, _FIRST, _FEW = 300_000, 2, 5


@dataclass
class _Part:
    """share: of the samples; limit: of the noise up to here, as a share of what it was; above, a trial ends"""

    simulator: Simulator
    values: Dict
    noise: float
    share: float
    limit: float


@dataclass
class Trial:
    """A quantization that was tried. noise: relative to the signal; full: whether on all samples."""

    state: object
    parts: List[_Part]
    noise: float
    full: bool


class Trials:
    """state: the best quantization so far (see `passes.State`); noise: what it leaves at the outputs."""

    def __init__(self, simulator: Simulator, state):
        count = len(simulator.samples)
        self.state = state
        self._parts: List[_Part] = []
        for indices, limit in _steps(count, activations(state.network) > _LARGE):
            part = simulator.part(indices) if len(indices) < count else simulator
            values = part.forward(state.exponents, state.weights)
            noise = part.noise(values, state.exponents)
            self._parts.append(_Part(part, values, noise, len(indices) / count, limit))
        self.noise = sum(part.noise * part.share for part in self._parts)

    def simulators(self) -> List[Simulator]:
        return [part.simulator for part in self._parts]

    @property
    def largest(self) -> Simulator:
        """The simulator of most of the samples."""
        return self._parts[-1].simulator

    def attempt(
        self, state, changed: Sequence[str], change: Optional[Callable[[Simulator], Simulator]] = None
    ) -> Trial:
        """`state` tried; changed: tensors whose exponents, or whose layers' weights, are not those of `self.state`;

        change: the simulator of the state's network from the one before
        """
        parts, whole = self._parts, self.noise
        made: List[_Part] = []
        noise = before = 0.0
        for part in parts:
            simulator = part.simulator if change is None else change(part.simulator)
            values = simulator.forward_again(part.values, changed, state.exponents, state.weights)
            ours = simulator.noise(values, state.exponents)
            made.append(_Part(simulator, values, ours, part.share, part.limit))
            noise, before = noise + ours * part.share, before + part.noise * part.share
            if len(made) < len(parts) and noise > before * part.limit:
                return Trial(state, made, whole * noise / max(before, 1e-300), False)
        return Trial(state, made, noise, True)

    def take(self, trial: Trial) -> None:
        """Continue from a trial on all samples."""
        self.state, self._parts, self.noise = trial.state, trial.parts, trial.noise


def _steps(count: int, large: bool) -> List[Tuple[np.ndarray, float]]:
    """(positions of samples, limit of `_Part`) of the `count` samples that are tried one group after another."""
    everything = np.arange(count)
    if count < _ENOUGH:
        return [(everything, _WORSE)]
    quarter, rest = everything[everything % 4 == 2], everything[everything % 4 != 2]
    if large and len(quarter) >= _FEW:
        start = np.linspace(0, len(quarter) - 1, _FIRST + 2).round().astype(int)[1:-1]
        return [(quarter[start], _WORSE_ON_FEW), (np.delete(quarter, start), _WORSE), (rest, _WORSE)]
    return [(quarter, _WORSE), (rest, _WORSE)]


__all__ = ["Trial", "Trials"]
