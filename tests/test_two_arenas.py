"""A second arena in PSRAM, where not all tensors fit inside: those lie there whose bytes pass the cache least often."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from qdq import QdqBuilder

pytest.importorskip("tvm")

from esp_tvm.boards import choose_board  # noqa: E402
from esp_tvm.chips import CHIPS  # noqa: E402
from esp_tvm.compile import compile_imported, import_model  # noqa: E402
from esp_tvm.compile.planning import two_arenas  # noqa: E402
from esp_tvm.compile.planning.blocks import Block  # noqa: E402
from esp_tvm.errors import UserError  # noqa: E402
from esp_tvm.estimate import estimate_program, sum_of  # noqa: E402
from esp_tvm.program.store import load  # noqa: E402
from esp_tvm.project.compile_for_board import compile_for_board  # noqa: E402
from esp_tvm.project.fit import fit_chip, fit_parts  # noqa: E402
from esp_tvm.project.placement import note_memory  # noqa: E402
from esp_tvm.project.write import write_project  # noqa: E402

TEMPLATE = Path(__file__).resolve().parent.parent / "template_project_for_model"
BOARD = {"flash": "8MB", "psram": "8MB:oct"}


def waiting_network():
    """A tensor that waits for an addition at the end, while others of its size come and go; a transpose lets none of
    them run in strips."""
    b = QdqBuilder(seed=5)
    x = b.input("x", [1, 8, 16, 16], -4)
    first = y = b.conv(x, [8, 8, 3, 3], -3, e_w=-9, relu=True, pads=[1, 1, 1, 1])
    for _ in range(2):
        y = b.quantize(b.node("Transpose", [y], perm=[0, 1, 3, 2]), -3)
        y = b.conv(y, [8, 8, 3, 3], -3, e_w=-10, relu=True, pads=[1, 1, 1, 1])
    b.quantize(b.node("Add", [first, y]), -2, "y")
    b.output("y", [1, 8, 16, 16])
    return b.model()


@pytest.fixture(scope="module")
def model():
    return waiting_network()


@pytest.fixture(scope="module")
def relay(model):
    return import_model(model)


@pytest.fixture(scope="module")
def divided(model, relay):
    """With room for one of the three tensors of 2048 bytes, and scratch memory."""
    return compile_imported(model, relay, target_chip="esp32s3", inside=3072)


def test_the_one_that_waits_lies_outside(divided):
    """It takes room at most steps, and its bytes pass the cache three times, as those of any other."""
    program = divided.program
    assert 0 < program.arena_bytes <= 3072 and program.psram_arena_bytes == 4096
    waiting = next(call.writes[0] for call in program.calls() if call.kind == "conv2d")
    assert len(program.readers()[waiting]) == 2 and waiting.place.kind == "psram_arena"
    assert all(call.scratch is None or call.scratch.offset + call.scratch.bytes <= 3072 for call in program.calls())


def test_both_arenas_stand_in_header_code_and_metadata(divided, model, tmp_path):
    header = divided.code.header
    assert "#define TVMGEN_DEFAULT_PSRAM_WORKSPACE_SIZE 4096\n" in header
    assert "uint8_t *workspace, uint8_t *psram_workspace)" in " ".join(header.split())
    assert "(psram_workspace + at_t" in divided.code.lib1 and "global_psram_workspace[" in divided.code.lib0
    board = choose_board("esp32s3", internal="5kB", **BOARD)
    fit = fit_chip(divided, CHIPS["esp32s3"], board=board)
    assert fit.places["arena"] == "internal" and fit.places["second arena"] == "psram"
    assert "CONFIG_SPIRAM_ALLOW_BSS_SEG_EXTERNAL_MEMORY=y" in fit.sdkconfig
    assert "CONFIG_TVM_MODEL_ARENA_PSRAM=y" not in fit.sdkconfig
    assert ("second arena", 4096, "PSRAM") in [row[:3] for row in fit_parts(divided, CHIPS["esp32s3"], fit)[1].rows]
    note_memory(divided.program, fit.places, fit.constants_memory)
    sample = {"x": np.zeros((1, 8, 16, 16), np.float32)}
    expected = {"y": np.zeros((1, 8, 16, 16), np.float32)}
    project = write_project(divided, sample, expected, str(TEMPLATE), str(tmp_path), "esp32s3", fit)
    read = load(project)
    places = [(t.place.kind, t.place.offset, t.place.memory) for call in read.calls() for t in call.writes]
    assert ("psram_arena", 0, "psram") in places and read.psram_arena_bytes == 4096


def test_an_export_divides_only_what_does_not_fit(model, relay):
    """By the board's room; the estimate of the divided program is less than that of an arena that is all in PSRAM."""
    times = {}
    for internal in ("200kB", "5kB"):
        board = choose_board("esp32s3", internal=internal, **BOARD)
        compiled = compile_for_board(model, relay, board, vector=False)
        assert (compiled.program.psram_arena_bytes > 0) == (internal == "5kB")
        assert compiled.program.arena_bytes <= board.internal
        memory = {"arena": "internal", "inputs": "psram", "outputs": "psram", "second arena": "psram"}
        for where in ("internal", "psram"):
            note_memory(compiled.program, {**memory, "arena": where}, "flash")
            estimate_program(compiled.program, board, "flash")
            times[internal, where] = sum_of(compiled.program)[0].microseconds
    assert times["5kB", "internal"] < min(times["200kB", "psram"], times["5kB", "psram"])


def test_without_psram_it_is_refused(model, relay):
    board = choose_board("esp32s3", internal="5kB", flash="8MB", psram="none")
    compiled = compile_for_board(model, relay, board, vector=False)
    assert compiled.program.psram_arena_bytes == 0
    with pytest.raises(UserError, match="no PSRAM"):
        fit_chip(dataclasses.replace(compiled), CHIPS["esp32s3"], board=board)


def test_of_blocks_that_cost_the_same_the_first_come_back_inside():
    """In the program's order: the order of a set of objects would be another one in every run."""
    blocks = [Block(160, 0, 3, []) for _ in range(12)]
    inside = two_arenas._with_more(blocks, [], set(blocks), dict.fromkeys(blocks, 320), 480)
    assert inside == blocks[:3]
