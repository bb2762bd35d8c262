"""What quantizing does not do twice: the time that it takes is no test, what it computes is."""

from __future__ import annotations

import time
from collections import Counter

import numpy as np
import pytest
from onnx import helper
from small_models import model_of

from esp_tvm import quantize
from esp_tvm.compile.kernels import esp32s3, packing
from esp_tvm.compile.kernels.esp32s3 import channel_pieces, lanes
from esp_tvm.program import Call, Tensor
from esp_tvm.quantize import Passes, pass_centre
from esp_tvm.quantize.calibrate import calibrate, covering_exponent
from esp_tvm.quantize.centre import chains
from esp_tvm.quantize.equalize import ChannelStatistics
from esp_tvm.quantize.graph import read_network
from esp_tvm.quantize.parallel import Known, in_order
from esp_tvm.quantize.passes import State, rounded_weights
from esp_tvm.quantize.planes import Planes
from esp_tvm.quantize.simulate import Simulator
from esp_tvm.quantize.trials import Isolation, Trials, isolated_trials

LAYERS = 6


@pytest.fixture(scope="module")
def row():
    """(state, simulator, channels) of a row of convolutions of 1x1 with a relu each."""
    random = np.random.RandomState(0)
    nodes, constants, name = [], {}, "x"
    for i in range(LAYERS):
        nodes += [
            helper.make_node("Conv", [name, f"w{i}"], [f"c{i}"]),
            helper.make_node("Relu", [f"c{i}"], [f"r{i}"]),
        ]
        constants[f"w{i}"], name = random.standard_normal((8, 8, 1, 1)).astype(np.float32), f"r{i}"
    nodes.append(helper.make_node("Conv", [name, "w"], ["y"]))
    constants["w"] = random.standard_normal((4, 8, 1, 1)).astype(np.float32)
    network = read_network(model_of(nodes, {"x": [1, 8, 4, 4]}, {"y": [1, 4, 4, 4]}, constants))
    samples = {"x": random.standard_normal((12, 1, 8, 4, 4)).astype(np.float32)}
    statistics = ChannelStatistics(network)
    held = calibrate(network, samples, statistics.add)
    exponents = {name: covering_exponent(held[name].low, held[name].high) for name in network.integers}
    simulator = Simulator(network, samples)
    state = State(network, exponents, rounded_weights(network, exponents, simulator, Passes()))
    return state, simulator, statistics.channels


@pytest.fixture
def computed(monkeypatch):
    """How many times each layer was computed."""
    count: Counter = Counter()
    step = Simulator.step

    def counted(self, layer, *rest):
        count[layer.output] += 1
        return step(self, layer, *rest)

    monkeypatch.setattr(Simulator, "step", counted)
    return count


def test_layers_before_a_scope_are_computed_once_for_all_scopes(row, computed):
    state, simulator, _ = row
    shared = Isolation(state.network, state.exponents, simulator)
    parts = computed["r0"]
    for i in range(LAYERS):
        computed.clear()
        trials = shared.trials({f"r{i}"})
        assert dict(computed) == {"y": parts, **{f"r{j}": parts for j in range(i, LAYERS)}}
        assert trials.noise == isolated_trials(state.network, state.exponents, simulator, {f"r{i}"}).noise


def test_isolated_trials_follow_what_is_centred(row, computed):
    state, simulator, channels = row
    work = pass_centre._Centering(state, simulator, Passes(), channels)
    for ways in chains(state.network):
        offers = work.offers(ways, dict.fromkeys(pass_centre.WITH_FORMS, 1.0))
        if offers:
            work.take(offers[-1])
            ours = work._isolation.trials(work.scope(ways))
            assert ours.noise == isolated_trials(work.network, work.exponents, work.few, work.scope(ways)).noise
    # The first relu's readers have no padding: all that changes is what is tried.
    assert len(work.network.lowered) >= LAYERS


