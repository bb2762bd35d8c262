"""Two detectors in one application: the front end of the second under its name, the C of both against NumPy's."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import onnx
import pytest
from idf_drivers import add_drivers
from idf_standin import StandIn
from qdq import QdqBuilder

pytest.importorskip("tvm")

from kernel_archive import build  # noqa: E402
from test_project_options import needs_cmake  # noqa: E402

from esp_tvm.frontend import command, image  # noqa: E402
from esp_tvm.frontend.detect import Detector  # noqa: E402
from esp_tvm.frontend.image_spec import load_image_spec  # noqa: E402
from esp_tvm.frontend.second_stage import TwoStages  # noqa: E402
from esp_tvm.places import TEMPLATE  # noqa: E402
from esp_tvm.project.component import copy_model  # noqa: E402
from esp_tvm.project.frontend_component import renamed_front_end  # noqa: E402
from esp_tvm.project.library import copy_library  # noqa: E402

EXAMPLES = Path(__file__).resolve().parents[1] / "examples/object_detection"
YAML = """\
width: 16
height: 16
layout: NCHW
scale: 1/255
mean: 0.5
std: 0.25
camera: {width: 160, height: 120, formats: rgb565_be, parts: true}
labels: [%s]
detection:
  boxes: distances
  layout: NCHW
  score_threshold: %s
  iou_threshold: 0.3
  landmarks: {points: 2, from: cell, unit: stride, factor: 2, visibility: sigmoid}
  heads: [{boxes: boxes, scores: scores, landmarks: points, stride: 8}]
