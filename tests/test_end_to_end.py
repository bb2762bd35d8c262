"""Whole networks, by the documented commands: preprocess, quantize, export, run."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from esp_tvm.convert.int16 import collapse
from esp_tvm.data_check import FEW
from esp_tvm.program.store import load
from esp_tvm.steps.words import WATCHED

pytest.importorskip("tvm")

REPO = Path(__file__).resolve().parents[1]
TOOLS = REPO / "tools" / "tvm"
DIGITS = REPO / "examples" / "digits"
WORKSPACE_LIMIT = {"digits": 20_000, "kws": 20_000, "resnet8": 60_000}


def in_a_process(script, *arguments) -> subprocess.CompletedProcess:
    """A script as a user starts it."""
    return subprocess.run([sys.executable, str(script), *map(str, arguments)], capture_output=True, text=True)


def in_this_process(script, *arguments) -> subprocess.CompletedProcess:
    """The same script without a start of Python, for which TVM alone takes a second."""
    words = [str(script), *map(str, arguments)]
    out, err, status = io.StringIO(), io.StringIO(), 0
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        patch.setattr(sys, "argv", words)
        patch.setattr(sys, "path", list(sys.path))
        try:
            runpy.run_path(words[0], run_name="__main__")
        except SystemExit as end:
            status = end.code
    return subprocess.CompletedProcess(words, status, out.getvalue(), err.getvalue())


def _call(start, *command, ok=True):
    done = start(*command)
    if ok:
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        return done.stdout
    return done


@pytest.fixture(scope="module", params=["digits", "kws", "resnet8"])
def name(request):
    return request.param


@pytest.fixture(scope="module")
def call(name):
    """Runs a script; returns its standard output, or with ok=False how it ended. For one network as users do."""
    return functools.partial(_call, in_a_process if name == "digits" else in_this_process)


@pytest.fixture(scope="module")
def network(name, call, shared_models, tmp_path_factory):
    """(name, folder with model_quant.onnx and new_project, the evaluation samples).

    One is quantized as users do; of others so few samples are taken that the quantizer holds none back, and need not
    quantize twice. They are exported to the same kernels.
    """
    if name == "digits":
        source, evaluation = DIGITS, DIGITS / "test.npy"
    else:
        source = shared_models / name
        evaluation = source / "eval.npy"
    out = tmp_path_factory.mktemp(name)
    calibration = source / "calib.npy"
    if name != "digits":
        calibration = out / "calib.npy"
        np.save(calibration, np.load(source / "calib.npy")[: FEW - 1])
    call(TOOLS / "preprocess_onnx.py", "--input", source / "model.onnx", "--output", out / "model_opt.onnx")
    call(
        TOOLS / "esp_quantize_onnx.py",
        *("--input_model", out / "model_opt.onnx"),
        *("--output_model", out / "model_quant.onnx"),
        *("--calibrate_dataset", calibration),
    )
    printed = call(
        TOOLS / "export_onnx_model.py",
        *("--target_chip", "esp32s3"),
        *("--model_path", out / "model_quant.onnx"),
        *("--img_path", source / "input_sample.npy"),
        *("--template_path", REPO / "template_project_for_model"),
        *("--out_path", out),
    )
    (out / "export.txt").write_text(printed)
    return name, out, evaluation


def test_every_byte_of_every_sample_is_equal(network, call):
    name, out, evaluation = network
    samples = np.load(evaluation)
    count = min(len(samples), 100)
    np.save(out / "some.npy", samples[:count])
    printed = call(
        TOOLS / "run_project.py",
        *("--project", out / "new_project"),
        *("--model", out / "model_quant.onnx"),
        *("--input", out / "some.npy"),
        "--sanitize",
    )
    assert f"PASS: {count} of {count} samples equal in every layer, 0 differing bytes" in printed


def test_no_operator_falls_back(network):
    _, out, _ = network
    printed = (out / "export.txt").read_text()
    assert "falls back" not in printed and "no kernel for" not in printed
    assert " 0 fallbacks" in printed


def test_each_call_names_its_onnx_node(network):
    _, out, _ = network
    # What stands for an int16 quantization is one call.
    model = collapse(onnx.load(str(out / "model_quant.onnx")))
    calls = load(out / "new_project").calls()
    described = [", ".join(call.nodes) for call in calls]
    # A transpose in front of an NHWC model cancels out against the layout conversion.
    kinds = {node.op_type for node in model.graph.node} - {"QuantizeLinear", "DequantizeLinear", "Transpose"}
    for kind in kinds:
        assert any(kind in text for text in described), f"no call names a {kind}"
    symbols = [call.symbol for call in calls]
    assert len(symbols) == len(set(symbols))


def test_documented_tree(network):
    _, out, _ = network
    project = out / "new_project"
    host = "components/tvm_model/model/codegen/host"
    for path in (
        "components/esp-dl",
        "components/tvm_model/crt_config",
        f"{host}/src/default_lib0.c",
        f"{host}/src/default_lib1.c",
        f"{host}/include/tvmgen_default.h",
        "main/app_main.c",
        "main/input_data.h",
        "main/output_data.h",
        "main/CMakeLists.txt",
        "partitions.csv",
        "sdkconfig.defaults",
    ):
        assert (project / path).exists(), path
    for chip in ("esp32", "esp32s2", "esp32s3", "esp32c3", "esp32c6", "esp32p4"):
        assert (project / f"sdkconfig.defaults.{chip}").exists()


def test_arena_is_small(network):
    name, out, _ = network
    metadata = json.loads((out / "new_project/components/tvm_model/model/metadata.json").read_text())
    assert 0 < metadata["arena_bytes"] <= WORKSPACE_LIMIT[name]


def test_one_changed_weight_is_found(network, call, tmp_path):
    """The comparison can fail: it does with one weight changed in the generated C."""
    _, out, evaluation = network
    project = tmp_path / "new_project"
    subprocess.run(["cp", "-r", str(out / "new_project"), str(project)], check=True)
    lib0 = project / "components/tvm_model/model/codegen/host/src/default_lib0.c"
    text = lib0.read_text()
    start = re.search(r"const int8_t\s+\w+_weights\[\d+\][^{]*\{\n\s*", text).end()
    value = re.match(r"-?\d+", text[start:]).group()
    changed = str(int(value) - 64 if int(value) > 0 else int(value) + 64)
    lib0.write_text(text[:start] + changed + text[start + len(value) :])
    np.save(tmp_path / "one.npy", np.load(evaluation)[:1])
    done = call(
        TOOLS / "run_project.py",
        *("--project", project),
        *("--model", out / "model_quant.onnx"),
        *("--input", tmp_path / "one.npy"),
        ok=False,
    )
    assert done.returncode == 1 and "FAIL: 0 of 1 samples" in done.stdout


def test_debug_dump_is_complete(network, call, tmp_path):
    name, out, evaluation = network
    one = np.load(evaluation)[:1]
    np.save(tmp_path / "one.npy", one)
    call(
        TOOLS / "debug_onnx_model.py",
        *("--target_chip", "esp32s3"),
        *("--model_path", out / "model_quant.onnx"),
        *("--img_path", tmp_path / "one.npy"),
        *("--dump_root", tmp_path / "tvmdbg"),
    )
    (dump,) = (tmp_path / "tvmdbg").rglob("_tvmdbg_graph_dump.json")
    graph = json.loads(dump.read_text())
    assert len(graph["nodes"]) > 10
    assert all("shape" in node and "op" in node for node in graph["nodes"])
    assert list((tmp_path / "tvmdbg").rglob("output_tensors.params"))


def test_wrong_input_is_one_line(network, call, tmp_path, monkeypatch):
    _, out, _ = network
    # On a loaded machine a step would also say that it is still at work.
    monkeypatch.setenv(WATCHED, "1")
    np.save(tmp_path / "wrong.npy", np.zeros((1, 2, 3), np.float32))
    for arguments in (
        ["--img_path", tmp_path / "wrong.npy"],
        ["--img_path", tmp_path / "missing.npy"],
        ["--img_path", out / "some.npy", "--target_chip", "esp8266"],
        ["--img_path", REPO / "README.md"],
    ):
        if "--target_chip" not in arguments:
            arguments = [*arguments, "--target_chip", "esp32s3"]
        done = call(
            TOOLS / "export_onnx_model.py",
            *("--model_path", out / "model_quant.onnx", "--out_path", tmp_path / "out", *arguments),
            ok=False,
        )
        assert done.returncode == 2, arguments
        assert len(done.stderr.strip().splitlines()) == 1 and done.stderr.startswith("error: "), done.stderr
        assert not (tmp_path / "out" / "new_project").exists()


def test_a_foreign_folder_is_never_replaced(network, call, tmp_path):
    _, out, _ = network
    mine = tmp_path / "new_project"
    mine.mkdir()
    (mine / "thesis.txt").write_text("years of work")
    done = call(
        TOOLS / "export_onnx_model.py",
        *("--target_chip", "esp32c3", "--model_path", out / "model_quant.onnx"),
        *("--img_path", out / "some.npy", "--out_path", tmp_path),
        ok=False,
    )
    assert done.returncode == 2
    assert os.listdir(mine) == ["thesis.txt"]
