"""The estimate of time: its constants against what was counted and published, and what a call waits for."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto
from qdq import QdqBuilder

pytest.importorskip("tvm")

REPO = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPO / "bench"))

import kernel_costs  # noqa: E402
import published_times  # noqa: E402
from pipeline_harness import compile_once_imported  # noqa: E402

from esp_tvm.boards import choose_board  # noqa: E402
from esp_tvm.chips import CHIPS  # noqa: E402
from esp_tvm.compile import compile_imported, compile_model, import_model  # noqa: E402
from esp_tvm.compile.kernels.esp32s3 import choose_vector  # noqa: E402
from esp_tvm.compile.kernels.esp32s3.lanes import Esp32s3Variant  # noqa: E402
from esp_tvm.estimate import ERROR, estimate_program, saved_in_psram, sum_of  # noqa: E402
from esp_tvm.estimate.costs import FILE, LIKE, costs, instructions  # noqa: E402
from esp_tvm.estimate.fetches import fetches  # noqa: E402
from esp_tvm.estimate.memories import CLOCKS, flash_lines_of, psram_lines_of  # noqa: E402
from esp_tvm.estimate.text import estimate_lines, milliseconds  # noqa: E402
from esp_tvm.estimate.work import Work  # noqa: E402
from esp_tvm.program import Call, Loop, Tensor  # noqa: E402
from esp_tvm.project.constants import fit_and_estimate  # noqa: E402
from esp_tvm.project.placement import note_memory  # noqa: E402

_KINDS = ("8MB:octal", "2MB:quad", "none")
INSIDE = {"arena": "internal", "inputs": "internal", "outputs": "internal"}


def network(channels=256, size=4):
    """A pointwise convolution whose weights are larger than small caches."""
    b = QdqBuilder(0)
    x = b.input("x", [1, 16, size, size], -4)
    x = b.conv(x, [channels, 16, 1, 1], -2, relu=True)
    x = b.conv(x, [channels, channels, 1, 1], -1)
    b.quantize(b.node("GlobalAveragePool", [x]), -3, "y")
    b.output("y", [1, channels, 1, 1])
    return b.model()


@pytest.fixture(scope="module")
def models():
    return {chip: compile_once_imported(network(), chip=chip, target_chip=chip) for chip in ("esp32c3", "esp32s3")}


@pytest.fixture(scope="module")
def compiled(models):
    return {chip: model.program for chip, model in models.items()}


def estimated(program, places=INSIDE, constants="flash", **board):
    board = choose_board(program.target_chip, **board)
    note_memory(program, places, constants)
    estimate_program(program, board, constants)
    return program


def widest(program):
    """The call with most weights."""
    return max(program.calls(), key=lambda call: sum(constant.array.nbytes for constant in call.constants))


def test_the_table_is_what_was_counted():
    results = json.loads(kernel_costs.RESULTS.read_text())
    table = json.loads(FILE.read_text())
    made = kernel_costs.made(results, table)
    assert made == table, "run python bench/kernel_costs.py"
    # Networks that the fit has not seen; dense layers alone (the autoencoder) are not what the others have.
    for family, ratios in made["left_out"].items():
        for name, ratio in ratios.items():
            assert 1 / ERROR < ratio < ERROR, (family, name)
            assert name == "autoencoder" or 0.75 < ratio < 1.35, (family, name)


def test_factors_stay_that_meet_what_is_counted():
    """Two fits of few calls led to each other's networks by turns: a product or a call may stand for the rest."""
    works = [Work(values, 1, 64 * values, 64) for values in (10, 20)]
    counts = [kernel_costs.Count("one", "esp_dl_dense_s8", work, 10 * work.macs) for work in works]

    def terms(kept):
        before = {"esp_dl_dense_s8": {"terms": kept}}
        return kernel_costs.fitted(counts, "riscv", before)["esp_dl_dense_s8"]["terms"]

    assert terms({"macs": 9.0, "values": 64.0}) == {"macs": 9.0, "values": 64.0}
    # What is a tenth off, or has a term that this kernel has no more, is fitted anew.
    fresh = kernel_costs.fitted(counts, "riscv")["esp_dl_dense_s8"]["terms"]
    assert fresh == terms({"macs": 9.0}) == terms({"macs": 10.0, "macs6": 0.001}) == pytest.approx({"macs": 10.0})


