"""make emulate: which emulator it takes, and how a program in ESP-IDF's QEMU comes to its end."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("tvm")

from esp_tvm.chips import CHIPS  # noqa: E402
from esp_tvm.errors import UserError  # noqa: E402
from esp_tvm.run.emulate import IDF_QEMU, check_emulator  # noqa: E402

SCRIPTS = Path(__file__).resolve().parents[1] / "scripts"


def test_chips_that_the_emulator_does_not_know():
    """One line that says why, and what to do, for every Xtensa chip; nothing for the others."""
    for name, chip in CHIPS.items():
        if "Xtensa" not in chip.cpu:
            check_emulator(name)
            continue
        with pytest.raises(UserError) as caught:
            check_emulator(name)
        text = str(caught.value)
        assert f"{name} is an Xtensa chip" in text and "take a RISC-V chip: TARGET=esp32c3" in text
        assert ("activate ESP-IDF 5.3" in text) == (name in IDF_QEMU)


def run_scripts(folder: Path, chip: str, idf: str = "", emulator: str = "") -> subprocess.CompletedProcess:
    """scripts/emulate.sh in a repository whose pipeline writes down its calls and exports for `chip`. idf: what the
    idf.py on PATH does, a shell script; none without"""
    (folder / "scripts").mkdir(parents=True)
    for name in ("emulate.sh", "idf.sh", "idf_qemu.py", "port.sh"):
        shutil.copy(SCRIPTS / name, folder / "scripts")
    project = folder / "build/m/new_project"
    metadata = project / "components/tvm_model/model/metadata.json"
    metadata.parent.mkdir(parents=True)
    metadata.write_text(f'{{\n "target_chip": "{chip}"\n}}\n')
    (project / "sdkconfig").write_text(f'CONFIG_IDF_TARGET="{chip}"\n')
    pipeline = folder / "scripts/pipeline.sh"
    pipeline.write_text('#!/bin/sh\ncase $1 in out) echo build/m;; idf-*);; *) echo "pipeline $@";; esac\n')
    pipeline.chmod(0o755)
    path = "/usr/bin:/bin"
    if idf:
        tool = folder / "bin/idf.py"
        tool.parent.mkdir()
        tool.write_text(f"#!/bin/sh\n{idf}\n")
        tool.chmod(0o755)
        path = f"{tool.parent}:{path}"
    environment = {key: value for key, value in os.environ.items() if key not in ("TARGET", "OUT", "PORT")}
    environment.update(PATH=path, MODEL="m.onnx", QEMU_TIMEOUT="20", EMULATOR=emulator)
    command = [str(folder / "scripts/emulate.sh")]
    return subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


IDF = """case "$*" in
--help) echo "  qemu   Run QEMU.";;
*qemu) echo "idf $*"; echo "PASS: model 0123456789abcdef"; sleep 60; echo "never reached";;
esac"""


def test_without_esp_idf(tmp_path):
    assert run_scripts(tmp_path, "esp32c3").stdout == "pipeline emulate\n"


@pytest.mark.parametrize("chip", ["esp32", "esp32c3", "esp32s3"])
def test_with_esp_idf(tmp_path, chip):
    before = time.monotonic()
    done = run_scripts(tmp_path, chip, IDF)
    lines = done.stdout.splitlines()
    assert done.returncode == 0
    assert lines == ["pipeline export", "idf -C build/m/new_project qemu", "PASS: model 0123456789abcdef"]
    assert time.monotonic() - before < 15, "the emulator was not ended"


def test_chips_and_versions_without_idf_qemu(tmp_path):
    cases = (
        ("esp32c6", IDF, "ESP-IDF's QEMU does not know the esp32c6"),
        ("esp32c3", "echo nothing of the kind", "this ESP-IDF has no 'idf.py qemu' (it came with 5.3)"),
    )
    for chip, idf, why in cases:
        done = run_scripts(tmp_path / chip, chip, idf)
        export, emulate, last = done.stdout.splitlines()
        assert (export, emulate) == ("pipeline export", "pipeline emulate")
        assert last.startswith("not run: ") and why in last, "what was not asked for is said last"
        asked = run_scripts(tmp_path / f"asked {chip}", chip, idf, "esp-idf")
        assert asked.returncode == 2 and "pipeline emulate" not in asked.stdout
        assert asked.stdout.splitlines()[-1].startswith(f"error: EMULATOR=esp-idf: {why}")


def test_the_emulator_that_is_asked_for(tmp_path):
    assert run_scripts(tmp_path / "a", "esp32c3", IDF, "qemu-riscv").stdout == "pipeline emulate\n"
    none = run_scripts(tmp_path / "b", "esp32c3", "", "esp-idf")
    assert none.returncode == 2 and "error: EMULATOR=esp-idf: no ESP-IDF is active" in none.stdout
    wrong = run_scripts(tmp_path / "c", "esp32c3", IDF, "bochs")
    assert wrong.returncode == 2 and wrong.stdout.startswith("error: EMULATOR=bochs is neither")


def test_a_long_help_is_read_to_its_end(tmp_path):
    """idf.py fails where nobody reads on; with pipefail a search that ends early would then find nothing."""
    lines = 'i=0; while [ $i -lt 20000 ]; do echo "line $i"; i=$((i+1)); done'
    words = f'case "$*" in --help) echo "  qemu   Run QEMU."; {lines};;'
    done = run_scripts(tmp_path, "esp32c3", words + IDF[IDF.index("\n*qemu") :])
    assert "idf -C build/m/new_project qemu" in done.stdout


@pytest.mark.parametrize(
    "printed, status",
    [
        ("I (300) x: PASS: model 01", 0),
        ("FAIL: model 01", 1),
        ("Guru Meditation Error: Core  0 panic'ed", 1),
        ("PASSED or FAILED", 2),
    ],
)
def test_verdicts(printed, status):
    command = [sys.executable, str(SCRIPTS / "idf_qemu.py"), "printf", "%s\n", printed]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (status, f"{printed}\n")
    assert ("ended without PASS or FAIL" in done.stderr) == (status == 2)


def test_silent_program_is_ended():
    environment = {**os.environ, "QEMU_TIMEOUT": "1"}
    command = [sys.executable, str(SCRIPTS / "idf_qemu.py"), "sh", "-c", "sleep 60; echo x"]
    before = time.monotonic()
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 2 and "neither PASS nor FAIL within 1 s" in done.stderr
    assert time.monotonic() - before < 20
