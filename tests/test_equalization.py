"""Equalization and centering: the float function stays as it was, and the ranges of channels get even."""

from dataclasses import replace

import numpy as np
import onnx
import pytest
from accuracy_models import NEW, SAMPLES, node, residual_model, same_function
from small_models import model_of, random

from esp_tvm.quantize import Passes, quantize_model
from esp_tvm.quantize.centre import candidates, chains, input_chains, input_windows, shift_network
from esp_tvm.quantize.equalize import (
    MOST_PEAKS,
    Channels,
    ChannelStatistics,
    channel_ranges,
    choose_factors,
    scalable_groups,
    scale_network,
)
from esp_tvm.quantize.graph import read_network
from esp_tvm.quantize.judge import judge
from esp_tvm.quantize.passes import exact_weights
from esp_tvm.quantize.simulate import Simulator


@pytest.fixture(scope="module")
def network():
    return read_network(residual_model())


@pytest.fixture(scope="module")
def simulator(network):
    return Simulator(network, SAMPLES)


# --- equalization ---


@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0])
def test_equalization_keeps_the_function(network, simulator, strength):
    channels = Channels(network)
    factors = choose_factors(channels, channel_ranges(channels, simulator.reference, 0.85), strength)
    assert np.any(factors != 1.0)
    scaled = scale_network(network, channels, factors)
    onnx.checker.check_model(scaled.model)
    same_function(scaled.model, network.model)
    # The simulator's rescaled references are those of the rescaled model.
    ours, theirs = simulator.scaled(scaled, channels, factors), Simulator(scaled, SAMPLES)
    for name, values in theirs.reference.items():
        np.testing.assert_allclose(ours.reference[name], values, rtol=1e-3, atol=1e-4 * np.abs(values).max())


def test_full_equalization_evens_out_the_ranges(network, simulator):
    channels = Channels(network)
    factors = choose_factors(channels, channel_ranges(channels, simulator.reference, 1.0), 1.0)
    scaled = simulator.scaled(scale_network(network, channels, factors), channels, factors)
    for name in ("r3", "r4"):
        before, after = (s.reference[name].max(axis=(0, 1, 3, 4)) for s in (simulator, scaled))
        before, after = before[before > 0], after[after > 0]
        # Channels that share their factor with others of a sum, or are next to nothing, may stay smaller.
        assert np.sort(after)[1] > 0.99 * after.max() and after.max() / after.min() < before.max() / before.min()


def test_statistics_of_channels_do_not_grow_with_the_samples(network):
    statistics, rows = ChannelStatistics(network), random(300, 1, 8, 8, 8, seed=9)
    for row in rows:
        statistics.add("r1", row)
    peaks = statistics.peaks["r1"]
    assert peaks.shape[1:] == (1, 8, 1, 1) and len(peaks) <= 4 * MOST_PEAKS
    np.testing.assert_allclose(peaks.max(axis=0)[0, :, 0, 0], rows.max(axis=(0, 1, 3, 4)))
    np.testing.assert_allclose(peaks.min(axis=0)[0, :, 0, 0], rows.min(axis=(0, 1, 3, 4)))
    np.testing.assert_allclose(statistics.means["r1"][0, :, 0, 0], rows.mean(axis=(0, 1, 3, 4)), atol=1e-6)


def test_tied_and_pinned_channels(network):
    channels = Channels(network)

    def groups(name):
        return channels.find(channels.ids[name])

    assert np.array_equal(groups("r1"), groups("r2")), "a residual sum ties its operand to its result"
    assert not set(groups("r2").flat) & set(groups("r3").flat), "a depthwise convolution frees its channels"
    pinned = groups("x").flat[0]
    assert (groups("x") == pinned).all() and (groups("y") == pinned).all()
    assert np.array_equal(groups("r4")[0, :, 0, 0], groups("f")[0])
    assert len(scalable_groups(channels, network)) == 3