def test_every_vector_kernel_has_costs_of_its_own_unit():
    """One that a bench's networks happened not to have was taken for plain C, twenty times slower (YOLO11n: 2.9 s)."""

    def all_of(variant):
        return {variant}.union(*map(all_of, variant.__subclasses__()))

    known = {name.split()[0] for name in costs()["families"]["esp32s3"]}
    # What is chosen, not what has the common part of others.
    bases = {"Esp32s3Variant", "InAnotherForm"}
    names = {one.__name__ for one in all_of(Esp32s3Variant) if one.__module__.startswith("esp_tvm.")} - bases
    assert len(names) > 20
    assert {name for name in names if LIKE.get(name, name) not in known and name not in known} == set()


def test_published_times_lie_within_the_error():
    ratios = {what: own / theirs for what, own, theirs in published_times.rows()}
    assert len(ratios) == 5 and all(1 / ERROR < ratio < ERROR for ratio in ratios.values()), ratios
    # The figures that docs/estimate.md gives.
    assert (round(min(ratios.values()), 2), round(max(ratios.values()), 2)) == (0.66, 1.14)


def test_networks_others_describe_are_theirs():
    assert sum(layer.macs for layer in published_times.mobilenet_v2(1.0, 224, 1000)) == 300_774_272
    assert sum(layer.macs for layer in published_times.mobilenet_v1(96, 3)) == 7_489_664 - 256 * 2


def test_instructions_are_those_of_the_bench(compiled):
    """Within the error of a fit, of a call that the bench has counted: 1x1, 64 to 64, 25x5."""
    terms = Work(25 * 5 * 64, 64, 512_000, 64).terms()
    own = costs()["families"]["esp32s3"]["Conv2dLanes conv2d"]["terms"]
    assert sum(factor * terms[name] for name, factor in own.items()) == pytest.approx(48_129, rel=0.15)
    for program, vector in ((compiled["esp32c3"], False), (compiled["esp32s3"], True)):
        for call in program.calls():
            count = instructions(call, CLOCKS[program.target_chip].family, vector)
            assert count is not None and (count > 0 or call.is_view), call.title
    fewer = [sum_of(estimated(compiled[chip]))[0].instructions for chip in ("esp32s3", "esp32c3")]
    assert fewer[0] * 4 < fewer[1]


def test_weights_larger_than_the_cache_are_fetched_again(compiled):
    program = estimated(compiled["esp32c3"])
    call, board = widest(program), choose_board("esp32c3")
    size = sum(constant.array.nbytes for constant in call.constants)
    assert size > CLOCKS["esp32c3"].cache and call.kernel == "esp_dl_conv2d_s8_6x2"
    once = flash_lines_of(board).nanoseconds(size, CLOCKS["esp32c3"].line) / 1000
    # Sixteen pixels, six at a time.
    assert call.estimate.weights == pytest.approx(3 * once)
    assert call.estimate.activations == 0
    # The kernel whose sums are checked takes a block of its weights for all pixels.
    call = widest(estimated(compiled["esp32s3"]))
    size = sum(constant.array.nbytes for constant in call.constants)
    once = flash_lines_of(choose_board("esp32s3")).nanoseconds(size, CLOCKS["esp32s3"].line) / 1000
    assert size > CLOCKS["esp32s3"].cache and type(call.variant).__name__ == "Conv2dPieces"
    assert call.estimate.weights == pytest.approx(once)
    before = sum_of(estimated(compiled["esp32s3"]))[0]
    saved = {psram: saved_in_psram(compiled["esp32s3"], choose_board("esp32s3", psram=psram)) for psram in _KINDS}
    moved = sum_of(estimated(compiled["esp32s3"], constants="psram"))[0]
    assert saved["8MB:octal"] * 1000 == pytest.approx(before.weights - moved.weights) and moved.weights > 0
    assert saved["none"] == saved["2MB:quad"] == saved_in_psram(compiled["esp32s3"], choose_board("esp32s3")) == 0
    assert not any(call.estimate.weights for call in estimated(compiled["esp32s3"], constants="internal").calls())


