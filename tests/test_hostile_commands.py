"""Hostile files on the command line: exit code 2 and one line, no traceback, and nothing written outside of OUT."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from conftest import REPO
from fuzz.cases import Base, Case
from onnx import helper
from small_models import model_of, random, small_cnn

pytest.importorskip("tvm")

from test_cases import HOSTILE  # noqa: E402

# Those that no step refuses: preprocess passes them on, and what they compute is right (test_cases.py).
REFUSED = sorted(name for name, wanted in HOSTILE.items() if isinstance(wanted, str))


class Commands(Case):
    """What commands print goes where `Case` looks for it, not to pytest."""

    def run(self, *arguments: object) -> int:
        with open(1, "w", closefd=False) as out, open(2, "w", closefd=False) as err:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                return super().run(*arguments)


@pytest.fixture
def case(tmp_path) -> Case:
    """A folder with inputs, current folder, home and temporary folder, where nothing may be left, and `out`."""
    return Commands(tmp_path / "case", Base(tmp_path))


def refused(case: Case, *arguments: object) -> str:
    """The one line that a command gives for its inputs."""
    assert case.run(*arguments) == 2, case.text
    assert not case.faults, case.faults
    lines = case.text.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: ") and lines[0].isprintable(), case.text
    return lines[0]


@pytest.mark.parametrize("name", REFUSED)
def test_models(case, shared_cases, name):
    model = shared_cases / "hostile" / f"{name}.onnx"
    said = [refused(case, "preprocess", "--model", model, "--output", case.out / "m.onnx")] if _early(name) else []
    if not said:
        said = [refused(case, *_export(case, model, case.out))]
    assert HOSTILE[name] in said[0]
    assert not list(case.out.rglob("*")), "a step that refuses leaves nothing"


def _early(name: str) -> bool:
    """Whether the step that reads it first refuses it: a quantized model is read by export."""
    return name not in ("oob_gathernd_q", "oob_scatter_q", "qdq_scale_zero")


def _export(case: Case, model: Path, out: Path) -> list:
    sample = case.input("sample.npy", b"")
    np.save(sample, np.zeros((1, 1), np.float32))
    return ["export", "--target", "host", "--model", model, "--input", sample, "--out", out]


@pytest.mark.parametrize("name", ["npy_14", "npy_25"])
def test_arrays(case, shared_cases, name):
    model = case.input("m.onnx", small_cnn().SerializeToString())
    calib = shared_cases / "hostile" / f"{name}.npy"
    refused(case, "quantize", "--model", model, "--calib", calib, "--output", case.out / "q.onnx")


@pytest.mark.parametrize("name", ["bomb1", "exp"])
def test_specs(case, shared_cases, name):
    spec = shared_cases / "hostile" / f"{name}.yaml"
    refused(case, "frontend", "--spec", spec, "--project", case.inputs)


@pytest.mark.parametrize("damage", [b"", b"\x08", b"\x00" * 64, b"\xff" * 64, b"no model at all\n"], ids=range(5))
def test_files_that_are_no_model(case, damage):
    """Neighbours that a test can make by itself."""
    model = case.input("m.onnx", damage)
    refused(case, "preprocess", "--model", model, "--output", case.out / "m.onnx")
    refused(case, "quantize", "--model", model, "--calib", model, "--output", case.out / "q.onnx")
    refused(case, *_export(case, model, case.out))


def test_models_cut_off(case):
    data = small_cnn().SerializeToString()
    for size in (3, 60, len(data) // 2, len(data) - 1):
        model = case.input("m.onnx", data[:size])
        refused(case, "preprocess", "--model", model, "--output", case.out / "m.onnx")


SCRIPTS = {
    "preprocess_onnx.py": ["--input", "m.onnx", "--output", "o.onnx"],
    "esp_quantize_onnx.py": ["--input_model", "m.onnx", "--output_model", "o.onnx", "--calibrate_dataset", "m.onnx"],
    "export_onnx_model.py": [
        "--target_chip",
        "host",
        "--model_path",
        "m.onnx",
        "--img_path",
        "m.onnx",
        "--out_path",
        ".",
    ],
    "debug_onnx_model.py": ["--target_chip", "host", "--model_path", "m.onnx", "--img_path", "m.onnx"],
}


@pytest.mark.parametrize("script", sorted(SCRIPTS))
def test_the_documented_scripts(script, tmp_path):
    """As ESP-DL's tutorial calls them; node 'bad' has a stride of 0."""
    node = helper.make_node("MaxPool", ["x"], ["y"], "bad", kernel_shape=[2, 2], strides=[0, 1])
    bad = model_of([node], {"x": [1, 1, 4, 4]}, {"y": [1, 1, 1, 3]}, check=False)
    (tmp_path / "m.onnx").write_bytes(bad.SerializeToString())
    done = subprocess.run(
        [sys.executable, str(REPO / "tools/tvm" / script), *SCRIPTS[script]],
        cwd=tmp_path, env={**os.environ, "TMPDIR": str(tmp_path)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 2 and not done.stdout
    assert done.stderr.count("\n") == 1 and "'bad' (MaxPool)" in done.stderr and "'strides' is 0" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["m.onnx"]


@pytest.mark.slow
def test_a_long_chain(case):
    """6000 layers: deeper than Python and TVM recurse."""
    count = 6000
    nodes = [helper.make_node("Add", [f"t{i}", f"t{i}"], [f"t{i + 1}"], f"n{i}") for i in range(count)]
    model = model_of(nodes, {"t0": [1, 4]}, {f"t{count}": [1, 4]}, check=False)
    path = case.input("m.onnx", model.SerializeToString())
    sample = case.input("x.npy", b"")
    np.save(sample, random(1, 4))
    said = refused(case, "export", "--target", "host", "--model", path, "--input", sample, "--out", case.out)
    assert "too long a chain of layers" in said
    assert not list(case.out.rglob("*"))
    assert onnx.load(str(path)).graph.node[-1].name == f"n{count - 1}"