"""


def exported(folder, labels, least, seed):
    """A detector with weights of its own and its YAML, for frames of 160 x 120 pixels."""
    from PIL import Image

    folder.mkdir()
    b = QdqBuilder(seed)
    x = b.conv(b.input("input", [1, 3, 16, 16], -5), [8, 3, 8, 8], -3, strides=[8, 8])
    for name, channels in (("boxes", 4), ("scores", labels.count(",") + 1), ("points", 6)):
        b.node("Identity", [b.conv(x, [channels, 8, 1, 1], -4)], [name])
        b.output(name, [1, channels, 2, 2])
    onnx.save(b.model(), str(folder / "model.onnx"))
    (folder / "image.yaml").write_text(YAML % (labels, least))
    Image.fromarray(np.zeros((120, 160, 3), np.uint8)).save(folder / "sample.png")
    arguments = [str(folder / name) for name in ("image.yaml", "model.onnx", "sample.png")]
    app = str(EXAMPLES / "two_stages") if seed == 0 else None
    project = command.export(*arguments, "esp32s3", str(TEMPLATE), str(folder / "out"), app)
    return project, load_image_spec(folder / "image.yaml")


def without_times(printed):
    return [line.split(" (first")[0].strip() for line in printed.splitlines()]


def from_libraries(first, second, folder, data):
    """What the application prints of `data` where both models and their front ends are libraries."""
    words, sources = [f"-I{first / 'main'}", f"-I{first / 'host'}"], [first / "main/app_main.c"]
    for project, name in ((first, None), (second, "second")):
        (line, _) = copy_library(project, folder / "lib", name)
        library = folder / "lib" / f"tvm_model{f'_{name}' if name else ''}"
        own = {path.name for path in (library / "src").glob("*.c")}
        included = json.loads((library / "library.json").read_text())["headers"]
        assert all((library / "src" / header).is_file() and f'"{header}"' in line for header in included)
        prefix = f"{name}_" if name else ""
        assert {f"{prefix}detection_model.h", f"{prefix}preprocess.h", "detection.h"} <= set(included)
        assert {f"{prefix}preprocess.c", f"{prefix}detection_model.c", "detection.c"} <= own
        words.append(f"-I{library / 'src'}")
        # As an archive, both bring detection.c: the linker takes it once.
        sources += [library / "src" / one for one in sorted(own - ({"detection.c"} if name else set()))]
    build(sources, folder / "from_libraries", *words, "-Wall", "-Wextra", "-Werror")
    command = [str(folder / "from_libraries")]
    return subprocess.run(command, input=data, stdout=subprocess.PIPE, check=True).stdout.decode()


@needs_cmake
def test_the_application_prints_what_both_find(tmp_path):
    first, first_spec = exported(tmp_path / "first", "one, two", 0.02, 0)
    second, second_spec = exported(tmp_path / "second", "this, that, other", 0.1, 1)
    lines = copy_model(second, first / "components", "second")
    headers = '"detection.h", "second_detection_model.h", "second_labels.h", "second_preprocess.h"'
    assert f"PRIV_REQUIRES frontend_second; #include {headers}" in lines

    rng = np.random.default_rng(2)
    blocks = rng.choice([0, 255], (12, 6, 8, 3)).astype(np.uint8).repeat(20, axis=1).repeat(20, axis=2)
    frames = [image.pack_frame(pixels, "rgb565_be") for pixels in blocks]
    pictures = [image.unpack_frame(frame, "rgb565_be", 160, 120) for frame in frames]
    detectors = []
    for name, project, spec in (("a", first, first_spec), ("b", second, second_spec)):
        (tmp_path / name).mkdir()
        detectors.append(Detector(project, spec, tmp_path / name))
    boxes, found = detectors[0].in_pictures(pictures), TwoStages(*detectors).in_pictures(pictures)
    assert 0 < sum(map(len, found)) < sum(map(len, boxes)), "some are found again, others not"

    build = tmp_path / "build"
    options = ["-DCMAKE_C_FLAGS=-Wall -Wextra -Werror -fsanitize=address,undefined"]
    for words in (["cmake", "-S", str(first / "host"), "-B", str(build), *options], ["cmake", "--build", str(build)]):
        done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert done.returncode == 0, done.stdout
    data = b"".join(frame.tobytes() for frame in frames)
    out = subprocess.run([str(build / "app")], input=data, stdout=subprocess.PIPE, check=True).stdout.decode()
    printed = without_times(out)
    wanted = []
    for each, all_boxes in zip(found, boxes):
        wanted += [one.text(second_spec.labels) for one in each]
        wanted.append(f"{len(each)} found in {len(all_boxes)} boxes")
    assert printed == wanted
    assert without_times(from_libraries(first, second, tmp_path, data)) == printed
    add_drivers(first)
    standin = StandIn(first, tmp_path / "standin", "esp32s3", run=False)
    standin.configure()
    standin.build("main")


def test_what_belongs_to_one_model_has_its_name():
    for old, new in (
        ('#include "detection_model.h"', '#include "eyes_detection_model.h"'),
        ('#include "detection.h"', '#include "detection.h"'),
        ("extern const detection_model_t detection_model;", "extern const detection_model_t eyes_detection_model;"),
        ("const detection_frame_t detection_frame = {", "const detection_frame_t eyes_detection_frame = {"),
        ("PREPROCESS_INPUT_SIZE preprocess_rgb888(", "EYES_PREPROCESS_INPUT_SIZE eyes_preprocess_rgb888("),
        ("labels[LABELS_COUNT]; /* the labels */", "eyes_labels[EYES_LABELS_COUNT]; /* the labels */"),
        (
            "similarity_cosine(EMBEDDING(results), EMBEDDING_SIZE)",
            "similarity_cosine(EYES_EMBEDDING(results), EYES_EMBEDDING_SIZE)",
        ),
        (
            "embedding_results_t DETECTION_SCORE_ONE DETECTION_MOST",
            "eyes_embedding_results_t DETECTION_SCORE_ONE EYES_DETECTION_MOST",
        ),
        (
            '"audio_features.h" features_push(FEATURES_INPUT_SIZE',
            '"eyes_audio_features.h" eyes_features_push(EYES_FEATURES_INPUT_SIZE',
        ),
        ("add_library(frontend STATIC", "add_library(frontend_eyes STATIC"),
    ):
        assert renamed_front_end(old, "eyes") == new
