"""`make zoo`: which models and samples it finds, and the table that it writes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from shutil import copy

import numpy as np
import onnx
import pytest
from espdl_network import network
from onnx import TensorProto, helper, numpy_helper

REPO = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPO / "bench"))

pytest.importorskip("tvm")

import espressif_zoo  # noqa: E402
import zoo  # noqa: E402

from esp_tvm.errors import UserError  # noqa: E402
from esp_tvm.frontend.image_spec import load_image_spec  # noqa: E402


def dense(outputs: int = 3) -> onnx.ModelProto:
    """x [1, 4] -> y [1, outputs] and z = x + x"""
    weights = np.random.RandomState(0).randn(outputs, 4).astype(np.float32)
    nodes = [
        helper.make_node("Gemm", ["x", "w"], ["y"], "dense", transB=1),
        helper.make_node("Add", ["x", "x"], ["z"], "twice"),
    ]
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, n]) for name, n in zip("xyz", (4, outputs, 4))]
    graph = helper.make_graph(nodes, "graph", ports[:1], ports[1:], [numpy_helper.from_array(weights, "w")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    return model


def image_model(height: int, width: int) -> onnx.ModelProto:
    """Of a model with images as its input, only that."""
    model = dense()
    del model.graph.input[0].type.tensor_type.shape.dim[:]
    for size in (1, height, width, 3):
        model.graph.input[0].type.tensor_type.shape.dim.add(dim_value=size)
    return model


def test_models_are_found_in_the_folder_and_in_folders_in_it(tmp_path):
    (tmp_path / "resnet").mkdir()
    for name in ("b.onnx", "a.espdl", "notes.txt", "resnet/model.onnx", "resnet/other.onnx"):
        (tmp_path / name).write_bytes(b"")
    assert [name for name, _ in zoo.found_in(tmp_path)] == ["a", "b", "resnet", "other"]
    assert zoo.found_in(tmp_path / "a.espdl") == [("a", tmp_path / "a.espdl")]
    (tmp_path / "empty").mkdir()
    for wrong, why in (("empty", "has no .onnx"), ("nowhere", "no such folder")):
        with pytest.raises(UserError, match=why):
            zoo.found_in(tmp_path / wrong)


def test_times_are_found_by_the_name_of_the_file():
    for name, milliseconds in (
        ("imagenet_cls_mobilenetv2_s8_v1_s3", 1309.5),
        ("Human_Face_Detect_MSR_s8_v1_s3", 33.1),
        ("coco_detect_yolo11n_320_s8_v1", 6161.8),
        ("coco_detect_yolo11n_s8_v1", 26014.2),
    ):
        assert espressif_zoo.published(name).milliseconds == milliseconds
    assert espressif_zoo.published("resnet8") is None


def test_samples_are_those_beside_the_model_or_pictures(tmp_path):
    from PIL import Image

    path, model = tmp_path / "net.onnx", dense()
    assert zoo.samples_of(path, "net", model, [], tmp_path) is None
    np.save(tmp_path / "calib.npy", np.zeros((5, 4), np.float32))
    assert len(zoo.samples_of(path, "net", model, [], tmp_path)["x"]) == 5
    np.save(tmp_path / "net.npy", np.zeros((7, 4), np.float32))
    assert len(zoo.samples_of(path, "net", model, [], tmp_path)["x"]) == 7
    # Espressif's own models need only pictures.
    pixels = np.full((40, 60, 3), (10, 20, 30), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "picture.png")
    (tmp_path / "work").mkdir()
    name = "human_face_detect_msr_s8_v1_s3"
    path, model = tmp_path / "work" / f"{name}.espdl", image_model(24, 32)
    samples = zoo.samples_of(path, name, model, [str(tmp_path / "picture.png")], tmp_path)["x"]
    assert len(samples) == 1 and samples[0].shape == (1, 24, 32, 3) and list(samples[0][0, 0, 0]) == [30, 20, 10]
    assert load_image_spec(tmp_path / "image.yaml").fit == "crop"
    assert zoo.samples_of(path, "unknown", model, [str(tmp_path / "picture.png")], tmp_path) is None


def test_signal_to_noise_is_of_all_outputs_together():
    model = dense()
    x = np.random.RandomState(1).randn(6, 1, 4).astype(np.float32)
    weights = numpy_helper.to_array(model.graph.initializer[0])
    y, z = x @ weights.T + np.float32(0.1), 2 * x
    subject = zoo.Subject("net", model, model, {"x": x}, "given")
    signal = ((x @ weights.T) ** 2).sum() + (z**2).sum()
    wanted = 10 * np.log10(signal / (0.01 * y.size))
    assert zoo.decibels(subject, {"y": y, "z": z}, {"x": x}) == pytest.approx(wanted, abs=0.01)
    assert zoo.decibels(subject, {"z": z}, {"x": x}) == np.inf


@pytest.mark.slow
def test_the_table_has_a_row_for_each_model(tmp_path, capsys):
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "small.espdl").write_bytes(network().bytes(["x"], ["y"]))
    onnx.save(dense(), str(folder / "net.onnx"))
    onnx.save(dense(), str(folder / "without.onnx"))
    np.save(folder / "net.npy", np.random.RandomState(2).randn(40, 4).astype(np.float32))
    assert zoo.main([str(folder), "--out", str(tmp_path)]) == 1, "one of them has no samples"
    text = (tmp_path / "zoo.md").read_text()
    rows = {
        line.split(" | ")[0].strip("| "): line.strip("| ").split(" | ") for line in text.splitlines() if "|" in line
    }
    net, small = rows["net"], rows["small"]
    assert net[1] == "12" and float(net[3]) > 20 and net[-1] == "yes" and net[-2] == "-"
    assert small[3] == "-" and small[-1] == "yes" and int(small[4]) > 0
    assert "without.onnx: needs samples" in text and "without" not in rows


def test_make_passes_a_folder_that_looks_like_an_option(tmp_path):
    """The script that make calls, with another program in place of the bench."""
    (tmp_path / "scripts").mkdir()
    for name in ("zoo.sh", "file-variables.sh"):
        copy(REPO / "scripts" / name, tmp_path / "scripts" / name)
    stand_in = tmp_path / "scripts/in-env.sh"
    stand_in.write_text("#!/bin/sh\nshift 2\nprintf '%s\\n' \"$@\"\n")
    stand_in.chmod(0o755)
    said = subprocess.run(
        ["bash", str(tmp_path / "scripts/zoo.sh")], stdout=subprocess.PIPE, text=True, check=True,
        env={"PATH": os.environ["PATH"], "ZOO": "-my zoo", "FILES": "a b", "WORDS": "c"},
    ).stdout.splitlines()  # fmt: skip
    assert said == ["--out", "build/zoo", "--pictures", "a", "b", "--words", "c", "--", "-my zoo"]
    with pytest.raises(UserError, match="^-my zoo: no such folder"):
        zoo.main(said)