def bounded_model():
    """A convolution, relu6 and a depthwise convolution, with channels of very different size."""
    spread = np.exp2(np.arange(8) - 4).astype(np.float32)
    constants = {
        "w": random(8, 3, 1, 1, scale=4.0) * spread[:, None, None, None],
        "v": random(8, 1, 3, 3, scale=0.5),
        "u": random(4, 8, 1, 1) / spread[None, :, None, None],
        "low": np.float32(0),
        "high": np.float32(6),
    }
    nodes = [
        node("Conv", ["x", "w"], ["c"]),
        node("Clip", ["c", "low", "high"], ["m"]),
        node("Conv", ["m", "v"], ["d"], group=8, pads=[1, 1, 1, 1]),
        node("Relu", ["d"], ["r"]),
        node("Conv", ["r", "u"], ["y"]),
    ]
    return model_of(nodes, {"x": [1, 3, 8, 8]}, {"y": [1, 4, 8, 8]}, constants)


def test_relu6_lets_factors_pass():
    network = read_network(bounded_model())
    simulator, channels = Simulator(network, SAMPLES), Channels(network)
    assert len(scalable_groups(channels, network)) == 2
    factors = choose_factors(channels, channel_ranges(channels, simulator.reference, 1.0), 1.0)
    scaled = scale_network(network, channels, factors)
    assert scaled.layers[0].high != 6.0
    same_function(scaled.model, network.model)
    with_it, without = (quantize_model(network.model, SAMPLES, Passes(equalize=on)) for on in (True, False))
    ours, theirs = (judge(network.model, one.model, NEW).decibels for one in (with_it, without))
    assert ours > theirs + 3.0


@pytest.mark.parametrize("activation", ["LeakyRelu", "PRelu"])
def test_leaky_relus_let_factors_pass(activation):
    """f(a x) = a f(x) for every a > 0, whatever the slope."""
    model = bounded_model()
    slopes = {"LeakyRelu": ["c"], "PRelu": ["c", "slopes"]}
    model.graph.node[1].CopyFrom(node(activation, slopes[activation], ["m"]))
    slope = np.linspace(-0.3, 0.4, 8, dtype=np.float32).reshape(8, 1, 1)
    model.graph.initializer.append(onnx.numpy_helper.from_array(slope, "slopes"))
    network = read_network(model)
    channels = Channels(network)
    assert len(scalable_groups(channels, network)) == 2
    simulator = Simulator(network, SAMPLES)
    factors = choose_factors(channels, channel_ranges(channels, simulator.reference, 1.0), 1.0)
    same_function(scale_network(network, channels, factors).model, network.model)
    with_it, without = (quantize_model(model, SAMPLES, Passes(equalize=on, effort="quick")) for on in (True, False))
    ours, theirs = (judge(model, one.model, NEW).decibels for one in (with_it, without))
    assert ours > theirs + 3.0


@pytest.mark.parametrize(
    "middle",
    [
        [node("Sigmoid", ["c"], ["m"])],
        [node("Clip", ["c", "low", "high"], ["m"])],
        [
            node("Tanh", ["c"], ["t"]),
            node("MaxPool", ["c"], ["p"], kernel_shape=[1, 1]),
            node("Mul", ["t", "p"], ["m"]),
        ],
    ],
)
def test_what_no_factor_passes(middle):
    constants = {"w": random(4, 3, 1, 1), "v": random(5, 4, 1, 1)}
    if middle[0].op_type == "Clip":
        constants.update(low=np.float32(-1), high=np.float32(6))
    nodes = [node("Conv", ["x", "w"], ["c"]), *middle, node("Conv", ["m", "v"], ["y"])]
    network = read_network(model_of(nodes, {"x": [1, 3, 4, 4]}, {"y": [1, 5, 4, 4]}, constants))
    assert scalable_groups(Channels(network), network) == []


def parted(nodes, smaller=40, **constants):
    """Convolutions of 4 and 6 channels, `a` and, `smaller`, `b`, of which `nodes` make a tensor `m`; one reads that."""
    made = [
        node("Conv", ["x", "w"], ["a"]),
        node("Conv", ["x", "v"], ["b"]),
        *nodes,
        node("Conv", ["m", "u"], ["y"]),
    ]
    constants.update(w=random(4, 3, 1, 1), v=random(6, 3, 1, 1) * np.float32(1 / smaller), u=random(5, 10, 1, 1))
    constants["u"][:, 4:] *= smaller
    return model_of(made, {"x": [1, 3, 8, 8]}, {"y": [1, 5, 8, 8]}, constants)


