"""The kernels for the ESP32-S3's vector unit give the plain kernels' bytes: their C everywhere, the assembly where an
emulator runs it."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import List, Sequence

import numpy as np
import pytest
from esp32s3_cases import ALL, Pair, listed, random_pairs, run_in_emulator, verdicts
from esp32s3_layers import layers, run_on_host
from kernel_archive import COMPONENT, INCLUDES
from pipeline_harness import compile_once_imported
from test_memory_plan import residual_network

from esp_tvm import cli
from esp_tvm.compile.kernels.esp32s3 import checked as s3_checked
from esp_tvm.compile.kernels.esp32s3 import choose_vector
from esp_tvm.compile.kernels.esp32s3.checked import Conv2dChecked
from esp_tvm.compile.kernels.esp32s3.convolution import Conv2dLanes, Conv2dWide
from esp_tvm.compile.kernels.esp32s3.lanes import LANE_MAX
from esp_tvm.compile.kernels.esp32s3.measured import Conv2dMeasured, largest_norm, zero_of
from esp_tvm.evaluate import NumpyEvaluator
from esp_tvm.program import Call, Tensor
from esp_tvm.run import esp32s3
from esp_tvm.run.host import host_compiler

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "bench"))

import bench_esp32s3  # noqa: E402


@pytest.fixture(scope="module")
def emulator(tmp_path_factory):
    """Skips with a reason where there is no compiler or emulator."""
    reason = esp32s3.why_not(tmp_path_factory.mktemp("probe"))
    if reason:
        pytest.skip(reason)


def test_same_bytes_on_this_computer(tmp_path):
    pairs = layers(6 * len(ALL), seed=1)
    assert listed(pairs, run_on_host(pairs, tmp_path)) is None


@pytest.mark.parametrize("number", range(len(ALL)), ids=lambda number: f"{number}-{type(ALL[number]).__name__}")
def test_same_bytes_in_the_emulator(number, emulator, tmp_path):
    pairs = random_pairs(ALL[number], 60, seed=2)
    assert listed(pairs, run_in_emulator(pairs, tmp_path)) is None


def test_shapes_of_the_table_reach_their_aims(emulator):
    """Layers of usual sizes: the plain kernels' bytes, and the instructions that docs/esp32-s3.md promises."""
    for row, kernel, macs, instructions in bench_esp32s3.measure([*bench_esp32s3.ROWS, *bench_esp32s3.MORE_ROWS]):
        assert macs / instructions >= row.aim, f"{row.name} by {kernel}: {macs / instructions:.2f}, aim {row.aim}"


def convolution(channels: int, value: int) -> Call:
    """3x3 over 4x4, 16 outputs, all weights the same."""
    attributes = {
        "weights": np.full((16, 3, 3, channels), value, np.int8),
        "bias": np.zeros(16, np.int32),
        "shift": np.full(16, 12),
        "clamp": (-128, 127),
        "strides": (1, 1),
        "padding": (1, 1, 1, 1),
        "dilation": (1, 1),
        "groups": 1,
    }
    x, y = Tensor("x", (1, 4, 4, channels), "int8"), Tensor("y", (1, 4, 4, 16), "int8")
    return Call("", "conv2d", [x], [y], attributes)


@pytest.mark.parametrize(
    "channels, value, low, high, kind",
    [
        # 3 * 3 * 32 * 14 * 128 = 516096 < 2^19: all fits.
        (32, 14, -128, 127, "Conv2dLanes"),
        (32, 15, -128, 127, "Conv2dMeasured"),
        # A relu's output is never negative, but what is never negative can be as large.
        (32, 15, 0, 40, "Conv2dLanes"),
        # A tap of 48 channels alone reaches 48 * 127 * 128: more than lanes hold.
        (48, 127, -128, 127, "Conv2dWide"),
    ],
)
def test_lanes_are_taken_only_where_no_sum_can_leave_them(channels, value, low, high, kind):
    assert type(choose_vector(convolution(channels, value), low, high)).__name__ == kind


def wide_convolution(shift: Sequence[int], value: int = 127, channels: int = 16, rows: int = 4) -> Call:
    """1x1 of int16 with rows x 4 pixels and 8 outputs, all weights the same."""
    call = convolution(channels, value)
    attributes = {**call.attributes, "weights": call.attributes["weights"][:8, :1, :1], "bias": np.zeros(8, np.int32)}
    attributes.update(shift=np.array(shift), clamp=(-32768, 32767), padding=(0, 0, 0, 0), output="int16")
    x, y = (Tensor(name, (1, rows, 4, size), "int16") for name, size in (("x", channels), ("y", 8)))
    return replace(call, operator="conv2d_s16", inputs=[x], outputs=[y], attributes=attributes)


