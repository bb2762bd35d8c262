"""examples/model_update: its C on a board made of files, through updates, crashes, damaged files and roll-backs."""

from __future__ import annotations

import struct
import subprocess
import zlib
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]
EXAMPLE = REPO / "examples/model_update/main"
MODEL = REPO / "template_project_for_model/components/tvm_model"
STANDIN = REPO / "tests/model_update"
LAYOUT, SIZE = 0x12345678, 5000
WAITS, RESTARTS, CRASHES = 0, 3, 4
GOOD, BETTER, USELESS, CRASHING = 4, 4, 0, 99


def weights(answer: int, variant: int = 0, layout: int = LAYOUT, damaged: bool = False) -> bytes:
    data = bytes([answer, variant]) + bytes(range(250)) * 20
    data = data[:SIZE]
    crc = zlib.crc32(data) ^ damaged
    return struct.pack("<8sIIIIQ", b"TVMCONST", 1, layout, len(data), crc, 7) + data


@pytest.fixture(scope="module")
def program(tmp_path_factory) -> Path:
    binary = tmp_path_factory.mktemp("board") / "board"
    includes = [STANDIN / "include", EXAMPLE, MODEL / "include", MODEL / "crt_config"]
    includes += [MODEL.parent / "esp-dl/include", REPO / "tests/idf_stub/include"]
    sources = [EXAMPLE / "app_main.c", EXAMPLE / "model_update.c", MODEL / "src/tvm_model.c", STANDIN / "board.c"]
    flags = ["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-DESP_PLATFORM", "-fsanitize=address,undefined", "-g"]
    subprocess.run(["gcc", *flags, *(f"-I{i}" for i in includes), *sources, "-o", binary], check=True)
    return binary


class Board:
    """Flashed with good weights, never updated."""

    def __init__(self, program: Path, folder: Path):
        self.program, self.folder = program, folder
        (folder / "server").mkdir()
        for name, content in (("constants", weights(GOOD)), ("constants_2", b"")):
            (folder / name).write_bytes(content.ljust(8192, b"\xff"))

    def offer(self, version: int, content: bytes, breaks: bool = False) -> None:
        (self.folder / "server/version").write_text(f"{version}\n")
        (self.folder / "server/constants.bin").write_bytes(content)
        broken = self.folder / "server/break"
        if breaks:
            broken.write_text("")
        elif broken.exists():
            broken.unlink()

    def start(self, status: int) -> str:
        done = subprocess.run([self.program], cwd=self.folder, capture_output=True, text=True)
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout + done.stderr


@pytest.fixture
def board(program, tmp_path) -> Board:
    return Board(program, tmp_path)


def test_an_update_is_tried_and_stays(board):
    assert "model 0 runs" in board.start(WAITS)
    board.offer(1, weights(BETTER, 1))
    board.start(RESTARTS)
    assert "model 1 runs" in board.start(WAITS)
    # Not again; then to the first partition.
    assert "model 1 runs" in board.start(WAITS)
    board.offer(2, weights(BETTER, 2))
    board.start(RESTARTS)
    assert "model 2 runs" in board.start(WAITS)
    assert (board.folder / "constants").read_bytes()[32:34] == bytes([BETTER, 2])
    assert (board.folder / "constants_2").read_bytes()[32:34] == bytes([BETTER, 1])


def test_a_failed_self_test_rolls_back(board):
    board.offer(1, weights(USELESS))
    board.start(RESTARTS)
    assert "model 1 fails" in board.start(RESTARTS)
    # The old one runs, and the bad one is not taken again.
    printed = board.start(WAITS)
    assert "model 0 runs" in printed and "model 1 was not taken: 1" in printed
    board.offer(2, weights(BETTER, 2))
    board.start(RESTARTS)
    assert "model 2 runs" in board.start(WAITS)


def test_a_model_that_crashes_the_program_rolls_back(board):
    board.offer(1, weights(CRASHING))
    board.start(RESTARTS)
    for _ in range(3):
        board.start(CRASHES)
    assert "model 0 runs" in board.start(WAITS)


@pytest.mark.parametrize(
    "content, code",
    [
        (weights(BETTER)[:-1], 2),
        (weights(BETTER) + b"x", 2),
        (b"<html>404" + weights(BETTER)[9:], 3),
        (weights(BETTER, layout=LAYOUT + 1), 4),
        (weights(BETTER, damaged=True), 5),
    ],
    ids=["short", "long", "no weights", "another network", "damaged"],
)
def test_what_is_not_taken(board, content, code):
    board.offer(1, content)
    for _ in range(2):
        printed = board.start(WAITS)
        assert "model 0 runs" in printed and f"model 1 was not taken: {code}" in printed


def test_a_connection_that_breaks_off(board):
    board.offer(1, weights(BETTER, 1), breaks=True)
    assert "model 1 was not taken: 2" in board.start(WAITS)
    assert "model 0 runs" in board.start(WAITS)
    board.offer(1, weights(BETTER, 1))
    board.start(RESTARTS)
    assert "model 1 runs" in board.start(WAITS)


def test_an_older_version_is_not_taken(board):
    board.offer(5, weights(BETTER, 5))
    board.start(RESTARTS)
    board.start(WAITS)
    board.offer(4, weights(BETTER, 4))
    assert "model 5 runs" in board.start(WAITS)
    assert (board.folder / "constants").read_bytes()[33] == 0


def test_the_weights_on_trial_are_damaged_in_flash(board):
    board.offer(1, weights(BETTER, 1))
    board.start(RESTARTS)
    flash = bytearray((board.folder / "constants_2").read_bytes())
    flash[500] ^= 1
    (board.folder / "constants_2").write_bytes(flash)
    assert "model 1 fails" in board.start(RESTARTS)
    assert "model 0 runs" in board.start(WAITS)