def test_weights_go_to_psram_unasked_where_that_is_worth_it(models, monkeypatch):
    """Where PSRAM is used anyway, or where it saves enough to be turned on; never where it is only assumed."""

    def noted(constants="auto", **board):
        fit = fit_and_estimate(models["esp32s3"], choose_board("esp32s3", **board), constants)
        lines = {memory for name, memory in (("CONFIG_SPIRAM_RODATA=y", "psram"),) if name in fit.sdkconfig}
        assert fit.constants_memory in (lines or {"flash"})
        return fit.constants, sum_of(models["esp32s3"].program)[0].weights, " ".join(fit.notes)

    octal = {"psram": "8MB:octal"}
    stays, inside, offered = noted(**octal)
    assert stays == "flash" and "(--constants psram) would save about" in offered
    for needed in (
        lambda: noted(internal="1kB", **octal),
        lambda: (monkeypatch.setattr("esp_tvm.project.constants._WORTH_TURNING_ON", 0.0), noted(**octal))[1],
    ):
        place, waits, said = needed()
        assert place == "psram" and waits < inside and "copied to PSRAM at start, which saves about" in said
    assert noted("flash", internal="1kB", **octal)[0] == "flash"
    # An S3 whose board is not known may have none, and quad PSRAM is slower than flash.
    assert [noted(internal="1kB")[0], noted(internal="1kB", psram="2MB:quad")[0], noted()[0]] == ["flash"] * 3
    # There is too little of it.
    monkeypatch.setattr("esp_tvm.project.fit.SYSTEM_FLASH", 9 * 2**20)
    assert noted(internal="1kB", **octal)[0] == "flash"


def test_rows_of_a_dense_layer_are_fetched_as_those_of_the_convolution_that_it_is():
    rows, inputs, outputs = 196, 512, 64
    attributes = {"weights": np.ones((outputs, inputs), np.int8), "bias": np.zeros(outputs, np.int32)}
    attributes.update(shift=np.full(outputs, 8), clamp=(-128, 127))
    x, y = Tensor("x", (rows, inputs), "int8"), Tensor("y", (rows, outputs), "int8")
    call = Call("", "dense", [x], [y], attributes, input_range=(-8, 7))
    call.variant = choose_vector(call, *call.input_range)
    # More than the cache holds, once for every sixteen outputs.
    assert type(call.variant).__name__ == "Dense" and x.bytes > CLOCKS["esp32s3"].cache
    assert {tensor.name: often for tensor, often in fetches(call, CLOCKS["esp32s3"])}["x"] == outputs // 16


@pytest.mark.parametrize("chip", ["esp32c3", "esp32s3"])
def test_of_a_table_only_the_rows_that_are_taken_are_fetched(chip):
    """A larger vocabulary takes no longer; a small table stays in the cache."""
    waits = []
    for rows in (10, 1000, 20000):
        b = QdqBuilder()
        table = np.random.RandomState(0).standard_normal((rows, 64)).astype(np.float32)
        ids = b.input("ids", [1, 12], dtype=TensorProto.INT64)
        b.quantize(b.node("Gather", [b.initializer(table), ids], axis=0), -5, "y")
        b.output("y", [1, 12, 64])
        program = compile_model(b.model(), target_chip=chip).program
        estimated(program)
        (taken,) = (call for call in program.calls() if call.operator == "take")
        waits.append(taken.estimate.weights)
    assert waits[0] < waits[1] == waits[2]