def test_a_trial_that_is_much_worse_nearby_ends_there(row, computed):
    state, simulator, _ = row
    worse = {**state.exponents, "r2": state.exponents["r2"] + 3}
    same = {**state.exponents, "r2": state.exponents["r2"]}
    for nearby in (np.inf, 1.25):
        trials = Trials(simulator, state, nearby=nearby)
        computed.clear()
        trial = trials.attempt(State(state.network, worse, state.weights), ["r2"])
        assert not trial.full and trial.noise > 1.15 * trials.noise
        assert dict(computed) == dict.fromkeys(["r2", "r3"] if nearby < np.inf else ["r2", "r3", "r4", "r5", "y"], 1)
        trial = trials.attempt(State(state.network, same, state.weights), ["r2"])
        assert trial.full and trial.noise == trials.noise


def test_a_trial_that_is_worse_on_the_first_quarter_ends_there_unless_little_is_said_by_it(row):
    """Of seven samples two held most of what finer steps clip: 2.3 dB on all of them were not taken."""
    state, simulator, _ = row
    changed = State(state.network, {**state.exponents, "r2": state.exponents["r2"] + 1}, state.weights)
    assert not Trials(simulator, state).attempt(changed, ["r2"]).full
    assert Trials(simulator, state, worse=100.0).attempt(changed, ["r2"]).full


def test_networks_that_are_only_tried_get_no_model(row, monkeypatch):
    state, simulator, channels = row
    copies: Counter = Counter()
    for module in (pass_centre.shift_network, pass_centre.scale_network):
        original = module.__globals__["copied"]
        monkeypatch.setitem(
            module.__globals__,
            "copied",
            lambda model, original=original: (copies.update(["model"]), original(model))[1],
        )
    work = pass_centre._Centering(state, simulator, Passes(), channels)
    ways = chains(state.network)[0]
    offers = work.offers(ways, dict.fromkeys(pass_centre.WITH_FORMS, 1.0))
    assert offers and not copies
    work.take(offers[-1])
    assert 1 <= copies["model"] <= 2  # stretched, lowered


def test_a_constant_is_tried_once_by_whatever_steps_it_is_taken_away(row, monkeypatch):
    state, simulator, channels = row
    work, ways, tried = pass_centre._Centering(state, simulator, Passes(), channels), [], Counter()
    offer, attempt = pass_centre._Centering._offer, pass_centre._Centering._tried

    def offered(self, trials, way, *rest):
        ways.append((way.chain.tensors[0], *way.same))
        return offer(self, trials, way, *rest)

    def counted(trials, step, changed):
        tried[(step.way.chain.tensors[0], *step.way.same, *sorted(changed.items()))] += 1
        return attempt(trials, step, changed)

    monkeypatch.setattr(pass_centre._Centering, "_offer", offered)
    monkeypatch.setattr(pass_centre._Centering, "_tried", staticmethod(counted))
    assert all(work.offers(one, dict.fromkeys(pass_centre.WITH_FORMS, 1.0)) for one in chains(state.network))
    # 80 steps are 40 of twice the size.
    assert len(set(ways)) < len(ways) and set(tried.values()) == {1}


