"""Boards by name or by their memory: what is understood, and one line for what is not."""

from __future__ import annotations

import pytest

from esp_tvm.boards import BOARDS, check_board, choose_board, psram_lines, revision_lines
from esp_tvm.chips import CHIPS, KIB, Psram
from esp_tvm.errors import UserError


def test_every_board_is_one_that_its_chip_can_be():
    assert len(BOARDS) >= 20
    for name, board in BOARDS.items():
        chip = CHIPS[board.chip]
        assert name == board.name == name.lower() and board.flash_mib in chip.flash_sizes
        assert board.source.startswith("https://")
        if board.psram is not None:
            assert board.psram.mode in chip.psram_modes and board.psram.mib <= chip.psram_limit
    assert {board.chip for board in BOARDS.values()} == {name for name, chip in CHIPS.items() if not chip.is_host}


def test_a_board_by_name():
    assert check_board("ESP32-S3-DevKitC-1-N8R2").psram == Psram(2, "quad")
    assert check_board("XIAO ESP32S3").chip == "esp32s3"
    board = choose_board(None, "esp32_p4_function_ev_board")
    assert (board.chip, board.flash_mib, board.psram, board.assumed) == ("esp32p4", 16, Psram(32, "hex"), False)


@pytest.mark.parametrize(
    "name, hint",
    [
        ("esp32-s3-devkitc-1-n8r4", "did you mean esp32-s3-devkitc-1-n8r"),
        ("esp32-s2-saola-1", "did you mean esp32-s2-saola-1"),
        ("esp32-c3-devkit", "did you mean esp32-c3-devkit"),
        ("arduino", "known are esp32-devkitc, "),
    ],
)
def test_an_unknown_board_is_told_the_nearest(name, hint):
    with pytest.raises(UserError, match=f"unknown board '{name}'.*{hint}"):
        check_board(name)


def test_a_board_by_its_memory():
    assert choose_board("esp32s3").psram == Psram(8, "octal") and choose_board("esp32s3").assumed
    assert choose_board("ESP32-S3", psram="2MB").psram == Psram(2, "quad")
    assert choose_board("esp32s3", psram="8mb:oct").psram == Psram(8, "octal")
    assert choose_board("esp32s3", psram="none").psram is None
    # Of more, an ESP32 can address 4 MB.
    assert choose_board("esp32", psram="8MB").psram == Psram(4, "quad")
    board = choose_board("esp32c3", flash="4MB", internal="200kB")
    assert (board.flash_mib, board.psram, board.internal) == (4, None, 200 * KIB)
    # More of a board than its name says.
    board = choose_board(None, "esp32-s3-devkitc-1-n8r8", psram="none")
    assert board.psram is None and board.flash_mib == 8
    assert choose_board("esp32s3", internal=str(300 * KIB)).internal == 300 * KIB


@pytest.mark.parametrize(
    "options, error",
    [
        ({}, "neither a chip nor a board"),
        ({"target": "esp32", "board": "xiao-esp32c3"}, "xiao-esp32c3 has the chip esp32c3, not esp32"),
        ({"target": "esp32c3", "psram": "2MB"}, "esp32c3 cannot have PSRAM; esp32, esp32s2, esp32s3, esp32p4 can"),
        ({"target": "esp32", "psram": "4MB:octal"}, "write 4MB:quad, or none"),
        ({"target": "esp32s3", "psram": "8MB:hex"}, "write 8MB:quad or 8MB:octal, or none"),
        ({"target": "esp32s3", "psram": "much"}, "is no size; write 4MB"),
        ({"target": "esp32s3", "psram": "1500kB"}, "give whole megabytes"),
        ({"target": "esp32s3", "flash": "3MB"}, "is one of 2MB, 4MB, 8MB, 16MB"),
        ({"target": "esp32s3", "internal": "1MB"}, "can take 1 to 340992 bytes"),
        ({"target": "esp32s3", "internal": "0"}, "can take 1 to 340992 bytes"),
        ({"target": "host", "flash": "4MB"}, "--flash 4MB: the host is no board"),
    ],
)
def test_what_no_board_has_is_refused(options, error):
    with pytest.raises(UserError, match=error):
        choose_board(**options)


def test_psram_of_each_kind_has_its_lines():
    s3 = CHIPS["esp32s3"]
    assert "CONFIG_SPIRAM_MODE_QUAD=y" in psram_lines(s3, Psram(2, "quad"))
    assert "CONFIG_SPIRAM_MODE_OCT=y" in psram_lines(s3, Psram(8, "octal"))
    assert not [line for line in psram_lines(CHIPS["esp32"], Psram(4, "quad")) if "MODE" in line or "SPEED" in line]


def test_the_first_esp32p4_needs_another_program():
    """The boards of Espressif that are called P4, not P4X, have a revision before 3.0."""
    old = ["CONFIG_ESP32P4_SELECTS_REV_LESS_V3=y"]
    assert {name for name, board in BOARDS.items() if revision_lines(board)} == {
        name for name in BOARDS if name.startswith("esp32-p4-")
    }
    assert revision_lines(choose_board(board="esp32-p4-eye", flash="8MB")) == old
    assert revision_lines(choose_board("esp32p4")) == []