def test_every_strip_of_a_loop_fetches_weights_that_do_not_stay_together():
    b = QdqBuilder(0)
    x = b.conv(b.input("x", [1, 3, 24, 24], -4), [32, 3, 3, 3], -2, relu=True, pads=[1, 1, 1, 1])
    x = b.conv(x, [64, 32, 3, 3], -1, relu=True, pads=[1, 1, 1, 1])
    b.quantize(b.conv(x, [8, 64, 1, 1], -1), -3, "y")
    b.output("y", [1, 8, 24, 24])
    model = b.model()
    program = compile_imported(model, import_model(model), target_chip="esp32c3", strips=0).program
    loop = next(item for item in program.items if isinstance(item, Loop))
    strips = -(-loop.calls[-1].writes[0].shape[1] // loop.rows)
    calls = [call for call in loop.calls if call.constants]
    assert strips > 1 and calls
    estimated(program)
    lines = flash_lines_of(choose_board("esp32c3"))
    for call in calls:
        size = sum(constant.array.nbytes for constant in call.constants)
        once = lines.nanoseconds(size, CLOCKS["esp32c3"].line) / 1000
        often = max(strips, call.variant.weight_passes(call)) if size > CLOCKS["esp32c3"].cache else strips
        assert call.estimate.weights == pytest.approx(often * once), call.title


def test_psram_is_waited_for_by_its_kind(compiled):
    waits = {}
    for psram in ("8MB:octal", "2MB:quad"):
        program = estimated(compiled["esp32s3"], {**INSIDE, "arena": "psram"}, psram=psram)
        waits[psram] = sum_of(program)[0].activations
    assert 0 < 2 * waits["8MB:octal"] < waits["2MB:quad"]
    only_input = estimated(compiled["esp32s3"], {**INSIDE, "inputs": "psram"})
    first = next(call for call in only_input.calls() if not call.is_view)
    lines = psram_lines_of(choose_board("esp32s3"))
    assert first.estimate.activations == pytest.approx(lines.nanoseconds(16 * 16 * 4, 64) / 1000)
    assert sum_of(only_input)[0].activations == first.estimate.activations
    # As measured: 84 MB/s.
    assert 64 / (lines.nanoseconds(64, 64) * 1e-3) == pytest.approx(84.16, rel=0.02)


def test_both_cores_share_the_instructions():
    one, two = (compile_once_imported(network(64, 16), cores=cores, target_chip="esp32").program for cores in (1, 2))
    assert any(call.split is not None for call in two.calls())
    times = [sum_of(estimated(program))[0].compute for program in (one, two)]
    # Less than half is possible: kernels with more scratch memory fit the larger arena.
    assert 0.35 * times[0] < times[1] < 0.75 * times[0]


def test_the_host_has_no_estimate():
    program = compile_model(network(16), target_chip="host").program
    note_memory(program, INSIDE, "flash")
    estimate_program(program, choose_board("host"), "flash")
    assert estimate_lines(program) == [] and {call.estimate for call in program.calls()} == {None}


def test_every_chip_has_a_clock():
    assert set(CLOCKS) == {name for name, chip in CHIPS.items() if not chip.is_host}
    defaults = REPO / "template_project_for_model"
    for name, clock in CLOCKS.items():
        frequency = f"CPU_FREQ_MHZ_{clock.mhz}=y" in (defaults / f"sdkconfig.defaults.{name}").read_text()
        assert frequency or name == "esp32p4", name


def test_it_is_called_an_estimate_and_says_what_it_waits_for(compiled):
    first, slowest = estimate_lines(estimated(compiled["esp32s3"], {**INSIDE, "arena": "psram"}))
    assert first.startswith("estimate, not measured on a board: ")
    assert "waiting for weights" in first and "waiting for activations in PSRAM" in first
    assert slowest.startswith("slowest by this estimate: ") and slowest.count(" ms") == 3
    assert [milliseconds(one) for one in (12_345, 1_234, 99.6)] == ["12", "1.2", "0.1"]


def test_calls_without_a_known_cost_are_named():
    b = QdqBuilder(0)
    x = b.input("x", [1, 8], -4)
    b.quantize(b.node("Erf", [b.quantize(b.node("Relu", [x]), -4)]), -6, "y")
    b.output("y", [1, 8])
    program = estimated(compile_model(b.model(), target_chip="esp32c3").program)
    unknown = sum_of(program)[1]
    if program.fallbacks:
        assert unknown == program.fallbacks and "of which it knows no time" in estimate_lines(program)[-1]
    else:
        assert not unknown
    assert np.isfinite(sum_of(program)[0].microseconds)


def test_sums_of_rows_take_as_many_instructions_as_those_of_the_image():
    x, y = (Tensor(name, shape, "int8", 0) for name, shape in (("x", (1, 7, 7, 96)), ("y", (1, 1, 1, 96))))
    kernels = ("esp_dl_average_pool2d_s8_global", "esp_dl_average_pool2d_s8_rows", "esp_dl_average_pool2d_s16_rows")
    calls = [Call("", "average_pool2d", [x], [y], {"kernel": (7, 7)}, kernel=kernel) for kernel in kernels]
    for family in ("riscv", "xtensa"):
        assert len({instructions(call, family, False) for call in calls} - {None}) == 1
        assert None not in [instructions(call, family, False) for call in calls]


def test_the_table_of_pixels_is_counted():
    x, y = (Tensor(name, (1, 96, 96, 3), dtype, -7) for name, dtype in (("x", "uint8"), ("y", "int8")))
    call = Call("", "pixels", [x], [y], {"table": np.zeros((3, 256), np.int8), "axis": 3}, kernel="esp_dl_pixels_s8")
    for family, vector in (("riscv", False), ("xtensa", False), ("xtensa", True)):
        assert 5 * x.elements < instructions(call, family, vector) < 20 * x.elements
