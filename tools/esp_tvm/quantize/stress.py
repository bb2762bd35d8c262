"""Samples as they may be elsewhere: brighter, darker, of more contrast, within the range of the calibration samples.

What a step of quantization gains on the calibration samples it may lose on others: a channel that was scaled up to fill
the range of int8 is clipped as soon as it holds more. Steps that take such a risk are also judged on these samples.
"""

from __future__ import annotations

import copy
from typing import List, Tuple

import numpy as np

from .simulate import Simulator

# Added to a sample, as a share of the range; and the factor of its distance from the mean.
SHIFTS: Tuple[Tuple[float, float], ...] = ((0.25, 1.0), (-0.25, 1.0), (0.0, 1.75))
# The noise on these samples may become at most this much larger.
RISK = 1.0
# Samples that this is measured on, a third after each shift.
MOST = 96


def stressed(simulator: Simulator, shift: float, factor: float) -> Simulator:
    """A simulator of the same network on its samples after one of `SHIFTS`; inputs of whole numbers stay."""
    samples = [dict(sample) for sample in simulator.samples]
    for name in simulator.network.inputs:
        values = np.stack([sample[name] for sample in samples])
        low, high, mean = float(values.min()), float(values.max()), float(values.mean())
        moved = np.clip((values - mean) * factor + mean + shift * (high - low), low, high)
        for sample, value in zip(samples, moved.astype(values.dtype)):
            sample[name] = value
    other = copy.copy(simulator)
    other.hold(samples)
    return other


class Risk:
    """Says whether a change is worth its risk: the noise on stressed samples beside what it was before all changes."""

    def __init__(self, simulator: Simulator, state):
        """simulator: of `state` (see `passes.State`), before all changes."""
        self._limits: List[Tuple[Simulator, float]] = []
        count = min(len(simulator.samples), MOST)
        for index, shift in enumerate(SHIFTS):
            part = simulator.part(np.linspace(0, len(simulator.samples) - 1, count).round().astype(int)[index::3])
            if not part.samples:
                continue
            other = stressed(part, *shift)
            noise = other.noise_of(state)
            # Where the float model itself has no finite result, nothing is said.
            if np.isfinite(noise):
                self._limits.append((other, noise * RISK))

    def allows(self, state, change) -> bool:
        """change: from a simulator of the first network to one of the state's network."""
        return all(change(simulator).noise_of(state) <= most for simulator, most in self._limits)


__all__ = ["Risk", "stressed"]
