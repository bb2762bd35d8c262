"""The kernels for the ESP32-S3's vector unit give the plain kernels' bytes: their C everywhere, the assembly where an
emulator runs it."""

from __future__ import annotations

import subprocess

import pytest
from esp32s3_cases import ALL, INCLUDES, listed, program, random_pairs, run_in_emulator
from kernel_harness import listed_sources

from esp_tvm.run import esp32s3
from esp_tvm.run.host import CFLAGS, SANITIZE, STRICT, host_compiler


@pytest.fixture(scope="module")
def emulator(tmp_path_factory):
    """Skips with a reason where there is no compiler or emulator."""
    reason = esp32s3.why_not(tmp_path_factory.mktemp("probe"))
    if reason:
        pytest.skip(reason)


def sources():
    """What the calls of the cases need."""
    plain = {f"{variant.operator}_s8" for variant in ALL}
    return [path for path in listed_sources() if path.stem in plain or "esp32s3" in path.stem]


def run_on_host(pairs, folder) -> bytes:
    source, binary = folder / "program.c", folder / "program"
    source.write_text(program(pairs, emulator=False), encoding="utf-8")
    command = [host_compiler(), *CFLAGS, "-O1", *STRICT, *SANITIZE, *[f"-I{include}" for include in INCLUDES]]
    command += [str(source), *map(str, sources()), "-o", str(binary), "-lm"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout[:3000]
    done = subprocess.run([str(binary)], capture_output=True)
    assert done.returncode == 0, done.stderr[:3000]
    return done.stdout


def test_same_bytes_on_this_computer(tmp_path):
    pairs = [pair for variant in ALL for pair in random_pairs(variant, 20, seed=1)]
    assert listed(pairs, run_on_host(pairs, tmp_path)) is None


@pytest.mark.parametrize("number", range(len(ALL)), ids=lambda number: f"{number}-{type(ALL[number]).__name__}")
def test_same_bytes_in_the_emulator(number, emulator, tmp_path):
    pairs = random_pairs(ALL[number], 100, seed=2)
    assert listed(pairs, run_in_emulator(pairs, tmp_path)) is None
