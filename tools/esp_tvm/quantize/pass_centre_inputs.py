"""The pass that centers inputs: one that is never negative, or lopsided, is stored minus the constant that leaves least
noise."""

from __future__ import annotations

from typing import Dict, Optional, Tuple

import numpy as np

from ..terminal import Progress
from .budget import UNASKED, Purse
from .centre import Chain, input_chains, input_windows, shift_network
from .graph import Network
from .mixed import widenable
from .parallel import in_order
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
from .trials import Trial, isolated_trials

# How many finer and coarser exponents than the one at hand are tried, that one included.
FINER, COARSER = 3, 4
# Whoever fills an input has to mind its constant: it must lower the noise that the input's rounding makes to this
# share; to the other where int16, which has no constant, costs next to nothing.
WORTH_A_CONSTANT, WORTH_INT8 = 0.9, 0.01
# Of the noise of all roundings to int8 together: less than that does not count.
FLOOR = 0.1


def centre_inputs(state: State, simulator: Simulator, passes: Passes) -> Tuple[State, Simulator]:
    """Lower each input by the constant that leaves least noise, where one helps.

    In these trials only the input is rounded to int8 (`isolated_trials`).
    """
    if passes.int16 or passes.budget:
        return state, simulator  # An input may become int16, which needs no constant.
    found = input_chains(state.network)
    with Progress("centering inputs", len(found)) as progress:
        for chain in found:
            chosen = _best(state, simulator, chain, passes)
            if chosen is not None:
                constant, changed = chosen
                network, simulator = _lowered(state.network, simulator, chain, constant, model_too=True)
                exponents = {**state.exponents, **changed}
                state = State(network, exponents, rounded_weights(network, exponents, simulator, passes))
            progress.step()
    return state, simulator


def _best(state: State, simulator: Simulator, chain: Chain, passes: Passes) -> Optional[Tuple[float, Dict[str, int]]]:
    """(constant, exponents that change) for an input; None where it has no constant."""
    name, network = chain.tensors[0], state.network
    few = simulator.subset(search_samples(network, passes))
    trials = isolated_trials(network, state.exponents, few, set(chain.lowered))
    plain = trials.state
    limit = trials.noise * (WORTH_INT8 if _may_be_int16(network, name, passes) else WORTH)
    floor = FLOOR * simulator.noise_of(state)
    least, chosen = _typical(trials.kept, floor), None
    # Other vectors may hold more than those at hand: nothing is clipped for finer steps then.
    clips = passes.search and not takes_vectors(network)
    present = state.exponents[name]
    windows = input_windows(simulator.reference[name], [present - step for step in range(FINER)], clips)
    # Those without a constant first: the search will try these exponents. Whole numbers need no finer steps.
    windows = [(0.0, present + step) for step in range(1, COARSER)] + sorted(windows, key=lambda one: one[0] != 0.0)

    def tried(window: Tuple[float, int]) -> Tuple[Optional[float], Dict[str, int]]:
        """(noise of samples, None where it is too much; exponents that change)."""
        constant, exponent = window
        shifted, other = _lowered(plain.network, trials.largest, chain, constant)
        changed = _exponents_of(shifted, other, chain, exponent, constant, passes)
        exponents = {**plain.exponents, **changed}
        weights = {**plain.weights, **exact_weights(shifted, exponents, chain.touched)}
        trial = trials.attempt(
            State(shifted, exponents, weights),
            sorted(chain.touched),
            lambda one: _lowered(plain.network, one, chain, constant)[1],
        )
        enough = trial.full and trial.noise <= (limit if constant else trials.noise)
        return _typical(trial, floor) if enough else None, changed

    for (constant, _), (noise, changed) in zip(windows, in_order(tried, windows)):
        if noise is None:
            continue
        if not constant:
            least = min(least, noise)
        elif noise < least * (WORTH if chosen else WORTH_A_CONSTANT):
            least, chosen = noise, (constant, changed)
    return chosen


def _typical(trial: Trial, floor: float) -> float:
    """The geometric mean over the samples of their noise beside their signal: a few samples of another kind (silence)
    neither decide nor are left out."""
    noises = [_noises(part.simulator, part.values, trial.state.exponents) for part in trial.parts]
    return float(np.exp(np.mean(np.log(np.concatenate(noises) + max(floor, 1e-30)))))


def _noises(simulator: Simulator, values: Dict, exponents: Dict[str, int]) -> np.ndarray:
    """[N]: the noise of each sample relative to its signal, added up over the objectives."""
    total = np.zeros(len(simulator.samples))
    for name in simulator.objectives():
        reference = simulator.reference[name].reshape(len(total), -1).astype(np.float64)
        difference = simulator.real(name, values, exponents).reshape(reference.shape) - reference
        total += np.square(difference).sum(axis=1) / np.maximum(np.square(reference).sum(axis=1), 1e-30)
    return total


def _lowered(
    network: Network, simulator: Simulator, chain: Chain, constant: float, model_too: bool = False
) -> Tuple[Network, Simulator]:
    """Both with an input lowered by a constant; as they are for 0. model_too: see `shift_network`"""
    if not constant:
        return network, simulator
    shifted, lowered = shift_network(network, chain, constant, model_too)
    return shifted, simulator.shifted(shifted, lowered)


def _exponents_of(
    network: Network, simulator: Simulator, chain: Chain, exponent: int, constant: float, passes: Passes
) -> Dict[str, int]:
    """The input's exponent for all that share it, and where a constant was taken from other tensors theirs by what they
    hold then."""
    name = chain.tensors[0]
    others = {network.root(one) for one in chain.lowered} - {name} if constant else ()
    return shared_exponents(network, {name: exponent, **held_exponents(others, simulator, passes)})


def _may_be_int16(network: Network, name: str, passes: Passes) -> bool:
    """Whether int16 for an input costs next to nothing."""
    members = widenable(network).get(name)
    unasked = passes.int16_outputs and passes.search and members is not None
    return unasked and Purse(network, UNASKED, True).allows(network.wide, members)


__all__ = ["centre_inputs"]
