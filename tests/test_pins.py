"""Pins of boards: every example on every chip and board gets pins that are there, or is refused in one line."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from esp_tvm.boards import BOARDS, choose_board
from esp_tvm.chips import CHIPS
from esp_tvm.errors import UserError
from esp_tvm.frontend.pins import CAMERA, GPIOS, MICROPHONE, camera_loop, check_pins

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
APPS = sorted(path.parents[1] for path in EXAMPLES.glob("*/*/main/app_main.c"))
PARTS = (CAMERA, MICROPHONE)
# Pins that flash and PSRAM take (datasheets of the modules); 16 and 17 of an ESP32 only with PSRAM, 33 to 37 of an
# ESP32-S3 only with eight lines.
FLASH = {"esp32": range(6, 12), "esp32s2": range(26, 33), "esp32s3": range(26, 33), "esp32c3": range(11, 18)}
FLASH.update({"esp32c6": range(24, 31), "esp32p4": range(0)})
PSRAM = {"esp32": (16, 17), "esp32s3": range(33, 38)}


def numbers_of(part):
    """(chip, numbers) of everything that a part can be given."""
    yield from ((BOARDS[name].chip, numbers) for name, numbers in part.known.items())
    yield from ((chip, numbers) for chip, (numbers, _) in part.wiring.items())


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
def test_all_pins_are_free_pins_of_the_chip(part):
    assert {*part.known, *part.taken} <= set(BOARDS)
    for chip, numbers in numbers_of(part):
        connected = [number for number in numbers if number >= 0]
        assert len(numbers) == len(part.fields) and len(set(connected)) == len(connected) >= 3
        assert set(connected) <= GPIOS[chip] - set(FLASH[chip]) - set(PSRAM.get(chip, ()))
        if chip == "esp32":
            # 34 and above are inputs only.
            driven = [
                n for name, n in zip(part.fields, numbers) if name in ("xclk", "sccb_sda", "sccb_scl", "bclk", "ws")
            ]
            assert max(driven) < 34


@pytest.mark.parametrize("app", APPS, ids=lambda app: app.parent.name)
def test_every_example_on_every_board(app):
    boards = [choose_board(chip.name) for chip in CHIPS.values()] + list(BOARDS.values())
    for board in boards:
        try:
            headers = check_pins(app, board)
        except UserError as error:
            assert "\n" not in str(error) and (board.chip in str(error) or (board.name and board.name in str(error)))
            continue
        assert bool(headers) != CHIPS[board.chip].is_host, "every example takes a part, on a chip by pins"
        for name, text, line in headers:
            part = next(part for part in PARTS if name == f"main/{part.header}")
            found = [
                int(number) for number in re.findall(r"GPIO_NUM_(\d+)|= (\d+)", text) for number in number if number
            ]
            assert set(found) <= GPIOS[board.chip] and len(found) >= 3
            assert ("note: connect" in line) == (board.name not in part.known) and "\n" not in line


def test_what_each_example_is_told():
    image, keyword = EXAMPLES / "image_classification/app", EXAMPLES / "keyword_spotting/app"
    (header,) = check_pins(keyword, choose_board("esp32c3"))
    assert ".bclk = GPIO_NUM_4, .ws = GPIO_NUM_5" in header[1] and "GPIO_NUM_41" not in header[1]
    assert header[2].startswith(
        "note: connect an I2S microphone to GPIO BCLK 4, WS 5, DIN 6 (on the headers of esp32-c3"
    )
    (header,) = check_pins(keyword, choose_board(board="esp-eye"))
    assert ".din = GPIO_NUM_33" in header[1] and header[2] == "pins of the microphone: those of esp-eye"
    with pytest.raises(
        UserError, match=r"takes a camera, which esp32c3 cannot have: .* knows esp32, esp32s2 and esp32s3"
    ):
        check_pins(image, choose_board("esp32c3"))
    with pytest.raises(UserError, match="whose pins on esp32-s3-box-3 are not known; put main/camera_pins.h into"):
        check_pins(image, choose_board(board="esp32-s3-box-3"))
    (header,) = check_pins(image, choose_board(board="esp32-cam"))
    assert ".pin_pwdn = 32" in header[1] and ".pin_d0 = 5" in header[1] and "esp32-cam" in header[2]
    assert check_pins(keyword, choose_board("host")) == []


def test_the_loop_that_takes_a_camera(tmp_path):
    """It is given on every chip, and with it the pins; not beside the application's own, which may need no camera."""
    (tmp_path / "main").mkdir()
    (tmp_path / "main/app_main.c").write_text('#include "camera_loop.h"\n')
    ((name, text),) = camera_loop(tmp_path).items()
    assert name == "main/camera_loop.h" and "static int camera_loop(camera_take_t function)" in text
    assert check_pins(tmp_path, choose_board("host")) == []
    assert [header[0] for header in check_pins(tmp_path, choose_board("esp32s3"))] == ["main/camera_pins.h"]
    (tmp_path / name).write_text("/* frames from elsewhere */\n")
    assert camera_loop(tmp_path) == {} and check_pins(tmp_path, choose_board("esp32c3")) == []


@pytest.mark.parametrize("pins, fault", [(".bclk = GPIO_NUM_41", "GPIO 41"), (".pin_d7 = 24", "GPIO 24"), ("= -1", "")])
def test_pins_of_the_applications_own(tmp_path, pins, fault):
    (tmp_path / "main").mkdir()
    (tmp_path / "main/app_main.c").write_text('#include "microphone_pins.h"\n')
    (tmp_path / "main/microphone_pins.h").write_text(f"#define MICROPHONE_PINS {{ {pins} }}\n")
    if not fault:
        assert check_pins(tmp_path, choose_board("esp32c3")) == []
        return
    with pytest.raises(UserError, match=f"microphone_pins.h: {fault} does not exist on the esp32c3, which has 0 to 21"):
        check_pins(tmp_path, choose_board("esp32c3"))


def test_headers_are_c(tmp_path):
    """They compile, and give each field the number of its table."""
    board = choose_board(board="esp32-s3-eye")
    for app in ("image_classification", "keyword_spotting"):
        ((name, text, _),) = check_pins(EXAMPLES / app / "app", board)
        (tmp_path / Path(name).name).write_text(text)
    (tmp_path / "driver").mkdir()
    (tmp_path / "driver/gpio.h").write_text("enum { GPIO_NUM_2 = 2, GPIO_NUM_41 = 41, GPIO_NUM_42 = 42 };\n")
    fields = "".join(f"int pin_{name};" for name in CAMERA.fields)
    checks = "".join(f"c.pin_{name} != {number} || " for name, number in zip(CAMERA.fields, CAMERA.known[board.name]))
    (tmp_path / "test.c").write_text(f"""\
#include "camera_pins.h"
#include "microphone_pins.h"
#define I2S_GPIO_UNUSED (-1)
static const struct {{ {fields} }} c = {{ CAMERA_PINS, }};
static const struct {{ int mclk, bclk, ws, dout, din; }} m = MICROPHONE_PINS;
int main(void) {{ return {checks}m.bclk != 41 || m.ws != 42 || m.din != 2 || m.mclk != -1 || m.dout != -1; }}
""")
    subprocess.run(["gcc", "-Wall", "-Wextra", "-Werror", "-I.", "test.c", "-o", "test"], cwd=tmp_path, check=True)
    assert subprocess.run([str(tmp_path / "test")]).returncode == 0
