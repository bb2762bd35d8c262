"""The pass that centers: what is never negative is stored minus the constant that leaves least noise."""

from __future__ import annotations

from typing import Dict, Sequence, Tuple

from ..terminal import Progress
from .calibrate import Histogram, choose_exponent
from .centre import candidates, chains, shift_network
from .graph import Network
from .passes import WORTH, Passes, State, rounded_weights, search_samples
from .simulate import Simulator
from .trials import Trials


def centre(state: State, simulator: Simulator, passes: Passes) -> Tuple[State, Simulator]:
    """Lower the tensors of each chain by the constant that leaves least noise, where one helps."""
    trials = Trials(simulator.subset(search_samples(state.network, passes)), state)
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