@pytest.mark.parametrize(
    "call, kind",
    [
        (wide_convolution([23, *[15] * 7]), "Conv2dS16"),
        # 127 << 9 is no int16, 63 << 9 is one.
        (wide_convolution([24, *[15] * 7]), None),
        (wide_convolution([24, *[15] * 7], 63), "Conv2dS16"),
        # A sum of 512 * 127 * 32768 is nearly 2^31, 2^8 of it are nearly 2^39, 2^9 more than 40 bits hold.
        (wide_convolution([23, *[15] * 7], 127, 512), "Conv2dS16"),
        (wide_convolution([24, *[15] * 7], 63, 1024), None),
    ],
)
def test_convolutions_of_int16_are_taken_where_16_and_40_bits_hold_all(call, kind):
    found = choose_vector(call, -128, 127)
    assert (None if found is None else type(found).__name__) == kind


def test_what_pads_an_int16_image_is_0():
    call = wide_convolution([15] * 8)
    assert choose_vector(call, -128, 127) is not None
    call.attributes["pad_value"] = -1
    assert choose_vector(call, -128, 127) is None


def widest_sums() -> List[Pair]:
    """Sums that fill the lanes of 40 bits almost, to both sides."""
    pairs = []
    for value in (127, -127):
        call = wide_convolution([23, *[15] * 7], value, 512)
        pair = Pair(call, choose_vector(call, -128, 127), -128, 127, np.random.RandomState(0))
        pair.inputs = [np.full(call.inputs[0].elements, -32768, np.int16)]
        pairs.append(pair)
    return pairs


def test_lanes_of_40_bits_hold_the_widest_sums(tmp_path):
    assert listed(widest_sums(), run_on_host(widest_sums(), tmp_path)) is None


def test_lanes_of_40_bits_hold_the_widest_sums_in_the_emulator(emulator, tmp_path):
    assert listed(widest_sums(), run_in_emulator(widest_sums(), tmp_path)) is None


def test_few_pixels_to_int16_read_weights_of_8_bits():
    """Weights of 16 bits are twice as many bytes to fetch from flash."""

    def from_int8(rows: int) -> Call:
        call = wide_convolution([15] * 8, rows=rows)
        return replace(call, inputs=[replace(call.inputs[0], dtype="int8")])

    assert type(choose_vector(from_int8(1), -128, 127)).__name__ == "PointwiseS16"
    assert type(choose_vector(from_int8(2), -128, 127)).__name__ == "Conv2dS16"


@pytest.mark.parametrize(
    "outputs, channels, value, kind",
    [(1, 32, 1, "Conv2dFew"), (2, 32, 1, "Conv2dFew"), (2, 32, 127, "Conv2dFew"), (3, 32, 1, "Conv2dLanes")],
)
def test_few_outputs_leave_lanes_empty(outputs, channels, value, kind):
    """One or two are faster one after the other, whether lanes hold their sums or not."""
    call = convolution(channels, value)
    attributes = {name: call.attributes[name][:outputs] for name in ("weights", "bias", "shift")}
    y = replace(call.output, shape=(1, 4, 4, outputs))
    call = replace(call, outputs=[y], attributes={**call.attributes, **attributes})
    assert type(choose_vector(call, -128, 127)).__name__ == kind


@pytest.mark.parametrize("columns, kind", [(4, "Conv2dPairs"), (3, "Conv2dLanes")])
def test_two_pixels_of_eight_outputs_are_sixteen_channels(columns, kind):
    call = convolution(16, 1)
    attributes = {**call.attributes, **{name: call.attributes[name][:8] for name in ("weights", "bias", "shift")}}
    x, y = (replace(call.inputs[0], shape=(1, 4, columns, channels)) for channels in (16, 8))
    call = replace(call, inputs=[x], outputs=[y], attributes=attributes)
    assert type(choose_vector(call, -128, 127)).__name__ == kind


def test_left_shifts_without_0_in_the_clamp_and_wide_tensors_are_left_to_c():
    call = convolution(32, 1)
    call.attributes["shift"] = np.full(16, -1)
    assert choose_vector(call, -128, 127) is not None
    call.attributes["clamp"] = (1, 127)
    assert choose_vector(call, -128, 127) is None
    call = convolution(32, 1)
    call = replace(call, inputs=[replace(call.inputs[0], dtype="int16")])
    assert choose_vector(call, -128, 127) is None


