"""The arena: no two tensors that are needed at the same time share bytes, but where a kernel is known to allow it."""

from __future__ import annotations

import random

import numpy as np
import pytest
from qdq import QdqBuilder

pytest.importorskip("tvm")

from pipeline_harness import compile_once_imported  # noqa: E402

from esp_tvm.compile import compile_model  # noqa: E402
from esp_tvm.compile.planning import blocks as planning  # noqa: E402
from esp_tvm.compile.planning.blocks import THOROUGH, Block, floor_bytes, place  # noqa: E402
from esp_tvm.operators import OPERATORS


def residual_network():
    """Two convolutions and an addition, a strided depthwise block, a pointwise layer that widens."""
    b = QdqBuilder(seed=4)
    x = b.input("x", [1, 1, 12, 10], -4)
    x = b.conv(x, [8, 1, 3, 3], -3, e_w=-9, relu=True, pads=[1, 1, 1, 1])
    y = b.conv(x, [8, 8, 3, 3], -3, e_w=-10, relu=True, pads=[1, 1, 1, 1])
    y = b.conv(y, [8, 8, 3, 3], None, e_w=-10, pads=[1, 1, 1, 1])
    x = b.quantize(b.node("Relu", [b.node("Add", [x, y])]), -2)
    x = b.conv(x, [8, 1, 3, 3], -2, e_w=-9, relu=True, group=8, pads=[1, 1, 1, 1], strides=[2, 2])
    x = b.conv(x, [24, 8, 1, 1], -2, e_w=-9, relu=True)
    x = b.conv(x, [24, 1, 3, 3], -2, e_w=-9, relu=True, group=24, pads=[1, 1, 1, 1])
    x = b.conv(x, [8, 24, 1, 1], -2, e_w=-10)
    b.quantize(b.node("GlobalAveragePool", [x]), -3, "y")
    b.output("y", [1, 8, 1, 1])
    return b.model()


@pytest.fixture(scope="module")
def compiled():
    return compile_once_imported(residual_network())


def lifetimes(program):
    """tensor of the arena -> (first, last) call, from the calls alone; a view lives in the tensor it is one of."""
    spans = {}
    for step, call in enumerate(program.calls()):
        for tensor in call.reads:
            if tensor.root in spans:
                spans[tensor.root][1] = step
        for tensor in call.writes:
            if tensor.source is None and tensor.place.kind == "arena":
                spans[tensor] = [step, step]
    return spans


def test_no_two_live_tensors_share_bytes(compiled):
    program = compiled.program
    calls = list(program.calls())
    spans = lifetimes(program)
    assert len(spans) > 5
    regions = [(tensor, tensor.place.offset, tensor.bytes, *span) for tensor, span in spans.items()]
    regions += [(c, c.scratch.offset, c.scratch.bytes, i, i) for i, c in enumerate(calls) if c.scratch is not None]
    overlaps = 0
    for number, (a, a_offset, a_size, a_first, a_last) in enumerate(regions):
        assert 0 <= a_offset and a_offset + a_size <= program.arena_bytes
        for b, b_offset, b_size, b_first, b_last in regions[number + 1 :]:
            apart = a_offset + a_size <= b_offset or b_offset + b_size <= a_offset
            if apart or a_last < b_first or b_last < a_first:
                continue
            # Both are alive, and overlap: one is the result of the only call at which both are.
            (result, argument), at = ((a, b), a_first) if a_first > b_first else ((b, a), b_first)
            assert at == min(a_last, b_last), f"{a} and {b} overlap for more than one call"
            call = calls[at]
            assert result in call.writes and argument in [x.root for x in call.reads]
            if result.place.offset == argument.place.offset and result.bytes == argument.bytes:
                last = (call.followers or [call])[-1]
                assert argument in [x.root for x in OPERATORS[last.operator].overwrites(last)]
            else:
                assert argument.place.offset - result.place.offset >= call.overlap_distance
            overlaps += 1
    assert overlaps >= 2, "the plan lets nothing overlap: this test then says little"


def test_scratch_of_tvms_functions_is_theirs_alone():
    """Each function of TVM's that allocates has memory of its own size, apart from what it reads and writes."""
    b = QdqBuilder(seed=4)
    x = b.input("x", [1, 24], -4)
    weights = b.initializer(np.random.RandomState(0).randn(72, 24).astype(np.float32))
    b.node("Gemm", [b.node("Exp", [x]), weights], ["y"], transB=1)
    b.output("y", [1, 72])
    calls = [call for call in compile_model(b.model()).program.fallbacks if call.scratch is not None]
    assert calls, "TVM packs the weights of a Gemm while it runs"
    for call in calls:
        start, end = call.scratch.offset, call.scratch.offset + call.scratch.bytes
        assert call.scratch.bytes >= 72 * 24 * 4
        for tensor in [*call.reads, *call.writes]:
            place = tensor.root.place
            if place.kind == "arena":
                assert place.offset + tensor.bytes <= start or end <= place.offset


def test_a_residual_block_takes_two_tensors(compiled):
    """The convolution that adds a tensor writes over it: input, skipped tensor, nothing else of that size."""
    assert any(call.addend is not None for call in compiled.program.calls())
    assert compiled.program.arena_bytes <= 2 * 12 * 10 * 8 + 64


def test_every_step_computes_what_numpy_does(compiled, tmp_path):
    from esp_tvm.evaluate import NumpyEvaluator
    from esp_tvm.run.host import HostProgram

    project = write_program(compiled, tmp_path)
    program = HostProgram(project, sanitize=True)
    samples = np.random.RandomState(0).randn(4, 1, 1, 12, 10).astype(np.float32)
    evaluator = NumpyEvaluator(compiled.imported, compiled.partitioned)
    seen = 0
    for sample, (outputs, _) in zip(samples, program.run_each({"x": samples})):
        expected = evaluator.run({"x": sample}).outputs["y"]
        assert outputs["y"].tobytes() == expected.tobytes()
        seen += len(np.unique(expected))
    assert seen > 8, "the outputs are all alike: this test then says little"


