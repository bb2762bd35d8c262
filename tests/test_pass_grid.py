"""Channel factors by the rounding of weights: found where no fit of a layer can help, kept only where outputs gain."""

from dataclasses import replace

import numpy as np
import onnx
import pytest
from accuracy_models import SAMPLES, node, residual_model, same_function
from small_models import model_of, random

from esp_tvm.quantize import Passes, quantize_model
from esp_tvm.quantize import pass_grid as grid
from esp_tvm.quantize.calibrate import calibrate, samples_of
from esp_tvm.quantize.centre import chains, shift_network
from esp_tvm.quantize.equalize import Channels
from esp_tvm.quantize.graph import read_network
from esp_tvm.quantize.pass_fit import fit_weights
from esp_tvm.quantize.passes import State, rounded_weights
from esp_tvm.quantize.simulate import Simulator


def between_steps():
    """One weight in each channel, halfway between two steps, and behind it weights that are whole ones."""
    first = (np.arange(65, 97, 4) + 0.5).astype(np.float32).reshape(8, 1, 1, 1) / 128
    second = np.where(random(4, 8, 1, 1, seed=1) > 0, 0.5, -0.5).astype(np.float32)
    nodes = [node("Conv", ["x", "w"], ["a"]), node("Relu", ["a"], ["r"]), node("Conv", ["r", "v"], ["y"])]
    model = model_of(nodes, {"x": [1, 1, 6, 6]}, {"y": [1, 4, 6, 6]}, {"w": first, "v": second})
    return read_network(model)


def fitted(network, samples, finer=0):
    """(rounded, fitted, its simulator) with exponents that cover all."""
    simulator = Simulator(network, samples)
    held = calibrate(network, samples)
    exponents = {n: int(np.ceil(np.log2(held[n].magnitude / 127))) - finer for n in network.integers}
    rounded = State(network, exponents, rounded_weights(network, exponents, simulator, Passes()))
    return rounded, fit_weights(rounded, simulator, Passes(), list(samples_of(samples))), simulator


def refined(rounded, state, simulator, samples):
    channels = Channels(read_network(state.network.model))
    return grid.refine_factors(rounded, state, simulator, Passes(), channels, list(samples_of(samples)))


def test_weights_between_steps_get_a_factor_and_new_samples_gain():
    """Layer by layer nothing helps: one weight has no other to make up for it, and the next layer's are too coarse."""
    samples, new = ({"x": random(32, 1, 1, 6, 6, seed=seed)} for seed in (2, 3))
    network = between_steps()
    network = replace(network, wide=frozenset(network.integers))
    rounded, state, simulator = fitted(network, samples, finer=7)
    better, scaled = refined(rounded, state, simulator, samples)
    assert scaled.network is better.network is not network
    same_function(better.network.model, network.model, new)
    before, after = (Simulator(one.network, new).noise_of(one) for one in (state, better))
    assert after < before / 4


def test_channels_keep_their_steps_where_finer_ones_are_too_dear(monkeypatch):
    """A channel whose largest weight falls below a power of two has sums twice as large; no lane may hold them."""
    samples = {"x": random(32, 1, 1, 6, 6, seed=2)}
    network = between_steps()
    network = replace(network, wide=frozenset(network.integers))
    rounded, state, simulator = fitted(network, samples, finer=7)
    free, _ = refined(rounded, state, simulator, samples)
    steps = rounded.weights["r"].exponents
    assert np.any(free.weights["r"].exponents < steps)
    verdicts = iter([False, True])
    monkeypatch.setattr(grid.Left, "allows", lambda left, more: next(verdicts))
    kept, scaled = refined(rounded, state, simulator, samples)
    assert scaled.network is kept.network is not network
    np.testing.assert_array_equal(kept.weights["r"].exponents, steps)
    monkeypatch.setattr(grid.Left, "allows", lambda left, more: False)
    assert refined(rounded, state, simulator, samples) == (state, simulator)


def test_what_gains_nothing_is_left(monkeypatch):
    samples = {"x": random(32, 1, 1, 6, 6, seed=2)}
    rounded, state, simulator = fitted(between_steps(), samples)
    noise = simulator.noise_of(state)
    better, scaled = refined(rounded, state, simulator, samples)
    assert scaled.noise_of(better) <= noise
    monkeypatch.setattr(grid, "GAIN", 0.0)
    assert refined(rounded, state, simulator, samples) == (state, simulator)
    few = {"x": samples["x"][:8]}
    assert refined(rounded, state, Simulator(rounded.network, few), few)[0] is state


def test_samples_that_did_not_choose_a_factor_must_gain_too():
    seen = np.ones((3, len(grid.FACTORS)))
    seen[:2, 5], held = 0.1, np.ones_like(seen)
    held[0, 5] = 0.5
    np.testing.assert_array_equal(grid.best_factors(seen, held), [grid.FACTORS[5], 1.0, 1.0])


@pytest.mark.parametrize("count", [0, 1, 3])
def test_factors_of_a_centred_network_keep_its_function(count):
    """Behind paddings, sums and pooling too; constants stay."""
    network = read_network(residual_model())
    channels, simulator = Channels(network), Simulator(network, SAMPLES)
    shifted = network
    for way in [chains(network)[index] for index in (0, 1, 2)[:count]]:
        shifted, lowered = shift_network(shifted, way[-1], 2.0)
        simulator = simulator.shifted(shifted, lowered)
    free = grid.free_channels(shifted, channels)
    roots = channels.find(np.arange(channels.count))
    factors = np.where(free, 1.0 - 0.2 * np.random.RandomState(4).rand(channels.count), 1.0)[roots]
    scaled = grid.scale_centred(shifted, channels, factors)
    onnx.checker.check_model(scaled.model)
    same_function(scaled.model, network.model)
    assert scaled.lowered == shifted.lowered
    ours = grid.scaled_simulator(simulator, scaled, channels, factors)
    for name, values in Simulator(scaled, SAMPLES).reference.items():
        np.testing.assert_allclose(ours.reference[name], values, atol=1e-4 * np.abs(values).max())


def test_quick_leaves_it_out():
    quick = quantize_model(residual_model(), SAMPLES, Passes(effort="quick"))
    assert all("channel factors" not in what for what, _ in quick.effects)