def far_up_and_down() -> Call:
    """Sums go far up, and come down again: 6 * 32 * 22 * 127 = 536448 > 2^19, then less 3 * 32 * 64 * 127."""
    call = convolution(32, 0)
    call.attributes["weights"][:, :2], call.attributes["weights"][:, 2] = 22, -64
    assert not Conv2dLanes().fits_range(call, 0, 127)
    return call


class SmallBlocks(Conv2dWide):
    """Weights of every size in blocks, of few channels."""

    LARGE, BLOCK = 0, 256


class SmallCheckedBlocks(Conv2dChecked):
    """The same where sums are checked."""

    LARGE, BLOCK = 0, 16 * 1024


@pytest.fixture
def unusual_sums(monkeypatch):
    """Sums are checked whatever they may be expected to be."""
    monkeypatch.setattr(s3_checked, "sums_stay_within", lambda *_: True)


@pytest.mark.parametrize("runs", [run_on_host, run_in_emulator])
def test_weights_in_blocks(runs, request, tmp_path):
    """As they lie where they are larger than the cache."""
    if runs is run_in_emulator:
        request.getfixturevalue("emulator")
    pairs = random_pairs(SmallBlocks(), 60, seed=11)
    assert {SmallBlocks().block(pair.call) for pair in pairs} >= {2, 4} and len(pairs) > 20
    checked = random_pairs(SmallCheckedBlocks(rows=False, check_bits=11), 30, seed=11)
    assert {pair.variant.block(pair.call) for pair in checked} >= {16, 32}
    assert listed(pairs + checked, runs(pairs + checked, tmp_path)) is None


def test_only_weights_larger_than_the_cache_lie_in_blocks():
    call = convolution(256, 127)
    assert Conv2dWide().block(call) == 0 and Conv2dWide().weight_passes(call) == 16
    large = np.full((64, 3, 3, 256), 127, np.int8)
    attributes = {**call.attributes, "weights": large, "bias": np.zeros(64, np.int32), "shift": np.full(64, 12)}
    call = replace(call, outputs=[replace(call.output, shape=(1, 4, 4, 64))], attributes=attributes)
    # Seven channels of 2304 bytes are the most in 16 kB; an even number.
    assert Conv2dWide().block(call) == 6 and Conv2dWide().weight_passes(call) == 1
    assert Conv2dWide().overlap_distance(call) is None


CHECKED = [variant for variant in ALL if isinstance(variant, Conv2dChecked)]
MEASURED = [variant for variant in ALL if isinstance(variant, Conv2dMeasured)]


@pytest.mark.parametrize("runs", [run_on_host, run_in_emulator])
def test_sums_that_leave_their_lanes_are_computed_again(runs, request, unusual_sums, tmp_path):
    """Sums of checked lanes that saturate would give other bytes."""
    if runs is run_in_emulator:
        request.getfixturevalue("emulator")
    call = far_up_and_down()
    pairs = [Pair(call, v, 0, 127, np.random.RandomState(0)) for v in CHECKED if v.fits_range(call, 0, 127)]
    assert pairs
    for pair in pairs:
        pair.inputs[0][:] = 127
    assert listed(pairs, runs(pairs, tmp_path)) is None


def test_data_change_the_time_by_a_factor_of_two_at_most(emulator, unusual_sums, tmp_path):
    """The kernels whose time depends on data, with sums that all fit and with sums that never do."""
    rows = [row for row in bench_esp32s3.ROWS if row.operator == "conv2d" and (row.channels >= 16 or row.kernel == 7)]
    pairs = []
    for number, row in enumerate(rows):
        call = bench_esp32s3.call_of(row, np.random.RandomState(number))
        call.attributes["weights"] = np.abs(call.attributes["weights"])
        if Conv2dLanes().fits_range(call, 0, 127):
            continue
        for variant in CHECKED + MEASURED:
            for value in (0, 127):
                if variant.fits_range(call, 0, 127):
                    pairs.append(Pair(call, variant, 0, 127, np.random.RandomState(0)))
                    pairs[-1].inputs[0][:] = value
    found = verdicts(run_in_emulator(pairs, tmp_path), pairs)
    assert len(pairs) >= 6 and {type(pair.variant) for pair in pairs} == {Conv2dChecked, *map(type, MEASURED)}
    for pair, least, most in zip(pairs[::2], found[::2], found[1::2]):
        assert not least.difference and not most.difference
        factor = most.instructions / least.instructions
        assert 1.2 < factor <= min(pair.variant.slowest(pair.call) + 0.05, 2.0), f"{factor}: {pair.describe()}"