def write_program(compiled, folder):
    from pathlib import Path

    from esp_tvm.chips import check_chip
    from esp_tvm.project.fit import fit_chip
    from esp_tvm.project.write import write_project

    template = Path(__file__).resolve().parent.parent / "template_project_for_model"
    sample = {"x": np.zeros((1, 1, 12, 10), np.float32)}
    expected = {"y": np.zeros((1, 8, 1, 1), np.float32)}
    fit = fit_chip(compiled, check_chip("esp32c3"))
    return write_project(compiled, sample, expected, str(template), str(folder), "esp32c3", fit)


# --- placement --------------------------------------------------------------------------------------------


def random_blocks(seed):
    generator = random.Random(seed)
    blocks = []
    for step in range(12):
        for _ in range(generator.randint(1, 2)):
            first = Block(16 * generator.randint(1, 40), step, step + generator.randint(0, 4))
            for other in blocks:
                if other.last == first.first and generator.random() < 0.5:
                    first.distances[other] = generator.randint(0, 100)
            blocks.append(first)
    return blocks


@pytest.mark.parametrize("seed", range(20))
def test_placement_never_conflicts(seed):
    blocks = random_blocks(seed)
    size = place(blocks)
    assert size == max(block.offset + block.size for block in blocks)
    assert size >= max(sum(b.size for b in blocks if b.first <= s <= b.last and not b.distances) for s in range(3))
    for block in blocks:
        assert block.offset >= 0 and block.offset % 16 == 0
        for other in blocks:
            if other is block or not block.meets(other):
                continue
            apart = block.offset + block.size <= other.offset or other.offset + other.size <= block.offset
            led = other in block.distances and other.offset - block.offset >= block.distances[other]
            led = led or (block in other.distances and block.offset - other.offset >= other.distances[block])
            assert apart or led


@pytest.mark.parametrize("seed", range(20))
def test_what_a_changed_order_moves_is_all_that_is_placed_anew(seed):
    generator, blocks = random.Random(seed), random_blocks(seed)
    meeting = planning._meeting(blocks)
    best = planning._first_fit(blocks, meeting, None)
    for number in range(30):
        order, moved = planning._exchanged(best, meeting, generator) if number % 2 else planning._moved(best, generator)
        found, anew = planning._first_fit(order, meeting, best, moved), planning._first_fit(order, meeting, None)
        assert (found is None) == (anew.size > best.size)
        if found is not None:
            assert (found.size, found.offsets) == (anew.size, anew.offsets)
            best = found


def test_search_finds_what_largest_first_does_not():
    """Largest first leaves a hole here that a better order does not: the floor can be reached."""
    spans = [(48, 0, 1), (64, 1, 2), (32, 2, 3), (64, 3, 4), (48, 4, 5), (16, 0, 5)]
    blocks = [Block(size, first, last) for size, first, last in spans]
    assert place(blocks) == floor_bytes(blocks) == 128


def cut_rectangle(seed, count=40, steps=60, units=256):
    """Blocks that fill a rectangle of steps and bytes without a gap, in no order."""
    generator = random.Random(seed)
    parts = [(0, steps - 1, 0, units)]
    while len(parts) < count:
        index = generator.randrange(len(parts))
        first, last, low, high = parts[index]
        if generator.random() < 0.5 and last > first:
            cut = generator.randrange(first, last)
            parts[index : index + 1] = [(first, cut, low, high), (cut + 1, last, low, high)]
        elif high - low > 1:
            cut = generator.randrange(low + 1, high)
            parts[index : index + 1] = [(first, last, low, cut), (first, last, cut, high)]
    generator.shuffle(parts)
    return [Block(16 * (high - low), first, last) for first, last, low, high in parts]


@pytest.mark.parametrize("seed", range(6))
def test_search_fills_a_rectangle_that_was_cut(seed):
    blocks = cut_rectangle(seed)
    sizes = [place(blocks, rounds=rounds) for rounds in (0, 1, THOROUGH)]
    assert sizes[0] >= sizes[1] >= sizes[2] == floor_bytes(blocks) == 4096


def test_search_goes_no_further_than_is_enough_and_on_from_what_is_known():
    blocks = cut_rectangle(3)
    size = place(blocks, rounds=THOROUGH)
    known = sorted(blocks, key=lambda block: block.order)
    assert place(blocks, rounds=0) > size == place(blocks, rounds=0, known=known)
    first = place(blocks, rounds=0, enough=2 * size)
    assert size < first <= 2 * size


def test_an_output_overlaps_its_input_by_the_lead():
    x = Block(160, 0, 1)
    y = Block(160, 1, 2, distances={x: 33})
    assert place([x, y]) == 160 + 48
    assert x.offset - y.offset == 48


def test_an_output_without_a_lead_does_not_overlap():
    x, y = Block(160, 0, 1), Block(160, 1, 2)
    assert place([x, y]) == 320


def test_a_convolution_that_adds_a_tensor_is_one_call():
    compiled = compile_once_imported(residual_network())
    program = compiled.program
    (call,) = [call for call in program.calls() if call.addend is not None]
    assert call.title == "conv2d_add" and "_add_s8" in call.kernel and call.kernel in compiled.code.lib1
    assert call.macs == OPERATORS["conv2d"].macs(call)
    assert [node.split()[0] for node in call.all_nodes] == ["Conv", "Add", "Relu"]
