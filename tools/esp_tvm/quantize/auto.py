"""The passes that keep a model's accuracy, in order, each judged by the noise it leaves at the network's outputs.

1. equalization: channel factors, in the strength that leaves least noise
2. centering: inputs, and what is never negative, are stored minus a constant, where that helps
3. search: each tensor's exponent one finer or coarser where that helps the outputs
4. fit: weights and biases that make up for rounding and for each other
5. in small networks more centering, by what fitted weights leave of its budget, channel factors, by the rounding of the
   weights, and the search, once more, each with another fit
"""

from __future__ import annotations

from typing import Callable, Dict, List, Set, Tuple

import numpy as np

from ..errors import UserError
from ..naming import shown
from .budget import UNASKED, read_budget, spend, widen_outputs
from .calibrate import Histogram
from .centre import chains
from .equalize import ChannelStatistics
from .graph import Network
from .mixed import choose_wide, far_off, named, widen, widenable, with_sources
from .pass_centre import centre, centre_more
from .pass_centre_inputs import centre_inputs
from .pass_equalize import equalize
from .pass_fit import best_fit, fit_weights, fitted_anew
from .pass_grid import refine_factors
from .pass_search import search_exponents
from .passes import Passes, State, activations, initial_exponents, rounded_weights, search_samples
from .simulate import Simulator, decibels
from .weights import Weights


def optimize(
    network: Network,
    histograms: Dict[str, Histogram],
    simulator: Simulator,
    passes: Passes,
    samples: List[Dict[str, np.ndarray]],
    statistics: ChannelStatistics,
) -> Tuple[State, Simulator]:
    """(`network` quantized, a simulator of it); histograms, statistics: of all samples; simulator: of some of them;
    samples: those weights are fitted to, each {input: array}."""
    exponents = initial_exponents(network, histograms, simulator, passes)
    state = State(network, exponents, rounded_weights(network, exponents, simulator, passes))
    effects = [(f"{passes.local_method} exponents, rounded weights", simulator.noise_of(state))]
    if passes.equalize:
        state, simulator = equalize(state, simulator, histograms, passes, statistics)
        effects.append(("equalization", simulator.noise_of(state)))
    if passes.centre:
        state, simulator = centre_inputs(state, simulator, passes)
        state, simulator = centre(state, simulator, passes, statistics.channels)
        effects.append(("centering", simulator.noise_of(state)))
    if passes.int16_outputs and passes.search:
        # Before the search: a rounding that goes away says nothing of what comes before it.
        state, simulator = widen_outputs(state, simulator)
        few = search_samples(state.network, passes)
        state, simulator = spend(state, simulator, few, UNASKED, True)
        if state.network.wide:
            effects.append(("int16 at almost no cost", simulator.noise_of(state)))
    hopeless: Set[Tuple[str, int]] = set()
    if passes.search:

        def reweigh(exponents: Dict[str, int], only: Set[str]) -> Dict[str, Weights]:
            return rounded_weights(state.network, exponents, simulator, passes, only)

        searched = search_exponents(state, simulator, passes, reweigh, hopeless, passes.pains.sweeps)
        # It looked at some of the samples only.
        state = min((state, searched), key=simulator.noise_of)
        effects.append(("search of exponents", simulator.noise_of(state)))
    if passes.fit:
        again = passes.search and activations(network) <= passes.pains.large
        fit = best_fit if again else fit_weights
        rounded, state = state, fit(state, simulator, passes, samples)
        effects.append(("fit of weights and biases", simulator.noise_of(state)))
        if again and passes.centre:
            more = centre_more(state, simulator, passes, statistics.channels, chains(network))
            if more is not None:
                other, its_simulator = more
                refitted = fitted_anew(other, its_simulator, passes, samples, state.cautions)
                if its_simulator.noise_of(refitted) < simulator.noise_of(state):
                    rounded, state, simulator = other, refitted, its_simulator
                    effects.append(("more centering", simulator.noise_of(state)))
        if again and passes.equalize:
            state, simulator = refine_factors(rounded, state, simulator, passes, statistics.channels, samples)
            effects.append(("channel factors by rounding", simulator.noise_of(state)))
        if again:
            searched = search_exponents(state, simulator, passes, None, hopeless, 1)
            if searched.exponents != state.exponents:
                searched = fit_weights(searched, simulator, passes, samples)
                if simulator.noise_of(searched) < simulator.noise_of(state):
                    state = searched
            effects.append(("search and fit once more", simulator.noise_of(state)))
            if passes.int16_outputs:
                # The noise of weights, now much less, hid what the rounding of one more tensor costs.
                few, wide = search_samples(state.network, passes), state.network.wide
                state, simulator = spend(state, simulator, few, UNASKED, True, _refit(passes, samples))
                if state.network.wide != wide:
                    effects.append(("more int16 at almost no cost", simulator.noise_of(state)))
    if passes.int16:
        state, simulator = _mix(state, simulator, passes, samples)
        effects.append((f"int16 for {len(state.network.wide)} tensors", simulator.noise_of(state)))
    if passes.budget:
        few, fit = search_samples(state.network, passes), _refit(passes, samples)
        state, simulator = spend(state, simulator, few, read_budget(passes.budget), False, fit)
        effects.append((f"int16 within {passes.budget}", simulator.noise_of(state)))
    state.effects = [(what, decibels(noise)) for what, noise in effects]
    state.known = None  # it would keep the simulator's planes
    return state, simulator


def _mix(
    state: State, simulator: Simulator, passes: Passes, samples: List[Dict[str, np.ndarray]]
) -> Tuple[State, Simulator]:
    """`state` with some tensors in int16, its weights fitted to them."""

    fit = _refit(passes, samples)
    if passes.int16 == "auto":
        return choose_wide(state, simulator, search_samples(state.network, passes), passes.int16_gain, fit)
    groups = widenable(state.network, tables=True)
    for root in named(state.network, [name.strip() for name in passes.int16.split(",") if name.strip()]):
        wider = widen(state, simulator, with_sources(state.network, groups[root]))
        if wider is None:
            raise UserError(f"--int16: the sums behind '{shown(root, 60)}' do not fit int32 then; leave it out")
        state, simulator = wider
    wrong = far_off(state, simulator)
    if wrong:
        raise UserError(f"--int16: {wrong}; leave what it reads in int8")
    return fit(state, simulator), simulator


def _refit(passes: Passes, samples: List[Dict[str, np.ndarray]]) -> Callable[[State, Simulator], State]:
    """A function that fits the weights of a state anew, where weights are fitted at all."""

    def fit(state: State, simulator: Simulator) -> State:
        return fit_weights(state, simulator, passes, samples) if passes.fit else state

    return fit