def test_sums_come_near_the_end_of_their_lanes_but_do_not_leave_them():
    """The input that brings a sum furthest, of the largest norm that is taken; then a relu's, centred."""
    random = np.random.RandomState(3)
    weights, bias = np.round(random.randn(8, 500) * 30).astype(int), random.randint(-9000, 9000, 8)
    for low, zero, start in ((-128, 0, bias), (-128, -128, bias + 128 * weights.sum(axis=1))):
        assert zero_of(weights, start, low) == zero
        norm, most = largest_norm(weights, start, low, zero), []
        for one, first in zip(weights, start):
            for direction in (one, -one):
                direction = np.maximum(direction, 0) if zero == low else direction
                x = zero + norm * direction / np.linalg.norm(direction)
                most.append(np.abs(first + np.concatenate([[0], np.cumsum(x * one)])).max())
        assert 0.97 * LANE_MAX < max(most) <= LANE_MAX + 1


@pytest.mark.parametrize("runs", [run_on_host, run_in_emulator])
def test_rows_that_hold_much_are_computed_in_two_parts(runs, request, tmp_path):
    """Of more channels and pixels than are computed at a time: all, the last and no pixels hold too much."""
    if runs is run_in_emulator:
        request.getfixturevalue("emulator")
    random, variant, pairs = np.random.RandomState(5), Conv2dMeasured(usual=0.3), []
    call = bench_esp32s3.call_of(bench_esp32s3.Row("", None, None, 0, "conv2d", (9, 9), 256, 288, 1), random)
    for large in (0, 70, 81):
        pairs.append(Pair(call, variant, 0, 127, random))
        pairs[-1].inputs[0][:] = np.where(np.arange(81) >= large, 127, 20).repeat(256)
    # Two passes over weights that do not stay in the cache: it is not chosen, but right.
    assert variant.weight_passes(call) == 2 and not variant.fits_range(call, 0, 127)
    variant.LARGE = call.attributes["weights"].size
    assert variant.fits_range(call, 0, 127)
    found = verdicts(runs(pairs, tmp_path), pairs)
    assert not any(verdict.difference for verdict in found)
    if runs is run_in_emulator:
        counts = [verdict.instructions for verdict in found]
        assert counts[0] > 1.1 * counts[1] > 1.1 * 1.1 * counts[2]


def test_what_is_measured_as_nothing_may_still_hold_one_step_each(tmp_path):
    """An input of two values, which are the same without their last bit: sums up to 524304 after 57 of 96 channels."""
    row = np.concatenate([np.full(24, 8), np.full(33, -127), np.full(32, 127), [30], np.zeros(6)])
    call = bench_esp32s3.call_of(bench_esp32s3.Row("", None, None, 0, "conv2d", (1, 1), 96, 64, 1), np.random)
    call.attributes["weights"][:] = row
    call.attributes["bias"][:], call.attributes["shift"][:] = 12224, 5
    call.attributes["pad_value"] = -128
    variant = Conv2dMeasured(usual=0.6)
    assert variant.fits_range(call, -128, -127)
    pair = Pair(call, variant, -128, -127, np.random.RandomState(0))
    pair.inputs[0][:] = np.where(row == 8, -127, -128)
    assert listed([pair], run_on_host([pair], tmp_path)) is None


def test_sums_are_not_checked_where_most_would_be_too_large():
    """All weights of one sign: every pixel would be computed again."""
    call = convolution(32, 25)
    assert not any(variant.fits_range(call, 0, 127) for variant in CHECKED)
    assert type(choose_vector(call, 0, 127)).__name__ == "Conv2dWide"


def test_metadata_say_how_much_longer_data_can_take(unusual_sums):
    call = far_up_and_down()
    assert any(variant.fits_range(call, 0, 127) for variant in CHECKED)
    assert all(1 < variant.slowest(call) <= 2 for variant in CHECKED if variant.fits_range(call, 0, 127))
    assert Conv2dLanes().slowest(call) == 1


