"""Centering within a budget of instructions, and the forms of layers that it is counted by."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from onnx import helper
from shared_files import shared
from small_models import model_of

from esp_tvm.data import load_samples
from esp_tvm.model import inputs_of, load_model
from esp_tvm.preprocess import preprocess_onnx
from esp_tvm.quantize import Passes, pass_centre, quantize_model
from esp_tvm.quantize.budget import Offer, take_best
from esp_tvm.quantize.calibrate import calibrate, covering_exponent
from esp_tvm.quantize.centre import chains
from esp_tvm.quantize.costs import Instructions, largest_memory, memory_by_layer
from esp_tvm.quantize.equalize import ChannelStatistics
from esp_tvm.quantize.forms import WITH_FORMS, Forms, choose_form, ranges_of
from esp_tvm.quantize.graph import read_network
from esp_tvm.quantize.left import Left
from esp_tvm.quantize.pass_search import search_exponents
from esp_tvm.quantize.passes import State, exact_weights, rounded_weights
from esp_tvm.quantize.simulate import Simulator
from esp_tvm.quantize.trials import isolated_trials
from esp_tvm.quantize.weights import Weights

REPO = Path(__file__).resolve().parent.parent
SHARED = shared("models") or REPO.parent / "shared" / "models"
QUICK = {"equalize": False, "fit": False, "method": "mse", "effort": "quick"}


def offers(*pairs):
    """Offers that cost the same share on all chips: (gain, share)."""
    return [Offer(f"{gain} for {cost}", gain, dict.fromkeys(WITH_FORMS, cost)) for gain, cost in pairs]


def taken(groups, room, least=0.0):
    return [
        one and (one.gain, max(one.cost.values())) for one in take_best(groups, dict.fromkeys(WITH_FORMS, room), least)
    ]


def test_the_best_offers_are_taken_until_the_budget_is_spent():
    groups = [offers((4.0, 0.02)), offers((3.0, 0.01)), offers((1.0, 0.0)), offers((2.0, 0.02))]
    assert taken(groups, 0.03) == [(4.0, 0.02), (3.0, 0.01), (1.0, 0.0), None]
    # The second is worth more for what it costs; for the first there is no room then.
    assert taken(groups, 0.02) == [None, (3.0, 0.01), (1.0, 0.0), None]
    assert taken(groups, 0.0) == taken(groups, -0.1) == [None, None, (1.0, 0.0), None]


def test_an_offer_gives_way_to_a_dearer_one_of_its_group():
    groups = [offers((2.0, 0.0), (3.0, 0.01), (5.0, 0.02)), offers((4.0, 0.02))]
    assert taken(groups, 0.04) == [(5.0, 0.02), (4.0, 0.02)]
    assert taken(groups, 0.03) == [(3.0, 0.01), (4.0, 0.02)]
    # Less than that for all instructions is not worth them.
    assert taken(groups, 0.04, least=180.0) == [(2.0, 0.0), (4.0, 0.02)]


def test_what_costs_on_one_family_of_chips_only_counts_there():
    dear = Offer("on the S3", 5.0, {"riscv": 0.0, "esp32s3": 0.04})
    small = Offer("small", 1.0, {"riscv": 0.02, "esp32s3": 0.0})
    assert take_best([[dear], [small]], dict.fromkeys(WITH_FORMS, 0.03)) == [None, small]


@pytest.fixture(scope="module")
def separable():
    """(model, samples): the first relu is read by a depthwise convolution, the second by one of 1x1."""
    random = np.random.RandomState(0)

    def weights(*shape):
        return (random.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)

    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["c1"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("Conv", ["r1", "w2"], ["c2"], pads=[1, 1, 1, 1], group=64),
        helper.make_node("Relu", ["c2"], ["r2"]),
        helper.make_node("Conv", ["r2", "w3"], ["y"]),
    ]
    constants = {"w1": weights(64, 3, 3, 3), "w2": weights(64, 1, 3, 3), "w3": weights(16, 64, 1, 1)}
    model = model_of(nodes, {"x": [1, 3, 6, 6]}, {"y": [1, 16, 6, 6]}, constants)
    return model, {"x": random.standard_normal((12, 1, 3, 6, 6)).astype(np.float32)}


def test_what_is_cheap_is_centred_and_what_is_too_dear_is_not(separable):
    def lows(budget):
        result = quantize_model(*separable, Passes(budget=budget, int16_outputs=False, **QUICK))
        network = result.network
        # Nothing is spent where nothing is centred.
        assert max(network.spent.values(), default=0.0) <= 0.01 * float(budget[len("instructions=") : -1]) + 1e-4
        forms = ranges_of(network, result.exponents)
        return [forms[name][0] for name in ("r1", "r2")], network.spent

    # By today's table of costs the first takes some 0.06 %; whether it takes nothing at all is the table's to say.
    assert lows("instructions=0%")[0][1] == 0
    (cheap, dear), _ = lows("instructions=0.1%")
    assert cheap < 0 == dear
    (cheap, dear), spent = lows("instructions=100%")
    # 120 steps may gain as much as all.
    assert cheap < 0 and dear <= -120 and spent["riscv"] > 0.01
    # Where all that helps is too dear, some of it is taken.
    (_, dear), less = lows(f"instructions={spent['riscv'] * 60:.4f}%")
    assert dear < 0 and less["riscv"] < spent["riscv"]


def test_sums_of_the_s3_may_grow_before_they_are_exported(separable):
    """Weights are fitted after centering: what just keeps a fast form before may lose it."""
    result = quantize_model(*separable, Passes(int16_outputs=False, **QUICK))
    network, exponents, weights = result.network, result.exponents, result.weights
    now, grown = Forms(network).instructions(network, exponents, weights, weights, (0.0, 8.0))
    assert grown["esp32s3"] > now["esp32s3"] and grown["riscv"] == now["riscv"]


def test_an_input_that_is_centred_hides_no_other_rounding(separable):
    """Its noise is most of all in a network for speech: what is free was not centred."""
    model, samples = separable
    network = replace(read_network(model), centres={"x": 0.5})
    held = calibrate(network, samples)
    exponents = {name: covering_exponent(held[name].low, held[name].high) for name in network.integers}
    simulator = Simulator(network, samples)
    trials = isolated_trials(network, exponents, simulator, {"r1"})
    assert trials.state.network.wide == {"x", "r2", "y"}
    # Nothing is left of noise where nothing is rounded.
    assert isolated_trials(network, exponents, simulator, set()).noise < trials.noise / 1000


def test_an_input_that_a_table_reads_stays_in_int8():
    """A lopsided input beside it is centred as well as it can be; this ended in an IndexError."""
    nodes = [
        helper.make_node("Sigmoid", ["x"], ["s"], "sigmoid"),
        helper.make_node("Conv", ["picture", "w"], ["y"], "conv", pads=[1] * 4),
    ]
    random = np.random.RandomState(1)
    weights = {"w": random.standard_normal((4, 3, 3, 3)).astype(np.float32)}
    shapes = {"x": [1, 12], "picture": [1, 3, 8, 8]}
    model = model_of(nodes, shapes, {"s": [1, 12], "y": [1, 4, 8, 8]}, weights)
    samples = {
        "x": random.standard_normal((4, 1, 12)).astype(np.float32),
        "picture": random.randint(0, 256, (4, 1, 3, 8, 8)).astype(np.float32),
    }
    result = quantize_model(model, samples, Passes(**QUICK))
    assert "picture" in result.network.centres and "x" not in result.network.wide


def test_a_sum_is_made_where_the_operand_was_that_nothing_else_reads():
    """So that what is left for scratch memory beside the largest layers is what the compiler finds: each tensor has 64
    bytes."""
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"]),
        helper.make_node("Conv", ["a", "w"], ["b"]),
        helper.make_node("Conv", ["a", "w"], ["side"]),
        helper.make_node("Add", ["side", "b"], ["sum"]),
        helper.make_node("Conv", ["sum", "w"], ["c"]),
        helper.make_node("Add", ["c", "sum"], ["y"]),
    ]
    weights = {"w": np.ones((4, 4, 1, 1), np.float32)}
    model = model_of(nodes, {"x": [1, 4, 4, 4]}, {"y": [1, 4, 4, 4]}, weights)
    network = read_network(model, {"sum", "y"})
    # The first input of a sum is made first, whatever the order of the nodes.
    expected = {"x": 64, "a": 128, "side": 128, "b": 192, "sum": 128, "c": 128, "y": 128}
    assert memory_by_layer(network, ()) == expected and largest_memory(network, ()) == 192
    # A convolution that computes a sum writes over what it adds, unless it reads that, too.
    expected = {"x": 64, "a": 128, "b": 128, "sum": 128, "y": 128}
    assert memory_by_layer(read_network(model), ()) == expected


class Centred:
    """In place of what centers: relus of a row, each beside the next; `gains`: what each offers once a neighbour is
    centred."""

    def __init__(self, gains):
        self.gains, self.taken, self.asked = gains, [], []
        self.spent = dict.fromkeys(WITH_FORMS, 0.0)

    def offers(self, ways, _room):
        self.asked.append(ways[0])
        gain = self.gains.pop(ways[0], None)
        return offers((gain, 0.01)) if gain else []

    def offers_within(self, ways, room):
        return [one for one in self.offers(ways, room) if max(one.cost.values()) <= min(room.values())]

    def near(self, ways):
        return {ways[0], ways[0] + 1}

    def take(self, offer):
        self.taken.append(offer.gain)
        self.spent = {family: share + offer.cost[family] for family, share in self.spent.items()}


@pytest.mark.parametrize("whole, taken", [(0.02, [5.0, 2.0]), (0.045, [5.0, 2.0, 1.0, 0.5])])
def test_neighbours_of_what_was_centred_are_judged_anew(whole, taken):
    work = Centred({1: 1.0, 2: 0.5})
    # Of four relus the second promises much until the first is centred.
    waiting = [pass_centre._Waiting([index], offers((gain, 0.01))) for index, gain in enumerate((5.0, 4.0, 0.0, 2.0))]
    pass_centre._spend(work, waiting, whole, 0.0)
    assert work.taken == taken and work.asked[0] == 1


@pytest.fixture(scope="module")
def centred(separable):
    """(network before, exponents and weights of it, what of it is centred for little: state, simulator, channels)."""
    model, samples = separable
    network = read_network(model)
    held = calibrate(network, samples)
    exponents = {name: covering_exponent(held[name].low, held[name].high) for name in network.integers}
    simulator, statistics = Simulator(network, samples), ChannelStatistics(network)
    state = State(network, exponents, rounded_weights(network, exponents, simulator, CHEAP))
    return state, (*pass_centre.centre(state, simulator, CHEAP, statistics.channels), statistics.channels)


# The first relu costs next to nothing, the second at least three times as much.
CHEAP, ALL = (Passes(budget=f"instructions={part}%", int16_outputs=False) for part in (0.1, 100))


def test_more_is_centred_where_fitted_weights_leave_room(centred):
    before, (state, simulator, channels) = centred
    found = chains(before.network)
    assert {"r1", "r2"} & set(state.network.lowered) == {"r1"}
    assert pass_centre.centre_more(state, simulator, CHEAP, channels, found) is None
    more, its_simulator = pass_centre.centre_more(state, simulator, ALL, channels, found)
    assert {"r1", "r2"} <= set(more.network.lowered) and more.network.spent["riscv"] > 0.0
    # It is the same function as before, and a simulator of the same samples.
    assert more.network.uncentred == state.network.uncentred and its_simulator.network is more.network
    exactly = exact_weights(more.network, more.exponents)
    assert its_simulator.noise_of(State(more.network, more.exponents, exactly)) < simulator.noise_of(
        State(state.network, state.exponents, exact_weights(state.network, state.exponents))
    )
    # Where nothing was centred, nothing more is.
    assert pass_centre.centre_more(before, simulator, ALL, channels, found) is None


def test_what_is_spent_is_what_layers_take_with_their_weights(centred):
    before, (state, simulator, channels) = centred
    more, its_simulator = pass_centre.centre_more(state, simulator, ALL, channels, chains(before.network))
    first, now = (
        Forms(x.network).instructions(x.network, x.exponents, x.weights, x.weights)[0] for x in (before, more)
    )
    work = pass_centre._Centering(more, its_simulator, ALL, channels)
    work.count_spent(work.by_layer(more.network, more.exponents, more.weights))
    total = Instructions(before.network).total
    expected = {family: (now[family] - first[family]) / total[family] for family in WITH_FORMS}
    assert work.spent == pytest.approx(expected) and work.spent["riscv"] > 0.0


def test_finer_weights_are_counted_where_their_sums_leave_the_lanes(centred):
    _, (state, simulator, _) = centred
    finer = {
        name: replace(one, values=np.clip(one.values.astype(np.int16) * 2, -128, 127).astype(np.int8))
        for name, one in state.weights.items()
    }
    after = State(state.network, state.exponents, finer)
    left, roomy = (Left(state.network, simulator, passes) for passes in (CHEAP, ALL))
    more = left.more(state, after, state.weights)
    first, now = (
        Forms(x.network).instructions(x.network, x.exponents, x.weights, x.weights, (0.0,), simulator)[0]
        for x in (state, after)
    )
    total = Instructions(state.network).total
    assert more == pytest.approx({family: (now[family] - first[family]) / total[family] for family in WITH_FORMS})
    assert max(more.values()) > 0.001 and not left.allows(more) and roomy.allows(more)
    # What is taken is not there any more; what gets faster is always allowed.
    before = roomy.room["riscv"]
    roomy.take(more)
    assert roomy.room["riscv"] == pytest.approx(before - more["riscv"])
    assert left.allows(left.more(after, state, state.weights))


def test_the_search_takes_no_exponent_that_is_too_dear(centred, monkeypatch):
    _, (state, simulator, _) = centred
    coarse = {name: exponent + 1 for name, exponent in state.exponents.items()}
    start = State(state.network, coarse, rounded_weights(state.network, coarse, simulator, CHEAP))

    def searched():
        return search_exponents(start, simulator, ALL, None, set(), 1).exponents

    assert searched() != coarse
    monkeypatch.setattr(Left, "more", lambda *_: dict.fromkeys(WITH_FORMS, 2.0))
    assert searched() == coarse


@pytest.mark.parametrize("value, slower", [(100.0, True), (5.0, False)])
def test_checked_sums_that_samples_leave_are_counted_in_two_parts(value, slower):
    """The sum of a window's first row is large where its last row takes it away again: an emulator counted twice the
    instructions of such a layer of ResNet-8."""
    values = np.repeat(np.array([30, 0, -30], np.int8), 3 * 32).reshape(3, 3, 32)
    values = np.ascontiguousarray(np.broadcast_to(values.transpose(2, 0, 1), (32, 32, 3, 3)))
    model = model_of(
        [helper.make_node("Conv", ["x", "w"], ["y"])],
        {"x": [1, 32, 8, 8]},
        {"y": [1, 32, 6, 6]},
        {"w": values.astype(np.float32)},
    )
    network, exponents = read_network(model), {"x": 0, "y": 10}
    zeros = np.zeros(32, np.int32)
    weights = {"y": Weights(values, zeros, zeros, zeros.astype(np.float64))}
    noise = np.random.RandomState(0).uniform(-5.0, 5.0, (4, 1, 32, 8, 8))
    simulator = Simulator(network, {"x": (noise + value).astype(np.float32)})
    forms = Forms(network)
    (call,) = forms.calls(network, exponents, weights, ["y"])
    choose_form(call, "esp32s3", forms.room(call))
    assert type(call.variant).__name__ == "Conv2dChecked"
    (usual,), (counted,) = (
        forms.instructions(network, exponents, weights, ["y"], (0.0,), s) for s in (None, simulator)
    )
    factor = call.variant.slowest(call) if slower else 1.0
    assert counted["esp32s3"] == pytest.approx(usual["esp32s3"] * factor) and call.variant.slowest(call) > 1.2
    assert counted["riscv"] == usual["riscv"]


CASES = {
    "digits": REPO / "examples" / "digits",
    "resnet8": SHARED / "resnet8",
    "kws": SHARED / "kws",
}


def network_of(name, folder):
    """(model, samples) of one of CASES."""
    if not (CASES[name] / "model.onnx").exists():
        pytest.skip(f"{CASES[name]} is not here")
    preprocess_onnx(CASES[name] / "model.onnx", folder / "model.onnx")
    model = load_model(folder / "model.onnx")
    return model, {k: v[:24] for k, v in load_samples(CASES[name] / "calib.npy", inputs_of(model)).items()}


WEIGHTED = ("conv2d", "conv2d_add", "depthwise_conv2d", "dense")


def _identity(call):
    """What tells a layer from the others, in whatever order its channels are."""
    weights = call.attributes["weights"]
    return weights.shape, int(np.abs(weights.astype(np.int64)).sum())


@pytest.mark.parametrize("name", ["separable", *(pytest.param(name, marks=pytest.mark.slow) for name in CASES)])
def test_forms_are_those_of_the_export(name, separable, tmp_path):
    pytest.importorskip("tvm")
    from esp_tvm.compile import compile_imported, import_model

    model, samples = separable if name == "separable" else network_of(name, tmp_path)
    quantized = quantize_model(model, samples, Passes(int16_outputs=False, **QUICK))
    network, exponents, weights = quantized.network, quantized.exponents, quantized.weights
    assert any(low < 0 for low, _ in ranges_of(network, exponents).values())
    forms, relay = Forms(network), import_model(quantized.model)
    for family, chip in (("esp32s3", "esp32s3"), ("riscv", "esp32c3")):
        predicted = list(forms.calls(network, exponents, weights, weights))
        for call in predicted:
            choose_form(call, family, forms.room(call))
        program = compile_imported(quantized.model, relay, chip=chip).program
        exported = [call for call in program.kernels if call.operator in WEIGHTED]
        assert len(exported) == len(predicted) >= 3
        by_identity = {_identity(call): call for call in exported}
        for ours in predicted:
            theirs = by_identity[_identity(ours)]
            assert ours.input_range == theirs.input_range
            if family == "esp32s3":
                assert type(ours.variant) is type(theirs.variant), (name, theirs.title)
            if theirs.variant is not None:
                # Of plain C, how much memory there is decides among those with pieces and the others; the export puts
                # channels with large weights side by side, which saves up to a fifth of the pieces.
                pieces = theirs.variant.pieces(ours)
                assert 4 / 5 * pieces <= theirs.variant.pieces(theirs) <= 1.1 * pieces
