"""Layers that run together in strips of rows: the same bytes, less memory, and a trace of whole layers."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest
from pipeline_harness import Kernels, Program, write_files
from strip_cases import RandomProgram, force_loops

from esp_tvm.compile.emitting.emit import emit
from esp_tvm.compile.kernels import esp32s3
from esp_tvm.compile.planning.blocks import place
from esp_tvm.compile.planning.choose import choose_kernels
from esp_tvm.compile.planning.cores import split_over_cores
from esp_tvm.compile.planning.memory import arena_bytes, movable_blocks, place_tensors, plan_memory
from esp_tvm.compile.planning.pieces import Pieces
from esp_tvm.compile.planning.strips import Scheduler, make_loop
from esp_tvm.compile.planning.two_arenas import share_out
from esp_tvm.program import Call, Loop, Tensor
from esp_tvm.program.both_cores import cores_lines
from esp_tvm.program.evaluate import evaluate
from esp_tvm.run.compare import compare_with_rules
from esp_tvm.run.host_log import LoggingProgram
from esp_tvm.trace.log import LogReader


class Logging(LoggingProgram, Program):
    """A project with the trace in it, linked with kernels that are compiled already."""

    def __init__(self, project: Path, kernels: Kernels, mode: str):
        self.mode = mode
        Program.__init__(self, project, kernels)


@pytest.fixture(scope="module")
def kernels():
    return Kernels()


def samples_of(program, random, count=2):
    port = program.inputs[0]
    return {port.name: random.randint(-128, 128, (count, *port.shape)).astype(np.int8)}


def check_bytes(program, kernels, folder: Path, random) -> None:
    """The generated C, with sanitizers, computes every layer by the rules; tensors may be placed already."""
    code = emit(program if program.arena_bytes or program.psram_arena_bytes else place_tensors(program))
    assert not [line for line in code.lib1.splitlines() if len(line) > 120]
    # As metadata.json takes them.
    assert {type(tensor.place.offset) for call in program.calls() for tensor in call.writes} == {int}
    write_files(program, code, folder)
    comparison = compare_with_rules(Program(folder, kernels), samples_of(program, random))
    wrong = [(layer.step, layer.kernel, layer.differing) for layer in comparison.layers if layer.differing]
    assert comparison.samples_equal == 2, f"{wrong}; {[item for item in program.items if isinstance(item, Loop)]}"


@pytest.mark.parametrize("seed", range(48))
def test_random_loops_give_the_same_bytes(seed, kernels, tmp_path):
    random = np.random.RandomState(1000 + seed)
    vector = seed % 3 == 2
    program = RandomProgram(seed, wide=vector).program
    if seed % 3:
        program = choose_kernels(program, esp32s3.CHIP if vector else None)
    while not force_loops(program, random):
        program = RandomProgram(int(random.randint(1 << 30)), wide=vector).program
    if seed % 2:
        in_two_arenas(program, random.uniform(0.1, 1))
    check_bytes(program, kernels, tmp_path, random)


def in_two_arenas(program, part: float) -> None:
    """Place tensors so that the first arena has a part of the bytes between what must be inside and what all take."""
    program.target_chip, plan = "esp32s3", plan_memory(program)
    fixed = place([block for block in plan.blocks if block not in movable_blocks(program, plan)])
    room = int(fixed + part * (plan.arena_bytes - fixed))
    place_tensors(program, lambda found: share_out(program, found, room))
    assert program.arena_bytes <= room
    assert (program.psram_arena_bytes > 0) == (plan.arena_bytes > room)


@pytest.mark.parametrize("first_leads", [False, True])
def test_windows_are_no_taller_than_what_is_read(first_leads):
    """Of convolutions of 3x3 one after the other: three rows between two of them, the new one among them."""
    tensors = [Tensor(f"t{number}", (1, 24, 5, 8), "int8", 0) for number in range(7)]
    attributes = {"weights": np.zeros((8, 3, 3, 8), np.int8), "strides": (1, 1), "padding": (1, 1, 1, 1)}
    attributes.update(dilation=(1, 1), groups=1, clamp=(-128, 127))
    calls = [
        Call("", "conv2d", [tensors[number]], [tensors[number + 1]], dict(attributes), index=number)
        for number in range(6)
    ]
    loop = make_loop(calls, 1, {tensors[-1]}, first_leads)
    assert [window.rows for window in loop.schedule.windows.values()] == [3] * 5
    assert loop.schedule.count == 24 + 5


def test_rows_that_nobody_reads_are_held_while_they_are_written():
    """Behind a convolution of 1x1 one that takes every third row: the others are written all the same."""
    tensors = [Tensor(f"t{number}", (1, height, 5, 8), "int8", 0) for number, height in enumerate((24, 24, 8))]
    attributes = {"weights": np.zeros((8, 1, 1, 8), np.int8), "padding": (0, 0, 0, 0), "dilation": (1, 1), "groups": 1}
    attributes["clamp"] = (-128, 127)
    calls = [
        Call("", "conv2d", [tensors[number]], [tensors[number + 1]], {**attributes, "strides": (step, 1)}, index=number)
        for number, step in enumerate((1, 3))
    ]
    loop = make_loop(calls, 2, {tensors[-1]})
    written = [(strip.end - strip.first) * 40 for strip in calls[0].strips.strips]
    assert sum(written) == 24 * 40
    assert np.all(loop.schedule.held[tensors[1]].bytes[0] >= written)


def needed(pieces: Pieces, piece):
    """(bytes of windows and scratch memory of a loop by its leanest kernels, of all that is in memory meanwhile)."""
    numbers = range(piece.first, piece.last + 1)
    order = numbers if piece.first_leads else reversed(numbers)
    calls = [pieces.calls[number] for number in order]
    scheduler = Scheduler(calls[0], [piece.rows], piece.first_leads)
    for call in calls:
        (scheduler.put_behind if piece.first_leads else scheduler.put_before)(call)
    fixed = np.array([[pieces.needs[number]] for number in numbers]) + sum(pieces.sums[number] for number in numbers)
    others = np.full((1, 1), pieces.across[piece.first])
    for output in (call.writes[0] for call in calls):
        if pieces.until[output] <= piece.last:
            fixed = fixed + scheduler.held(output, scheduler.window(output)).bytes
        elif output in pieces.birth:
            others = others + scheduler.held(output, others_read=True).bytes
    for tensor in scheduler.reads:
        last_needed = pieces.death.get(tensor, len(pieces.calls))
        if pieces.owner.get(tensor, tensor) is tensor and last_needed <= piece.last:
            if pieces.birth[tensor] < piece.first:
                others = others - scheduler.held(tensor).low
    return fixed.max(), (fixed + others).max()


@pytest.mark.parametrize("seed", range(6))
def test_pieces_that_grow_call_by_call_need_what_their_loops_do(seed):
    program = choose_kernels(RandomProgram(20 + seed, wide=bool(seed % 2)).program, esp32s3.CHIP if seed % 2 else None)
    pieces = Pieces(program, set())
    loops = [piece for piece in pieces.all() if piece.rows]
    assert len(loops) > 10
    for piece in loops[:: max(len(loops) // 20, 1)]:
        assert (piece.fixed, piece.memory) == needed(pieces, piece), piece
    limit = sorted(piece.fixed for piece in loops)[len(loops) // 2]
    some = Pieces(program, set(), limit)
    assert some.all() == [piece for piece in pieces.all() if not piece.rows or piece.fixed <= limit]
    assert some.complete().all() == pieces.all()
    # Without a call they are those that would be found without it, also where some were left out.
    call = pieces.calls[loops[len(loops) // 2].last]
    assert pieces.without(call).all() == Pieces(program, {call}).all() != pieces.all()
    fewer = some.without(call)
    assert fewer.all() == Pieces(program, {call}, limit).all()
    assert fewer.complete().all() == pieces.without(call).all()


@pytest.mark.parametrize("seed", range(8))
def test_strips_fit_a_limit(seed, kernels, tmp_path):
    """Any limit between the least and all that the whole tensors take is kept, and the bytes stay."""
    chip = esp32s3.CHIP if seed % 2 else None

    def chosen(strips):
        return choose_kernels(RandomProgram(50 + seed, wide=bool(seed % 2)).program, chip, strips=strips)

    most, least = arena_bytes(chosen(None)), arena_bytes(chosen(0))
    assert least <= most
    for limit in (least, (least + most) // 2, most):
        program = chosen(limit)
        assert arena_bytes(program) <= limit, (least, most)
        assert limit < most or not any(isinstance(item, Loop) for item in program.items)
    program = chosen(least)
    check_bytes(program, kernels, tmp_path, np.random.RandomState(seed))
    assert program.arena_bytes <= least


@pytest.mark.parametrize("mode", ["tensors", "checksums"])
def test_the_trace_has_whole_layers(mode, kernels, tmp_path):
    """A log of a program in strips names every layer once, in order, with the CRC of all its rows and their bytes."""
    random = np.random.RandomState(7)
    program = RandomProgram(17).program
    assert force_loops(program, random)
    write_files(program, emit(place_tensors(program), traced=True), tmp_path)
    samples = samples_of(program, random, count=3)
    logged = Logging(tmp_path, kernels, mode)
    runs = list(LogReader().runs(logged.log(samples).splitlines()))
    assert len(runs) == 3
    for index, run in enumerate(runs):
        right = evaluate(logged.program, {"x": samples["x"][index]})
        calls = [call for call in logged.program.calls() if not call.is_view]
        assert [step for step, _ in run.tensors] == [call.index for call in calls] or mode == "tensors"
        assert (run.ended, run.damaged, run.layers) == (True, 0, len(calls))
        for call in calls:
            found, value = run.tensors[call.index, 0], right.values[call.writes[0]].tobytes()
            assert (found.size, found.crc) == (len(value), zlib.crc32(value)), call.title
            assert found.complete == (mode == "tensors") and found.data() == (value if mode == "tensors" else b"")


def test_two_cores_share_strips(kernels, tmp_path):
    """Strips that are cut in two once more give the same bytes, by portable kernels and those for vectors."""
    split = {esp32s3.CHIP: 0, None: 0}
    for seed in range(80, 100):
        random, chip = np.random.RandomState(seed), esp32s3.CHIP if seed % 2 else None
        program = choose_kernels(RandomProgram(seed, wide=True, large=True).program, chip)
        force_loops(program, random)
        program = split_over_cores(program)
        loops = [item for item in program.items if isinstance(item, Loop)]
        found = [call for loop in loops for call in loop.calls if call.split is not None]
        assert sum(" of a strip" in line for line in cores_lines(program) if line.startswith("both")) == len(found)
        split[chip] += len(found)
        check_bytes(program, kernels, tmp_path / str(seed), random)
    assert min(split.values()) >= 3, split
