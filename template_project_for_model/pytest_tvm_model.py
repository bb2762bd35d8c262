"""The program prints PASS: on a board, in ESP-IDF's QEMU, on this computer (ESP-IDF's linux target).

    pip install pytest-embedded-idf pytest-embedded-serial-esp pytest-embedded-qemu
    idf.py build
    pytest -m board                      # or: qemu, host_test

What is run is the program in build/, on the chip that it was built for (conftest.py).
"""

import pytest
from pytest_embedded_idf.dut import IdfDut
from pytest_embedded_idf.utils import idf_parametrize

PASS = r"PASS: model [0-9a-f]{16}, \d+ us"


@pytest.mark.board
@pytest.mark.parametrize("embedded_services", ["esp,idf"], indirect=True)
@idf_parametrize("target", ["esp32", "esp32s2", "esp32s3", "esp32c3", "esp32c6", "esp32p4"], indirect=["target"])
def test_on_board(dut: IdfDut) -> None:
    dut.expect(PASS, timeout=120)


@pytest.mark.qemu
@pytest.mark.host_test
@pytest.mark.parametrize("embedded_services", ["idf,qemu"], indirect=True)
@idf_parametrize("target", ["esp32", "esp32c3", "esp32s3"], indirect=["target"])
def test_in_qemu(dut: IdfDut) -> None:
    dut.expect(PASS, timeout=300)


@pytest.mark.host_test
@pytest.mark.parametrize("embedded_services", ["idf"], indirect=True)
@idf_parametrize("target", ["linux"], indirect=["target"])
def test_on_linux(dut: IdfDut) -> None:
    dut.expect(PASS, timeout=60)