_JOINED = node("Concat", ["a", "b"], ["m"], axis=1)
_MOVED = {
    "joined": [_JOINED],
    "joined from the end": [node("Concat", ["a", "b"], ["m"], axis=-3)],
    "cut and joined": [
        node("Slice", ["a", "zero", "two", "one"], ["a0"]),
        node("Slice", ["a", "last", "before", "one", "last"], ["a1"]),
        node("Concat", ["a0", "b", "a1"], ["c"], axis=1),
        node("Slice", ["c", "zero", "ten", "one"], ["m"]),
    ],
    "resized": [
        node("Concat", ["a", "b"], ["c"], axis=1),
        node("AveragePool", ["c"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        node("Resize", ["p", "", "twice"], ["m"], mode="nearest", coordinate_transformation_mode="asymmetric",
             nearest_mode="floor"),
    ],
    "gated": [
        node("Concat", ["a", "b"], ["c"], axis=1),
        node("Conv", ["x", "g"], ["h"]),
        node("GlobalAveragePool", ["h"], ["i"]),
        node("Sigmoid", ["i"], ["j"]),
        node("Mul", ["j", "c"], ["m"]),
    ],
}  # fmt: skip


@pytest.mark.parametrize("how", _MOVED)
def test_factors_through_what_moves_and_gates_values(how):
    whole = {"zero": 0, "two": 2, "one": 1, "last": -1, "before": -3, "ten": 10}
    constants = {name: np.int64([value]) for name, value in whole.items()}
    constants.update(twice=np.float32([1, 1, 2, 2]), g=random(10, 3, 1, 1))
    used = {name for one in _MOVED[how] for name in one.input}
    model = parted(_MOVED[how], **{name: value for name, value in constants.items() if name in used})
    network = read_network(model)
    simulator, channels = Simulator(network, SAMPLES), Channels(network)
    factors = choose_factors(channels, channel_ranges(channels, simulator.reference, 1.0), 1.0)
    scaled = scale_network(network, channels, factors)
    same_function(scaled.model, network.model)
    # What is 40 times smaller has its own range in the joined tensor.
    ratio = factors[channels.find(channels.ids["b"])].max() / factors[channels.find(channels.ids["a"])].min()
    assert ratio > 20
    ours, theirs = simulator.scaled(scaled, channels, factors), Simulator(scaled, SAMPLES)
    for name, values in theirs.reference.items():
        np.testing.assert_allclose(ours.reference[name], values, rtol=1e-3, atol=1e-4 * np.abs(values).max())


def test_what_a_concat_joins_keeps_its_precision():
    """Parts of different range had one exponent, where it left more than 20 dB: then they are not kept apart."""
    model = parted([_JOINED], smaller=8)
    ours, theirs = (
        judge(model, quantize_model(model, SAMPLES, Passes(equalize=on, int16_outputs=False)).model, NEW).decibels
        for on in (True, False)
    )
    assert ours > theirs + 5.0


def test_factors_through_flatten_and_transpose():
    nodes = [
        node("Conv", ["x", "w"], ["c"]),
        node("Relu", ["c"], ["r"]),
        node("Transpose", ["r"], ["t"], perm=[0, 2, 3, 1]),
        node("Flatten", ["t"], ["f"]),
        node("Gemm", ["f", "v"], ["y"]),
    ]
    constants = {"w": random(4, 3, 1, 1) * np.float32([1, 8, 64, 512])[:, None, None, None], "v": random(4 * 64, 5)}
    network = read_network(model_of(nodes, {"x": [1, 3, 8, 8]}, {"y": [1, 5]}, constants))
    channels = Channels(network)
    ranges = channel_ranges(channels, Simulator(network, SAMPLES).reference, 1.0)
    scaled = scale_network(network, channels, choose_factors(channels, ranges, 1.0))
    assert not np.allclose(scaled.layers[0].weights, network.layers[0].weights)
    same_function(scaled.model, network.model)


# --- centering ---


@pytest.fixture(scope="module")
def apart():
    """The network with its sum as a layer of its own."""
    return read_network(residual_model(), {"s"})


@pytest.mark.parametrize("kind", ["network", "apart"])
def test_centering_keeps_the_function(kind, request):
    network = request.getfixturevalue(kind)
    simulator = Simulator(network, SAMPLES)
    found = [chain for ways in chains(network) for chain in ways]
    # Of r1, which a sum reads, both ways: the other operand is raised, or the sum is lowered; a convolution that
    # computes the sum has its bias raised.
    through = [["r1", "r2"]] * (kind == "apart")
    assert [chain.tensors for chain in found] == [["r1"], *through, ["r2"], ["r3"], ["r4", "g", "f"]]
    for chain in found:
        reaches = {name: float(simulator.reference[name].max()) for name in chain.tensors}
        for exponent in candidates(chain, reaches, {}, 96):
            shifted, lowered = shift_network(network, chain, 96 * 2.0**exponent)
            onnx.checker.check_model(shifted.model)
            same_function(shifted.model, network.model)
            ours, theirs = simulator.shifted(shifted, lowered), Simulator(shifted, SAMPLES)
            for name, values in theirs.reference.items():
                np.testing.assert_allclose(ours.reference[name], values, atol=1e-4 * np.abs(values).max())


def test_a_sum_is_lowered_with_its_operand_and_then_by_its_own_constant(apart):
    network, simulator = apart, Simulator(apart, SAMPLES)
    (_, through), (own,) = chains(network)[:2]
    assert [layer.output for layer in through.bounded] == ["r2"]
    once, lowered = shift_network(network, through, 2.0)
    assert lowered == {"r1": 2.0, "r2": 2.0}
    twice, more = shift_network(once, own, 3.0)
    assert more == {"r2": 1.0, "c2": 1.0}
    paddings = {layer.output: layer.padding.value for layer in twice.layers if layer.padding is not None}
    assert paddings == {"c2": -2.0, "r3": -3.0}
    ours = simulator.shifted(once, lowered).shifted(twice, more)
    for name, values in Simulator(twice, SAMPLES).reference.items():
        np.testing.assert_allclose(ours.reference[name], values, atol=1e-4 * np.abs(values).max())
    same_function(twice.model, network.model)


@pytest.mark.parametrize("auto_pad", ["NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"])
def test_centering_before_every_kind_of_padding(auto_pad):
    windows = {"strides": [2, 1], "auto_pad": auto_pad}
    if auto_pad == "NOTSET":
        windows.update(dilations=[1, 2], pads=[0, 1, 2, 3])
    nodes = [
        node("Conv", ["x", "w"], ["a"]),
        node("Relu", ["a"], ["r"]),
        node("Conv", ["r", "v"], ["y"], **windows),
    ]
    constants = {"w": random(4, 3, 1, 1), "v": random(5, 4, 3, 2)}
    model = model_of(nodes, {"x": [1, 3, 8, 8]}, {"y": [1, 5, None, None]}, constants, check=False)
    network = read_network(model)
    ((chain,),) = chains(network)
    shifted, _ = shift_network(network, chain, 2.0)
    padded = [one.op_type for one in shifted.model.graph.node] == ["Conv", "Clip", "Pad", "Conv"]
    assert padded == (auto_pad != "VALID")
    same_function(shifted.model, network.model)
    # In integers too: the padding reads what the input holds for 0.
    fine = replace(shifted, wide=frozenset(shifted.integers))
    simulator, exponents = Simulator(fine, SAMPLES), dict.fromkeys(fine.integers, -9)
    state = simulator.forward(exponents, exact_weights(fine, exponents))
    assert simulator.noise(state, exponents) < 1e-4


@pytest.mark.parametrize("mode, value, folded", [("constant", 0, True), ("constant", 1, False), ("edge", 0, False)])
def test_zeros_before_a_convolution_are_its_padding(mode, value, folded):
    """And so does not keep the tensor before them from being centred."""
    nodes = [
        node("Conv", ["x", "w"], ["a"]),
        node("Relu", ["a"], ["r"]),
        node("Pad", ["r", "widths", "value"], ["p"], mode=mode),
        node("Conv", ["p", "v"], ["y"], pads=[1, 0, 0, 1], auto_pad="NOTSET"),
        node("Conv", ["p", "v"], ["z"], auto_pad="VALID", strides=[2, 2]),
    ]
    constants = {"w": random(4, 3, 1, 1), "v": random(5, 4, 3, 3), "value": np.float32(value)}
    constants["widths"] = np.array([0, 0, 1, 2, 0, 0, 0, 1])
    shapes = {"y": [1, 5, None, None], "z": [1, 5, None, None]}
    model = model_of(nodes, {"x": [1, 3, 8, 8]}, shapes, constants, check=False)
    network = read_network(model)
    assert ("Pad" not in {layer.op_type for layer in network.layers}) == folded
    assert len(chains(network)) == folded
    same_function(network.model, model)


def test_centering_through_a_sum():
    nodes = [
        node("Conv", ["x", "w"], ["a"]),
        node("MaxPool", ["x"], ["b"], kernel_shape=[1, 1]),
        node("Add", ["b", "a"], ["s"]),
        node("Relu", ["s"], ["r"]),
        node("Conv", ["r", "v"], ["y"]),
    ]
    constants = {"w": random(3, 3, 1, 1), "v": random(4, 3, 1, 1)}
    model = model_of(nodes, {"x": [1, 3, 8, 8]}, {"y": [1, 4, 8, 8]}, constants)
    for apart, expected in (({"s"}, {"r": 2.0, "a": 2.0}), ((), {"r": 2.0})):
        network = read_network(model, apart)
        ((chain,),) = chains(network)
        shifted, lowered = shift_network(network, chain, 2.0)
        assert lowered == expected
        same_function(shifted.model, network.model)


def pictures(low, high, count=40):
    """Samples of whole numbers in both ranges, each with its own contrast."""
    rng = np.random.RandomState(3)
    contrast = rng.uniform(0.3, 1.0, (count, 1, 1, 1, 1))
    return np.round(low + contrast * (high - low) * rng.rand(count, 1, 3, 8, 8)).astype(np.float32)


def picture_model(reshaped=False):
    """A padded convolution and a pool that read one input; reshaped: behind a Reshape."""
    nodes = [
        node("Conv", ["t", "w", "b"], ["c"], pads=[1, 1, 1, 1]),
        node("Relu", ["c"], ["r"]),
        node("AveragePool", ["t"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        node("Conv", ["p", "u"], ["q"]),
        node("Conv", ["r", "v"], ["s"], strides=[2, 2]),
        node("Add", ["s", "q"], ["y"]),
    ]
    nodes.insert(0, node("Reshape" if reshaped else "Identity", ["x", "shape"] if reshaped else ["x"], ["t"]))
    constants = {"w": random(4, 3, 3, 3), "b": random(4), "u": random(5, 3, 1, 1), "v": random(5, 4, 1, 1)}
    if reshaped:
        constants["shape"] = np.array([1, 3, 8, 8])
    shape = [1, 192] if reshaped else [1, 3, 8, 8]
    return model_of(nodes, {"x": shape}, {"y": [1, 5, 4, 4]}, constants)


@pytest.mark.parametrize("reshaped", [False, True])
def test_a_lowered_input_keeps_the_function(reshaped):
    network = read_network(picture_model(reshaped))
    (chain,) = input_chains(network)
    shifted, lowered = shift_network(network, chain, 128.0)
    assert lowered == dict.fromkeys(["x", "t", "p"], 128.0) and shifted.centres == {"x": 128.0}
    samples = {"x": pictures(0, 255).reshape(40, *network.shapes["x"])}
    whole, moved = Simulator(network, samples), Simulator(shifted, samples)
    # Also where one simulator becomes the other.
    for other in (moved, whole.shifted(shifted, lowered)):
        assert other.samples[0]["x"].max() <= 127 and other.samples[0]["x"].min() >= -128
        np.testing.assert_allclose(other.reference["x"], whole.reference["x"] - 128)
    np.testing.assert_allclose(moved.reference["y"], whole.reference["y"], rtol=1e-3, atol=0.1)
    # The constant is a whole number of steps, and at most 128.
    assert [shifted.allows("x", e) for e in (-1, 0, 7, 8)] == [False, True, True, False]
    assert network.allows("x", -1)


@pytest.mark.parametrize("reshaped", [False, True])
def test_a_picture_is_exact_when_centred(reshaped):
    model = picture_model(reshaped)
    shape = [40, 1, 192] if reshaped else [40, 1, 3, 8, 8]
    samples = {"x": pictures(0, 255).reshape(shape)}
    passes = Passes(int16_outputs=False, effort="quick")
    with_centre = quantize_model(model, samples, passes)
    assert with_centre.network.centres == {"x": 128.0} and with_centre.exponents["x"] == 0
    assert with_centre.noise["x"].noise == 0.0
    # The first node, and a constant that ONNX Runtime takes as it is.
    sub, quantize = with_centre.model.graph.node[:2]
    (constant,) = [onnx.numpy_helper.to_array(t) for t in with_centre.model.graph.initializer if t.name == sub.input[1]]
    assert (sub.op_type, sub.input[0], quantize.op_type) == ("Sub", "x", "QuantizeLinear") and constant.shape == ()
    assert constant == 128.0 and quantize.input[0] == sub.output[0]
    without = quantize_model(model, samples, replace(passes, centre=False))
    assert without.network.centres == {} and without.exponents["x"] == 1
    ours, theirs = (judge(model, one.model, samples).decibels for one in (with_centre, without))
    assert ours > theirs + 0.3


@pytest.mark.parametrize(
    "low, high, wanted",
    [(0, 255, [(128.0, 0)]), (-255, 0, [(-127.0, 0)]), (-200, 55, [(-72.0, 0)]), (-128, 127, []), (-140, 100, None)],
)
def test_which_steps_hold_all_values_of_an_input(low, high, wanted):
    values = np.linspace(low, high, high - low + 1)
    found = [window for window in input_windows(values, [0], False) if window[0]]
    if wanted is None:
        # Half of what is left over is on each side.
        ((constant, exponent),) = found[:1]
        assert exponent == 0 and constant - 128 <= low and high <= constant + 127
        assert abs((low - (constant - 128)) - (constant + 127 - high)) <= 1
    else:
        assert found == wanted


def test_a_lopsided_input_is_centred_and_one_around_0_is_not():
    model = picture_model()
    lopsided, even = ({"x": pictures(*ends)} for ends in ((-40, 210), (-127, 127)))
    even["x"] *= np.where(np.arange(40) % 2, 1, -1).reshape(-1, 1, 1, 1, 1)
    result = quantize_model(model, lopsided, Passes(int16_outputs=False, effort="quick"))
    constant, step = result.network.centres["x"], 2.0 ** result.exponents["x"]
    assert constant > 0 and constant % step == 0 and constant / step <= 128
    assert result.noise["x"].noise == 0.0
    assert quantize_model(model, even, Passes(int16_outputs=False, effort="quick")).network.centres == {}
    # Nor are whole numbers that steps of 1 hold without.
    few = {"x": np.round(pictures(0, 16))}
    assert quantize_model(model, few, Passes(int16_outputs=False, effort="quick")).network.centres == {}
    # Asked for, int16 is what an input gets instead.
    assert quantize_model(model, lopsided, Passes(int16="x", effort="quick")).network.centres == {}


def test_which_inputs_cannot_be_centred():
    """A sigmoid cannot add a constant back; an output shows what it is."""
    conv, constants = node("Conv", ["x", "w"], ["y"]), {"w": random(3, 3, 1, 1)}
    for other in (node("Sigmoid", ["x"], ["z"]), node("Identity", ["x"], ["z"])):
        shapes = {"y": [1, 3, 8, 8], "z": [1, 3, 8, 8]}
        assert input_chains(read_network(model_of([conv, other], {"x": [1, 3, 8, 8]}, shapes, constants))) == []
    assert input_chains(read_network(model_of([conv], {"x": [1, 3, 8, 8]}, {"y": [1, 3, 8, 8]}, constants)))


@pytest.mark.parametrize(
    "reader",
    [
        node("Sigmoid", ["r"], ["y"]),
        node("AveragePool", ["r"], ["y"], kernel_shape=[2, 2], pads=[1, 1, 1, 1], count_include_pad=1),
        node("Add", ["r", "x"], ["y"]),
    ],
)
def test_what_cannot_be_centred(reader):
    model = model_of(
        [node("Conv", ["x", "w"], ["c"]), node("Relu", ["c"], ["r"]), reader],
        {"x": [1, 3, 8, 8]},
        {"y": [1, 3, None, None]},
        {"w": random(3, 3, 1, 1)},
        check=False,
    )
    assert chains(read_network(model)) == []
