"""Builds on the host, in QEMU or on a board print PASS: run with pytest-embedded (pip install pytest-embedded-idf).

pytest --target esp32s3 -m board     on a board
pytest --target esp32c3 -m qemu      in ESP-IDF's QEMU
"""

import pytest


def check(dut):
    dut.expect(r"PASS: model [0-9a-f]{16}", timeout=120)


@pytest.mark.board
@pytest.mark.parametrize("target", ["esp32", "esp32s2", "esp32s3", "esp32c3", "esp32c6", "esp32p4"], indirect=True)
def test_on_board(dut):
    check(dut)


@pytest.mark.qemu
@pytest.mark.parametrize("target", ["esp32", "esp32c3", "esp32s3"], indirect=True)
def test_in_qemu(dut):
    check(dut)