def test_what_is_known_is_computed_once_by_all_threads():
    made, known = [], Known()

    def make():
        made.append(1)
        time.sleep(0.05)
        return 7

    assert list(in_order(lambda key: known.get(key, make), ["a", "a", "a", "b"])) == [7] * 4 and len(made) == 2
    with pytest.raises(ZeroDivisionError):
        known.get("c", lambda: 1 // 0)


def test_the_groups_of_a_tensor_are_found_once(row, monkeypatch):
    state, simulator, channels = row
    work = pass_centre._Centering(state, simulator, Passes(), channels)
    found = chains(state.network)
    near = [work.near(ways) for ways in found]
    monkeypatch.setattr(type(channels), "find", None)
    assert [work.near(ways) for ways in found] == near
    assert all(channels.few_ids(f"r{i}").size == 8 for i in range(LAYERS))


def test_a_quarter_of_few_samples_is_tried_first_where_outputs_have_many_values(row):
    state, simulator, _ = row
    few = simulator.part(range(7))
    assert len(Trials(few, state)._parts) == 1

    class Large(Simulator):
        """With many outputs."""

    many = few.part(range(7))
    many.__class__ = Large
    Large.objectives = lambda self: ["y"] * 16  # 2 samples x 64 values x 16
    assert [len(part.simulator.samples) for part in Trials(many, state)._parts] == [2, 5]


def test_passes_run_again_only_for_values_beyond_those_of_all_samples(row, monkeypatch):
    """Some samples are simulated; that others hold more was a reason to do everything twice."""
    state, _, _ = row
    random = np.random.RandomState(3)
    samples = {"x": random.standard_normal((4, 1, 8, 4, 4)).astype(np.float32)}
    samples["x"][1:] *= 4.0
    monkeypatch.setattr(quantize, "choose_samples", lambda network, samples: {"x": samples["x"][:1]})
    monkeypatch.setattr(quantize, "activations", lambda network: 1e9)
    first = quantize._calibrated(state.network.model, samples, Passes(effort="quick", fit=False), "model", frozenset())
    assert len(first.reference["x"]) == 1
    assert not quantize._needs_all_passes(first, samples, Passes())
    assert quantize._needs_all_passes(first, {"x": 2.0 * samples["x"]}, Passes())


def pieces_case():
    """A convolution whose sums leave their lanes, with many divisors of its channels."""
    random = np.random.RandomState(1)
    weights = np.clip(random.normal(0, 20, (64, 1, 1, 960)), -128, 127).astype(np.int8)
    attributes = {
        "weights": weights,
        "bias": np.zeros(64, np.int32),
        "shift": np.full(64, 11),
        "clamp": (-128, 127),
        "strides": (1, 1),
        "dilation": (1, 1),
        "padding": (0, 0, 0, 0),
        "groups": 1,
    }
    tensors = [Tensor(name, (1, 7, 7, channels), "int8") for name, channels in (("x", 960), ("y", 64))]
    return Call("", "conv2d", tensors[:1], tensors[1:], attributes)


def test_whole_sums_are_proved_once_for_all_pieces(monkeypatch):
    proofs: Counter = Counter()
    for name in ("parts_fit_lanes", "sums_stay_within"):
        prove = getattr(lanes, name)

        def counted(*arguments, name=name, prove=prove):
            proofs[name] += 1
            return prove(*arguments)

        monkeypatch.setattr(esp32s3.checked, name, counted)
    call, search = pieces_case(), channel_pieces.Conv2dPieces()
    assert len(list(search._ways(call))) > 40
    search.fits_range(call, -128, 127)
    assert 1 <= max(proofs.values()) <= 2  # one for each bound
    search.fits_range(call, -128, 127)
    assert max(proofs.values()) <= 2


def test_a_bisection_finds_the_pieces_of_sums_that_never_fall():
    random = np.random.RandomState(2)
    for _ in range(50):
        growth = random.randint(0, 5000, (random.randint(1, 5), 2, random.randint(1, 700)))
        most = int(growth.max() + random.randint(1, 60000))
        count = 0
        for rows in growth:
            start = 0
            while start < rows.shape[1]:
                over = (np.cumsum(rows[:, start:], axis=1) > most).any(axis=0)
                end = int(over.argmax()) if over.any() else len(over)
                start, count = start + min(end, packing._PIECE_STEPS), count + 1
        assert packing._count_pieces([(growth, most)]) == count


def test_values_of_samples_that_nobody_asks_for_are_not_changed():
    seen = []

    def doubled(_name, values):
        seen.append(len(values))
        return values * 2.0

    planes = Planes({"x": np.arange(12.0).reshape(12, 1)}).changed(doubled)
    quarter = planes.part(np.arange(2, 12, 4)).changed(lambda _name, values: values + 1.0)
    np.testing.assert_array_equal(quarter["x"], [[5.0], [13.0], [21.0]])
    np.testing.assert_array_equal(quarter.part(np.array([2]))["x"], [[21.0]])
    np.testing.assert_array_equal(planes["x"][:, 0], 2.0 * np.arange(12))
    assert seen == [3, 1, 12]
