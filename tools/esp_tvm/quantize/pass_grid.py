"""The pass that refines channel factors: each is made up to a fifth smaller, where its weights lie nearer to steps.

A layer of few weights in each channel (depthwise, a first layer, 1x1 of few channels) has little that makes up for the
rounding of one of them, and no fit of the layer alone can help: what its result is multiplied by is fixed by the next
layer. Equalization leaves that factor free. Smaller factors make the steps of the channel's tensors coarser, which is
counted here, and clip less on samples that are not at hand, which is gained besides.

Every other sample chooses the factors, and one is kept where the rest of the samples, too, have less noise with it.
Then weights are fitted again, and all of it is taken where the outputs have less noise. A channel whose largest weight
falls below a power of two gets finer steps and larger sums, which may leave the lanes of a fast kernel: where layers
take more than the budget has left, such channels keep their factors.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Dict, List, Optional, Set, Tuple

import numpy as np

from ..onnx_graph import Graph, copied
from ..terminal import Progress
from .equalize import PINNED, Channels, own_constants, scale_network
from .fit import ENOUGH_TO_PART, Moments, linear_system, round_rows, shrunk
from .graph import Layer, Network
from .left import Left
from .parallel import in_order
from .pass_fit import best_fit
from .passes import Passes, State, rounded_weights, search_samples
from .simulate import Simulator

FACTORS = 2.0 ** (-np.arange(24) / 64.0)
# Weights of a channel beyond which no factor suits them all; samples, and how far their moments are believed.
MOST_WEIGHTS, MOST_SAMPLES, SHRINK = 160, 64, 0.05
# On the samples that did not choose it, a factor must leave less than this share of the noise.
WORTH = 0.95
# The noise at the outputs must become this much less: one fit is beside another, and less than that is chance.
GAIN = 0.99


def refine_factors(
    rounded: State,
    state: State,
    simulator: Simulator,
    passes: Passes,
    channels: Channels,
    samples: List[Dict[str, np.ndarray]],
) -> Tuple[State, Simulator]:
    """`state`, fitted to `samples`, with channels scaled by the factors of least noise and fitted again; as it is where
    that does not help, and with few samples.

    channels: of the network before any of its tensors was centred
    """
    few = simulator.subset(min(search_samples(rounded.network, passes), MOST_SAMPLES))
    if len(few.samples) < ENOUGH_TO_PART:
        return state, simulator
    factors = _chosen(rounded, [few.part(np.arange(len(few.samples))[i::2]) for i in (0, 1)], passes, channels)
    if np.all(factors == 1.0):
        return state, simulator
    refined, scaled = _scaled(rounded, simulator, passes, channels, factors)
    left = Left(rounded.network, few, passes)

    def affordable() -> bool:
        return left.allows(left.more(rounded, refined, rounded.weights, scaled.subset(len(few.samples))))

    if not affordable():
        factors = np.where(_finer(rounded, refined, channels), 1.0, factors)
        refined, scaled = _scaled(rounded, simulator, passes, channels, factors)
        if np.all(factors == 1.0) or not affordable():
            return state, simulator
    refined = best_fit(refined, scaled, passes, samples)
    better = scaled.noise_of(refined) < simulator.noise_of(state) * GAIN
    return (refined, scaled) if better else (state, simulator)


def _scaled(
    rounded: State, simulator: Simulator, passes: Passes, channels: Channels, factors: np.ndarray
) -> Tuple[State, Simulator]:
    """`rounded` with scaled channels and their weights rounded, and a simulator of it."""
    network = scale_centred(rounded.network, channels, factors)
    scaled = scaled_simulator(simulator, network, channels, factors)
    return State(network, rounded.exponents, rounded_weights(network, rounded.exponents, scaled, passes)), scaled


def _finer(before: State, after: State, channels: Channels) -> np.ndarray:
    """bool [channels.count]: whose weights have finer steps `after`."""
    found: Set[int] = set()
    for layer in before.network.layers:
        if layer.output in after.weights and layer.output in channels.ids:
            finer = np.less(after.weights[layer.output].exponents, before.weights[layer.output].exponents)
            groups = channels.groups_of(layer)[0]
            found |= {int(group) for group in groups[np.broadcast_to(finer, groups.shape)]}
    return np.isin(channels.find(np.arange(channels.count)), sorted(found))


def _chosen(state: State, halves: List[Simulator], passes: Passes, channels: Channels) -> np.ndarray:
    """[channels.count] factors by the noise that the layers which make a channel have together."""
    network, free = state.network, free_channels(state.network, channels)
    noise = np.zeros((2, channels.count, len(FACTORS)))
    layers = [layer for layer in network.layers if _counts(layer, state, channels, free)]
    with Progress("refining channel factors", len(layers)) as progress:
        for layer in layers:
            seen, held = in_order(lambda half, layer=layer: moments_of(layer, half), halves)
            found = np.stack(noises(layer, [seen, held], passes.per_channel))
            if layer.output not in network.wide:
                found += 4.0 ** state.exponents[layer.output] / 12.0
            groups = channels.groups_of(layer)[0]
            for total, one in zip(noise, found / FACTORS**2):
                np.add.at(total, groups, one)
            progress.step()
    return best_factors(*noise)[channels.find(np.arange(channels.count))]


def best_factors(seen: np.ndarray, held: np.ndarray) -> np.ndarray:
    """[channels]: the factor of least noise `seen` [channels, FACTORS]; 1 where `held`, on other samples, gains too
    little by it."""
    best, every = np.argmin(seen, axis=1), np.arange(len(seen))
    return np.where(held[every, best] < held[:, 0] * WORTH, FACTORS[best], 1.0)


def _counts(layer: Layer, state: State, channels: Channels, free: np.ndarray) -> bool:
    """Whether the channels that a layer makes can be scaled, and a factor helps its weights."""
    if layer.rule is None or layer.weights is None or layer.output not in channels.ids:
        return False
    few = int(np.prod(layer.weights.shape[1:])) <= MOST_WEIGHTS
    return few and layer.output in state.exponents and bool(free[channels.groups_of(layer)[0]].all())


def free_channels(network: Network, channels: Channels) -> np.ndarray:
    """bool [channels.count]: what can be scaled without changing the function; one upper bound is that of all."""
    roots = channels.find(np.arange(channels.count))
    fixed = {int(roots[PINNED])}
    for layer in network.layers:
        if layer.high != np.inf and layer.output in channels.ids:
            fixed |= channels.groups_in(layer.output)
    return ~np.isin(roots, sorted(fixed))


def moments_of(layer: Layer, simulator: Simulator) -> np.ndarray:
    """[groups, inputs, inputs]: how the inputs of a layer move together about their means, in the float model."""
    x = simulator.reference[layer.inputs[0]]
    if layer.padding is not None:
        x = layer.padding.around(x, layer.padding.value)
    target = np.zeros((len(x), *simulator.network.shapes[layer.output]), np.float32)
    columns, values = linear_system(simulator.network, layer, x, target, len(x))
    moments = Moments(len(columns), columns.shape[2], 1)
    columns = columns - columns.mean(axis=1, keepdims=True)
    moments.add(columns, values[:, :, :1])
    return moments.xx / moments.count


def noises(layer: Layer, moments: List[np.ndarray], per_channel: bool) -> List[np.ndarray]:
    """Mean square error [O, FACTORS] of a layer's scaled results by the rounding of its weights, for each of the
    `moments` of samples; the first of them decides the rounding."""
    weights = layer.weights.astype(np.float64).reshape(len(moments[0]), -1, moments[0].shape[-1])
    wanted = weights * FACTORS[:, None, None, None]
    values, scales = round_rows(wanted, np.stack([shrunk(moments[0], SHRINK)] * len(FACTORS)), per_channel)
    error = values * np.exp2(scales.astype(np.float64))[..., None] - wanted
    return [np.einsum("fgon,fgon->fgo", error @ one, error).reshape(len(FACTORS), -1).T for one in moments]


# --- factors for networks that may be centred ---


def scaled_simulator(simulator: Simulator, network: Network, channels: Channels, factors: np.ndarray) -> Simulator:
    """A simulator of the same samples for `network`, which `scale_centred` made of its own."""
    lowered = {name: less for name, less in network.lowered.items() if name not in network.inputs}
    raised = simulator.shifted(simulator.network, {name: -less for name, less in lowered.items()})
    return raised.scaled(network, channels, factors).shifted(network, lowered)


def scale_centred(network: Network, channels: Channels, factors: np.ndarray) -> Network:
    """`scale_network` for a network that may be centred: its constants stay, what they are taken from is scaled.

    channels: of the network before any of its tensors was centred
    """
    scaled = scale_network(network, channels, factors)
    model = copied(scaled.model)
    graph, constants = Graph(model), dict(scaled.constants)
    layers: List[Layer] = []
    for before, layer in zip(network.layers, scaled.layers):
        bias = _bias_between(before, layer, network.lowered, factors, channels) if layer is not before else None
        if bias is not None:
            layer = replace(layer, bias=bias)
            own_constants(graph, layer, constants)
        layers.append(layer)
    graph.write()
    return replace(scaled, model=model, constants=constants, layers=layers)


def _bias_between(
    before: Layer, layer: Layer, lowered: Dict[str, float], factors: np.ndarray, channels: Channels
) -> Optional[np.ndarray]:
    """The bias of a scaled layer between tensors that are lowered by constants; None where neither is."""
    inner, outer = lowered.get(before.inputs[0], 0.0), lowered.get(before.output, 0.0)
    outer -= 0.0 if before.addend is None else lowered.get(before.addend, 0.0)
    if not inner and not outer:
        return None
    ours = factors[channels.groups_of(before)[0]]
    sums, scaled = (one.weights.astype(np.float64).reshape(len(ours), -1).sum(axis=1) for one in (before, layer))
    return (layer.bias + inner * (scaled - ours * sums) + outer * (ours - 1.0)).astype(np.float32)


__all__ = ["best_factors", "refine_factors", "scale_centred", "scaled_simulator"]
