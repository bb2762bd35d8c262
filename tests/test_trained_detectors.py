"""Trained detectors of others by the YAML of the example, where their files lie beside the project."""

from __future__ import annotations

import functools

import pytest
from shared_files import REPO

from esp_tvm.convert.convert import convert
from esp_tvm.frontend import command
from esp_tvm.frontend.detect import detect
from esp_tvm.frontend.image_spec import load_image_spec
from esp_tvm.places import TEMPLATE
from esp_tvm.quantize import quantize_onnx

EXAMPLES = REPO / "examples/object_detection"
PHOTOGRAPHS = REPO / "build/env/image_classification/skimage/data"

# Detectors of ESP-DL, and what is on scikit-image's photographs: a file, a point in the only box, its label, where the
# eyes, the nose and the corners of the mouth are, and how far from there (in pixels) they may be found.
EYES, NOSE, MOUTH = ((203, 101), (247, 102)), (224, 122), ((207, 145), (240, 145))
ESPRESSIFS = {
    "human_face_detect_msr": [
        ("astronaut.png", (220, 120), "face", (*EYES, NOSE, *MOUTH), 20),
        ("coffee.png", None, "", (), 0),
    ],
    "pedestrian_detect_pico": [("astronaut.png", (200, 300), "person", (), 0), ("coffee.png", None, "", (), 0)],
}


@pytest.fixture(scope="module")
def export(shared_models, tmp_path_factory):
    """name -> (project, YAML) of a detector of ESP-DL; make example-image brings the photographs."""
    if not PHOTOGRAPHS.is_dir():
        pytest.skip("no photographs (make example-image)")

    @functools.lru_cache(maxsize=None)
    def exported(name):
        file, folder = shared_models / f"espdl/{name}_s8_v1_s3.espdl", tmp_path_factory.mktemp(name)
        if not file.is_file():
            pytest.skip("no models of ESP-DL beside the project (../shared/models/espdl)")
        convert(file, folder / "model.onnx")
        quantize_onnx(folder / "model.onnx", folder / "quantized.onnx", None)
        spec, picture = EXAMPLES / f"espdl/{name}.yaml", str(PHOTOGRAPHS / "astronaut.png")
        arguments = [str(spec), str(folder / "quantized.onnx"), picture, "esp32s3", str(TEMPLATE), str(folder)]
        return command.export(*arguments, str(EXAMPLES / "app")), str(spec)

    return exported


def near(points, wanted, far):
    return len(points) == len(wanted) and all(
        abs(x - x0) < far and abs(y - y0) < far for (x, y, _), (x0, y0) in zip(points, wanted)
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", ESPRESSIFS)
def test_they_find_what_is_on_photographs(name, export):
    """From the .espdl by its YAML, through the generated C."""
    project, spec = export(name)
    labels = load_image_spec(spec).labels
    found = detect(project, spec, [str(PHOTOGRAPHS / picture) for picture, *_ in ESPRESSIFS[name]], None)
    for (_, point, label, landmarks, far), boxes in zip(ESPRESSIFS[name], found):
        assert [box.name(labels) for box in boxes] == ([label] if point else [])
        for left, top, right, bottom in (box.edges for box in boxes):
            assert left < point[0] < right and top < point[1] < bottom
        assert all(near(box.points, landmarks, far) for box in boxes)


@pytest.mark.slow
def test_the_second_stage_is_surer_and_more_exact(export):
    first, second = export("human_face_detect_msr"), export("human_face_detect_mnp")
    pictures = [str(PHOTOGRAPHS / name) for name in ("astronaut.png", "coffee.png")]
    ((alone,), _) = detect(*first, pictures, None)
    ((face,), nothing) = detect(*first, pictures, None, second)
    assert nothing == [] and face.score > 0.95 > alone.score
    # The order of MNP: left eye, left corner of the mouth, nose, right eye, right corner of the mouth.
    assert near(face.points, (EYES[0], MOUTH[0], NOSE, EYES[1], MOUTH[1]), 9)


@pytest.mark.slow
def test_blazeface_finds_the_face_alone(shared_models, tmp_path):
    """Its logits reach -400: with all of their range in int8, cells without a face would have a score of one half."""
    folder, spec = shared_models / "field", str(EXAMPLES / "mediapipe/blazeface_short.yaml")
    model, calibration = folder / "blazeface_short.onnx", folder / "blazeface_calib.npy"
    if not (PHOTOGRAPHS.is_dir() and model.is_file() and calibration.is_file()):
        pytest.skip("no BlazeFace beside the project (../shared/models/field), or no photographs (make example-image)")
    quantize_onnx(model, tmp_path / "quantized.onnx", str(calibration))
    pictures = [str(PHOTOGRAPHS / name) for name in ("astronaut.png", "coffee.png")]
    arguments = [spec, str(tmp_path / "quantized.onnx"), pictures[0], "esp32s3", str(TEMPLATE), str(tmp_path)]
    ((face,), nothing) = detect(command.export(*arguments), spec, pictures, None)
    assert nothing == [] and face.score > 0.8
    # Its own order: the right eye of the person, the left eye, the nose, the mouth, the ears. Steps of 16 pixels.
    mouth = tuple((a + b) // 2 for a, b in zip(*MOUTH))
    assert near(face.points[:4], (*EYES, NOSE, mouth), 20)
