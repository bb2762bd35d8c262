"""ESP-DL 1.1's tutorial as it is typed: paths, names of nodes, the debug snippet; mistakes told before the compile."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper
from small_models import model_of, random

from esp_tvm.errors import UserError
from esp_tvm.places import TEMPLATE, template_folder
from esp_tvm.project import export

REPO = Path(__file__).resolve().parents[1]
MODEL = str(REPO / "examples/digits/model.onnx")
SAMPLE = str(REPO / "examples/digits/input_sample.npy")


@pytest.mark.parametrize(
    "typed",
    [
        "esp_dl/tools/tvm/template_project_for_model",
        "esp-dl/tools/tvm/template_project_for_model/",
        "tools/tvm/template_project_for_model",
        "../tools/tvm/template_project_for_model",
    ],
)
def test_the_tutorials_template(typed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert template_folder(typed) == TEMPLATE
    assert export.check_places(typed, "out")[0] == TEMPLATE
    # One that is there is taken.
    os.makedirs(typed)
    assert template_folder(typed) == Path(typed)


def test_another_template_that_is_missing_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for typed in ("template_project_for_model", "my/template", "tvm/template_project_for_model"):
        with pytest.raises(UserError, match="is no template project"):
            export.check_places(typed, "out")


@pytest.mark.parametrize(
    "change, words",
    [
        ({"target_chip": "esp32s33"}, "did you mean esp32s3"),
        ({"template_path": "nowhere"}, "is no template project"),
        ({"img_path": "nowhere.npy"}, "nowhere.npy: no such file"),
        ({"img_path": "wrong.npy"}, "has shape"),
        ({"out_path": "taken"}, "was not written by this tool"),
        ({"debug": "loud"}, "loud"),
        ({"constants": "moon"}, "moon"),
        ({"cores": 3}, "a model runs on 1 or 2"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_mistakes_are_told_before_the_compile(change, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("wrong.npy", np.zeros((1, 3, 8, 8), np.float32))
    (tmp_path / "taken/new_project").mkdir(parents=True)
    monkeypatch.setattr(export, "import_model", lambda *_, **__: pytest.fail("it was compiled"))
    arguments = {"target_chip": "esp32s3", "model_path": MODEL, "img_path": SAMPLE, "template_path": str(TEMPLATE)}
    with pytest.raises(UserError, match=words):
        export.export_onnx_model(**{**arguments, "out_path": "out", **change})
    assert not (tmp_path / "out").exists()


def test_the_debug_snippet(tmp_path):
    import tvm

    from esp_tvm.evaluate import debug_onnx_model
    from esp_tvm.quantize import quantize_model
    from esp_tvm.quantize.passes import Passes

    model = model_of([helper.make_node("Relu", ["x"], ["y"], name="r")], {"x": [1, 8]}, {"y": [1, 8]})
    samples = {"x": random(20, 1, 8)}
    quantized = quantize_model(model, samples, Passes(method="minmax", equalize=False, fit=False)).model
    onnx.save(quantized, str(tmp_path / "q.onnx"))
    np.save(tmp_path / "x.npy", samples["x"][:1])
    m = debug_onnx_model("ESP32-S3", str(tmp_path / "q.onnx"), str(tmp_path / "x.npy"), str(tmp_path / "dump"))
    # Not the input: its name is that of a node of the graph, too.
    entry = next(one for one in m.names if one["tensor"] != "x")
    values = m.debug_get_output(entry["tvm_index"]).numpy()
    for name in (entry["tvm_node"], entry["call"], entry["tensor"]):
        # As the tutorial has it: with an array to write to, and without.
        tvm_out = tvm.nd.empty(values.shape, dtype=str(values.dtype))
        m.debug_get_output(name, tvm_out)
        assert np.array_equal(tvm_out.numpy(), values), name
        assert np.array_equal(m.debug_get_output(name).numpy(), values), name
    with pytest.raises(
        UserError, match="no layer is called 'tvmgen_default_fused_nn_rrelu'.*names.json in the dump"
    ) as error:
        m.debug_get_output("tvmgen_default_fused_nn_rrelu")
    assert "\n" not in str(error.value)


def test_tvms_names_lead_to_layers_of_the_operator():
    from esp_tvm.run.names import find_layer

    def layer(tensor: str, *nodes: str) -> dict:
        return {
            "tensor": tensor,
            "nodes": list(nodes),
            "tvm_node": f"n_{tensor}",
            "call": f"tvmgen_default_esp_{tensor}",
        }

    layers = [layer("a", 'Conv "c"', 'Relu "r"'), layer("b", 'Gemm "g"'), layer("d", 'Softmax "s"')]
    for name, found in (("tvmgen_default_fused_nn_relu", "'a'"), ("tvmgen_default_fused_nn_dense_add_1", "'b'")):
        with pytest.raises(UserError, match=f"the closest are {found}; names.json"):
            find_layer(layers, name)


def test_import_tvm_after_the_script(tmp_path):
    """The tutorial's PYTHONPATH stands in single quotes, so it names nothing; tools/tvm must not be taken for TVM."""
    if not (REPO / "tvm/python/tvm").is_dir():
        pytest.skip("TVM is not set up")
    code = "import export_onnx_model, importlib.util; print(importlib.util.find_spec('tvm').origin)"
    environment = {**os.environ, "PYTHONPATH": "$PYTHONPATH:/path-to-esp-dl/esp-dl/tvm/python"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPO / "tools/tvm", env=environment, capture_output=True, text=True
    )
    assert done.stdout.strip().endswith("python/tvm/__init__.py"), done.stderr