def test_export_takes_them_and_the_switch_leaves_them_out():
    model = residual_network()
    for chip, name in (("esp32s3", "_s8_esp32s3("), ("esp32", "_s8_esp32("), ("esp32c3", None)):
        compiled = compile_once_imported(model, chip=chip)
        assert all((one in compiled.code.lib1) == (one == name) for one in ("_s8_esp32s3(", "_s8_esp32("))
        assert compiled.program.kernels_for == (chip if name else None)
        places = [tensor.place for call in compiled.program.calls() for tensor in call.writes]
        assert all(place.offset % 16 == 0 for place in places if place is not None)


@pytest.mark.parametrize("chip", ["esp32s3", "esp32"])
def test_a_model_in_the_emulator(chip, emulator, tmp_path):
    """The core has the ESP32's MAC16 unit as well."""
    model = residual_network()
    compiled = compile_once_imported(model, chip=chip)
    assert compiled.program.kernels_for == chip
    random = np.random.RandomState(0)
    sample = {port.name: random.randn(*port.shape).astype(port.dtype) for port in compiled.program.inputs}
    expected = NumpyEvaluator(compiled.imported, compiled.partitioned).run(sample).outputs
    outputs, counts = esp32s3.run_model(compiled, sample, COMPONENT, tmp_path)
    assert sum(counts) > 0
    for name, array in expected.items():
        assert outputs[name].tobytes() == np.ascontiguousarray(array).tobytes()


@pytest.mark.parametrize(
    "words, wrong",
    [
        (["missing"], "missing is neither a file nor part of the name of a row"),
        (["model_quant.onnx"], "model_quant.onnx: a model and a sample go together"),
        (["sample.npy"], "sample.npy: a model and a sample go together"),
        (["missing.onnx", "sample.npy"], "missing.onnx: no such file"),
    ],
)
def test_bench_says_what_is_wrong_with_its_files_in_one_line(words, wrong, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["bench_esp32s3.py", *words])
    with pytest.raises(SystemExit) as end:
        cli.run(bench_esp32s3.main)
    assert end.value.code == 2
    printed = capsys.readouterr()
    assert wrong in printed.err and printed.err.count("\n") == 1 and not printed.out


def test_build_takes_every_assembly_file():
    text = (COMPONENT / "CMakeLists.txt").read_text(encoding="utf-8")
    listed_names = []
    for chip in ("esp32s3", "esp32"):
        names = re.search(rf"set\({chip}_sources\n(.*?)\)", text, re.S).group(1).split()
        assert all(name.endswith(f"_{chip}.S") for name in names)
        assert f'STREQUAL "{chip}")\n    list(APPEND sources ${{{chip}_sources}})' in text
        listed_names += names
    assert sorted(COMPONENT / name for name in listed_names) == sorted((COMPONENT / "src").rglob("*.S"))


FIELD_HEADERS = sorted(path for path in (COMPONENT / "src").rglob("*.h") if "_AT_" in path.read_text(encoding="utf-8"))


def with_32_bits(header: Path) -> subprocess.CompletedProcess:
    """A header alone, checked for pointers of 32 bits as on the chip."""
    command = [*host_compiler(), "-m32", "-ffreestanding", "-std=c11", "-fsyntax-only", "-x", "c", str(header)]
    command += [f"-I{include}" for include in INCLUDES]
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.mark.parametrize("header", FIELD_HEADERS, ids=lambda path: path.stem)
def test_assembly_finds_the_fields(header, tmp_path):
    done = with_32_bits(header)
    if "-m32" in done.stdout:
        pytest.skip(f"this compiler has no 32 bits: {done.stdout[:80]}")
    assert done.returncode == 0, done.stdout
    # Every place is looked at: any of them moved is an error.
    text = header.read_text(encoding="utf-8")
    for name, place in re.findall(r"#define (\w+_AT_\w+) (\d+)", text):
        moved = tmp_path / header.name
        moved.write_text(text.replace(f"#define {name} {place}\n", f"#define {name} {int(place) + 1}\n"))
        assert "the assembly looks for" in with_32_bits(moved).stdout, name


def test_assembly_addresses_structs_by_name_alone():
    for source in sorted((COMPONENT / "src").rglob("*.S")):
        header = source.with_suffix(".h")
        if header in FIELD_HEADERS:
            text = source.read_text(encoding="utf-8")
            assert f'#include "{header.relative_to(COMPONENT / "src")}"' in text
            assert not re.findall(r"l32i a\d+, a2, \d+", text), source.name
