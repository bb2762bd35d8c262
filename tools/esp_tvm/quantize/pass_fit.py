"""The pass that fits weights and biases, layer by layer, and what is worth a fit of its own."""

from __future__ import annotations

from typing import Dict, List, Optional, Tuple

import numpy as np

from ..terminal import Progress
from .fit import Fit
from .passes import HOPELESS, Passes, State, rounded_weights, search_samples
from .simulate import Simulator
from .walk import Walk


def input_rivals(state: State, simulator: Simulator, passes: Passes) -> List[State]:
    """The same with an input one finer or coarser, where that is nearly as good.

    Nothing before an input can make up for its rounding: the choice is worth a fit of its own.
    """
    network = state.network
    few = simulator.subset(search_samples(network, passes))
    limit = few.noise_of(state) * HOPELESS
    rivals = []
    for name in network.inputs:
        members = [other for other in state.exponents if network.root(other) == name]
        for step in (-1, 1) if members else ():
            if not network.allows(name, state.exponents[name] + step):
                continue
            exponents = {**state.exponents, **{other: state.exponents[other] + step for other in members}}
            rival = State(network, exponents, rounded_weights(network, exponents, simulator, passes))
            if few.noise_of(rival) < limit:
                rivals.append(rival)
    return rivals


def best_fit(state: State, simulator: Simulator, passes: Passes, samples: List[Dict[str, np.ndarray]]) -> State:
    """`state`, or one of its `input_rivals`, with fitted weights: the one of least noise."""
    rivals = [state, *input_rivals(state, simulator, passes)]
    return min((fit_weights(one, simulator, passes, samples) for one in rivals), key=simulator.noise_of)


def fit_weights(state: State, simulator: Simulator, passes: Passes, samples: List[Dict[str, np.ndarray]]) -> State:
    """Weights fitted to `samples` layer by layer, each to the input that the fitted layers before it give; `state`
    where that has less noise."""
    fitted = fitted_anew(state, simulator, passes, samples)
    return fitted if simulator.noise_of(fitted) < simulator.noise_of(state) else state


def fitted_anew(
    state: State,
    simulator: Simulator,
    passes: Passes,
    samples: List[Dict[str, np.ndarray]],
    cautions: Optional[Dict[str, Tuple[float, float]]] = None,
) -> State:
    """The same, whatever its noise.

    cautions: of an earlier fit of this state to other samples, taken as they are: less than half the work
    """
    network = state.network
    entered = [network.entered(sample) for sample in samples]
    fit = Fit(Walk(simulator, entered, state.exponents), passes.per_channel, cautions)
    layers = simulator.judged()
    last = max((i for i, layer in enumerate(network.layers) if layer in layers), default=-1)
    with Progress("fitting weights", last + 1) as progress:
        for index, layer in enumerate(network.layers[: last + 1]):
            if layer.output in state.weights:
                fit.layer(layer)
            if index < last:
                fit.step(index)
            progress.step()
    return State(network, state.exponents, fit.weights, cautions=fit.cautions)
