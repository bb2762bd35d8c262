"""The demo's network and the two shared ones as projects for every chip: all that can be checked without a board."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from idf_standin import StandIn
from project_checks import check_partitions, check_settings, own_settings

pytest.importorskip("tvm")

from esp_tvm.chips import CHIPS  # noqa: E402
from esp_tvm.errors import UserError  # noqa: E402
from esp_tvm.program.schema import CONSTANTS, METADATA  # noqa: E402
from esp_tvm.project.export import export_onnx_model  # noqa: E402
from esp_tvm.run.emulate import emulate_project  # noqa: E402
from esp_tvm.run.host import MODEL  # noqa: E402

# Minutes.
pytestmark = pytest.mark.slow

REPO = Path(__file__).resolve().parents[1]
TEMPLATE = REPO / "template_project_for_model"
NETWORKS = ("digits", "resnet8", "kws")
REAL_CHIPS = [name for name, chip in CHIPS.items() if not chip.is_host]


@pytest.fixture(scope="module", params=NETWORKS)
def quantized(request, tmp_path_factory):
    """(network, quantized model, one sample), by the documented commands."""
    own = request.param == "digits"
    source = REPO / "examples/digits" if own else request.getfixturevalue("shared_models") / request.param
    folder = tmp_path_factory.mktemp(request.param)

    def tool(name: str, *arguments) -> None:
        subprocess.run([sys.executable, str(REPO / "tools/tvm" / name), *map(str, arguments)], check=True, cwd=folder)

    tool("preprocess_onnx.py", "--input", source / "model.onnx", "--output", "opt.onnx")
    options = ["--input_model", "opt.onnx", "--output_model", "quant.onnx"]
    tool("esp_quantize_onnx.py", *options, "--calibrate_dataset", source / "calib.npy")
    return request.param, folder / "quant.onnx", source / "input_sample.npy"


def export(quantized, chip: str, out: Path, **options) -> Path:
    _, model, sample = quantized
    return export_onnx_model(chip, str(model), str(sample), str(TEMPLATE), str(out), **options)


@pytest.mark.parametrize("chip", REAL_CHIPS)
def test_project_of_every_chip(quantized, chip, tmp_path, capsys):
    """Options, partitions, configuration; its C on the emulated RISC-V, or one line that says why not."""
    project = export(quantized, chip, tmp_path)
    check_settings(project / "sdkconfig.defaults", REAL_CHIPS)
    check_settings(project / f"sdkconfig.defaults.{chip}", [chip])
    check_partitions(project, chip)
    StandIn(project, tmp_path / "b", chip).configure(own_settings(project, chip))
    _, model, sample = quantized
    if CHIPS[chip].is_riscv:
        assert emulate_project(str(project), str(model), str(sample)) == 0
        assert "PASS: 1 of 1 samples equal" in capsys.readouterr().out
    else:
        with pytest.raises(UserError, match=f"{chip} is an Xtensa chip"):
            emulate_project(str(project), str(model), str(sample))


def test_same_bytes_wherever_the_weights_lie(quantized, tmp_path):
    """The whole program in the stand-in for ESP-IDF: the reference's output in all three modes."""
    # The kernels for the chip's own instructions are not for this computer.
    project = export(quantized, "esp32", tmp_path, constants="partition", vector=False)
    check_partitions(project, "esp32")
    constants = project / MODEL / CONSTANTS
    assert constants.stat().st_size >= json.loads((project / MODEL / METADATA).read_text())["constant_bytes"] > 0
    stand_in = StandIn(project, tmp_path / "b", "esp32")
    for place in ("FLASH", "RAM", "PARTITION"):
        stand_in.configure([f"CONFIG_TVM_MODEL_CONSTANTS_{place}=y"])
        stand_in.build()
        assert "PASS: model" in stand_in.run(constants if place == "PARTITION" else None), place


def test_linux_target(quantized, tmp_path):
    project = export(quantized, "esp32c3", tmp_path)
    stand_in = StandIn(project, tmp_path / "b", "linux")
    stand_in.configure()
    stand_in.build()
    assert "PASS: model" in stand_in.run()
