"""The pass that searches: each exponent one finer or coarser where the outputs gain."""

from __future__ import annotations

from typing import Dict, List, Optional, Sequence, Set

from ..terminal import Progress
from .calibrate import covering_exponent
from .graph import Network
from .left import Left
from .parallel import in_order
from .passes import HOPELESS, WORTH, Passes, State, activations, search_samples
from .simulate import Simulator
from .trials import Trial, Trials
from .weights import Weights

# In large networks a trial ends where the noise right behind it, or that on the first quarter of the few samples, is
# this many times as large. Finer steps that clip a few large values make both larger, and may still gain decibels.
NEARBY, QUARTER = 6.0, 1.25


def search_exponents(state: State, simulator: Simulator, passes: Passes, reweigh, hopeless: Set, sweeps: int) -> State:
    """Each exponent one finer or coarser where the outputs gain and no layer leaves its lanes for more than the budget
    has left; from the outputs back to the inputs and again.

    reweigh: (exponents, outputs of layers) -> their weights; None keeps them (their biases follow the exponents).
    hopeless: what is not worth trying; this search adds to it
    """
    network = state.network
    fixed = {x.output for x in network.layers if x.rule is not None and isinstance(x.rule.exponent, int)}
    groups: Dict[str, List[str]] = {}
    for name in network.integers:
        if network.root(name) not in fixed and name not in network.wide:
            groups.setdefault(network.root(name), []).append(name)
    simulator = simulator.subset(search_samples(state.network, passes))
    # What is clipped at an output is lost for good, and more of it in samples that are not at hand.
    for name in simulator.objectives():
        root = network.root(name)
        if root in groups:
            finest = _covering(simulator, groups[root])
            hopeless.update((root, finest - finer) for finer in range(1, 4))
    large = activations(network) > passes.pains.large
    left = Left(network, simulator, passes)
    first = State(network, dict(state.exponents), dict(state.weights))
    trials = Trials(simulator, first, NEARBY, QUARTER) if large else Trials(simulator, first)
    with Progress("searching exponents", sweeps * len(groups)) as progress:
        for _sweep in range(sweeps):
            changed = False
            for root, members in groups.items():
                state, touched = trials.state, set(members)
                nearby = {step: state.exponents[root] + step for step in (-1, 1)}
                steps = [s for s, e in nearby.items() if (root, e) not in hopeless and network.allows(root, e)]

                def tried(step: int, state=state, members=members) -> Optional[Trial]:
                    exponents = {**state.exponents, **{name: state.exponents[name] + step for name in members}}
                    weights = _weights_for(network, state.weights, exponents, members, reweigh)
                    return None if weights is None else trials.attempt(State(network, exponents, weights), members)

                for step, trial in zip(steps, in_order(tried, steps)):
                    if trial is None:
                        continue
                    if trial.full and trial.noise < trials.noise * WORTH:
                        behind = [x.output for x in network.layers if not touched.isdisjoint((x.output, *x.inputs))]
                        more = left.more(state, trial.state, behind)
                        if not left.allows(more):
                            hopeless.add((root, state.exponents[root] + step))
                            continue
                        left.take(more)
                        trials.take(trial)
                        changed = True
                        break
                    if trial.noise > trials.noise * HOPELESS:
                        hopeless.add((root, state.exponents[root] + step))
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
