"""A detector's int8 outputs to boxes: NumPy against the formulas, the C against NumPy, in every bit."""

from __future__ import annotations

import importlib
import math
import sys
from pathlib import Path
from typing import Dict, Tuple

import numpy as np
import pytest
from detectors import FORMS, found, levels_of, pictures_for, ports_of, sigmoid, written

from esp_tvm.convert.convert import convert
from esp_tvm.errors import UserError
from esp_tvm.frontend import detection, landmarks
from esp_tvm.frontend.detect import Found
from esp_tvm.frontend.detection_c import check_outputs, emit_detection
from esp_tvm.frontend.detection_host import DetectionCase, DetectionProgram
from esp_tvm.frontend.detection_tables import useful_exponents, useful_limits
from esp_tvm.frontend.embedding import Embedding, cosine, emit_embedding
from esp_tvm.frontend.host import cosines, write_files
from esp_tvm.frontend.image import geometry
from esp_tvm.frontend.image_spec import load_image_spec
from esp_tvm.model import inputs_of
from esp_tvm.program.form import Port

EXAMPLE = Path(__file__).resolve().parents[1] / "examples/object_detection"


def test_c_finds_the_boxes_of_numpy(tmp_path):
    cases, specs = [], []
    for n, (text, shapes) in enumerate(FORMS.values()):
        folder, ports = tmp_path / f"component{n}", ports_of(shapes)
        spec = written(tmp_path, text)
        write_files(emit_detection(spec, ports), folder)
        points = spec.detection.landmarks.points if spec.detection.landmarks else 0
        cases.append(DetectionCase(folder, ports, points, framed=True))
        specs.append(spec)
    program = DetectionProgram(cases, tmp_path, sanitize=True)
    rng = np.random.default_rng(3)
    for n, (name, spec) in enumerate(zip(FORMS, specs)):
        ports = cases[n].ports
        place = geometry(spec, spec.camera.width, spec.camera.height)
        counts = set()
        pictures = pictures_for(ports, rng)
        for picture, boxes in zip(pictures, program.run(pictures, n)):
            expected = found(spec, ports, picture)
            counts.add(len(expected))
            rows = [
                (b.left, b.top, b.right, b.bottom, b.score, b.label, b.index, *detection.in_frame(place, b))
                for b in expected
            ]
            computed = [(*b["edges"], b["score"], b["label"], b["index"], *b["frame"]) for b in boxes]
            assert computed == rows, name
            if spec.detection.landmarks is not None:
                the_landmarks_are_numpys(spec, ports, place, picture, expected, boxes)
        assert min(counts) == 0 and max(counts) > 1, f"{name}: no picture without boxes, or none with several"


def the_landmarks_are_numpys(spec, ports, place, picture, boxes, computed):
    points = landmarks.landmarks_of(spec.detection, levels_of(spec, ports), boxes, picture)
    assert [[(p.x, p.y, p.visible) for p in each] for each in points] == [
        list(map(tuple, b["points"])) for b in computed
    ]
    in_frame = [[(*landmarks.point_in_frame(place, p), p.visible) for p in each] for each in points]
    assert in_frame == [list(map(tuple, b["points_in_frame"])) for b in computed]
    camera = spec.camera
    for x, y, _ in (point for each in in_frame for point in each):
        assert 0 <= x < camera.width and 0 <= y < camera.height


def test_cosines_of_c_are_those_of_numpy_and_of_the_formula(tmp_path):
    ports = [Port("other", (1, 3), "int8", 0, c_name="other"), Port("f", (1, 48), "int8", -3, c_name="f")]
    write_files(emit_embedding("image.yaml", Embedding(output="f"), ports), tmp_path)
    rng = np.random.default_rng(5)
    a = rng.integers(-128, 128, (40, 48)).astype(np.int8)
    b = np.clip(a.astype(int) + rng.integers(-90, 90, a.shape), -128, 127).astype(np.int8)
    a[:5], b[:5] = np.eye(5, 48), np.array([[1], [-1], [0], [-128], [127]]) * np.eye(5, 48)
    a[5:8], b[5:8] = -128, [[-128], [127], [1]]
    computed = cosines(tmp_path, tmp_path, a, b)
    assert list(computed) == [cosine(x, y) for x, y in zip(a, b)]
    lengths = np.linalg.norm(a.astype(float), axis=1) * np.linalg.norm(b.astype(float), axis=1)
    exact = (a.astype(float) * b).sum(1) / np.maximum(lengths, 1) * 32768
    assert np.abs(computed - exact).max() < 1 and list(computed[:6]) == [32768, -32768, 0, -32768, 32768, 32768]
    with pytest.raises(UserError, match="the model has no output 'g'"):
        emit_embedding("image.yaml", Embedding(output="g"), ports)


# --- formulas -----------------------------------------------------------------------------------------------


def one_box(tmp_path, form: str, numbers: Dict[str, Dict[Tuple[int, ...], int]], **changes):
    """The only box of outputs that are -128 but for some numbers: in pixels, and its score."""
    text, shapes = FORMS[form]
    spec, ports = written(tmp_path, text, **changes), ports_of(shapes)
    arrays = [np.full(port.shape, -128, np.int8) for port in ports]
    for port, array in zip(ports, arrays):
        for index, value in numbers.get(port.name, {}).items():
            array[index] = value
    (box,) = found(spec, ports, arrays)
    return [edge / 16 for edge in (box.left, box.top, box.right, box.bottom)], box.score / 32768, box.label


def test_distances_are_in_strides_from_the_centre(tmp_path):
    sides = {(0, 1, 2, k): value for k, value in enumerate((40, 16, 24, 64))}
    edges, score, label = one_box(tmp_path, "distances", {"b0": sides, "s0": {(0, 1, 2, 1): 20}})
    centre = (2.5 * 8, 1.5 * 8)
    assert edges == [centre[0] - 10, centre[1] - 4, centre[0] + 6, centre[1] + 16]
    assert abs(score - sigmoid(20 / 16)) < 1e-4 and label == 1


def test_a_distribution_stands_for_its_mean(tmp_path):
    rng = np.random.default_rng(8)
    bins = rng.integers(-100, -40, (4, 16))
    numbers = {(0, k, 2, 3): value for k, value in enumerate(bins.ravel())}
    numbers[(0, 64 + 4, 2, 3)] = 60
    edges, _, label = one_box(tmp_path, "distributions in one tensor", {"o0": numbers})
    weights = np.exp(bins / 16.0)
    mean = (weights * np.arange(16)).sum(1) / weights.sum(1) * 8
    wanted = np.array([3.5 * 8 - mean[0], 2.5 * 8 - mean[1], 3.5 * 8 + mean[2], 2.5 * 8 + mean[3]])
    assert np.abs(np.clip(wanted, 0, [48, 32, 48, 32]) - edges).max() <= 1 / 16 and label == 4


def test_softmax_leaves_the_background_out_and_y_comes_first(tmp_path):
    place = {(0, 1, 2, 4 + k): value for k, value in enumerate((16, -32, 20, -12))}
    scores = {(0, 1, 2, 5 + k): value for k, value in enumerate((0, 10, 40, -10, 3))}
    edges, score, label = one_box(tmp_path, "softmax, y first", {"b": place, "s": scores})
    y, x = 12 + 1.0 * 0.1 * 12, 20 - 2.0 * 0.1 * 24
    height, width = 12 * math.exp(1.25 * 0.2), 24 * math.exp(-0.75 * 0.2)
    wanted = [x - width / 2, y - height / 2, x + width / 2, y + height / 2]
    assert np.abs(np.array(wanted) - edges).max() <= 1 / 8 and label == 1
    assert abs(score - math.exp(2.5) / np.exp(np.array([0, 10, 40, -10, 3]) / 16).sum()) < 1e-4


def test_yolov5_multiplies_what_is_an_object_with_its_class(tmp_path):
    values = (10, -20, 5, 3, 50, -9, 30)
    edges, score, label = one_box(tmp_path, "yolov5", {"o": {(0, 7 + k, 2, 3): v for k, v in enumerate(values)}})
    t = [sigmoid(value / 16) for value in values]
    x, y = (2 * t[0] - 0.5 + 3) * 8, (2 * t[1] - 0.5 + 2) * 8
    width, height = 16 * (2 * t[2]) ** 2, 30 * (2 * t[3]) ** 2
    wanted = np.array([x - width / 2, y - height / 2, x + width / 2, y + height / 2])
    assert np.abs(np.clip(wanted, 0, [48, 32, 48, 32]) - edges).max() <= 1 / 8 and label == 1
    assert abs(score - t[4] * t[6]) < 1e-4


def test_corners_are_moved_by_parts_of_the_anchor(tmp_path):
    place = {(0, 1, 2, 4 + k): value for k, value in enumerate((8, -16, 4, 12))}
    edges, score, _ = one_box(tmp_path, "corners", {"b": place, "s": {(0, 1, 2, 3): 96}})
    centre = (9 + 2 * 8, 9 + 8)
    wanted = [centre[0] - 16 + 4, max(centre[1] - 12 - 6, 0), centre[0] + 16 + 2, min(centre[1] + 12 + 4.5, 32)]
    assert edges == wanted and score == 0.75


def test_a_list_has_the_boxes_of_a_cell_side_by_side(tmp_path):
    at = 4 * 6 * 2 + (1 * 3 + 2) * 3 + 1
    edges, score, _ = one_box(
        tmp_path, "list of boxes", {"b": {(0, at, k): v for k, v in enumerate((6, -4, 20, 10))}, "s": {(0, at, 0): 8}}
    )
    assert edges == [40 + 3 - 5, 24 - 2 - 2.5, 40 + 3 + 5, 24 - 2 + 2.5] and abs(score - sigmoid(2)) < 1e-4


@pytest.mark.parametrize("threshold, left", [("0.30", 2), ("0.40", 1)])
def test_a_worse_box_that_overlaps_too_much_is_left_out(threshold, left, tmp_path):
    """Two boxes of 16 x 16 pixels, 8 apart: their intersection is a third of the union."""
    spec = written(tmp_path, FORMS["distances"][0], **{"0.45": "0.35" if left == 2 else "0.33"})
    ports = ports_of(FORMS["distances"][1])
    arrays = [np.full(port.shape, -128, np.int8) for port in ports]
    arrays[0][0, 2, 2:4] = 32
    arrays[1][0, 2, 2, 0], arrays[1][0, 2, 3, 0] = 30, 31
    boxes = found(spec, ports, arrays)
    assert len(boxes) == left and boxes[0].left == 20 * 16
    arrays[1][0, 2, 2] = (-128, 30, -128)
    assert len(found(spec, ports, arrays)) == 2, "boxes of another class stay"


def test_equal_scores_keep_their_order_and_the_best_stay(tmp_path):
    text, shapes = FORMS["distances"]
    spec, ports = written(tmp_path, text.replace("heads", "candidates: 5\nmost: 4\nheads")), ports_of(shapes)
    arrays = [np.full(port.shape, 1, np.int8) for port in ports]
    arrays[3][:] = -128
    boxes = found(spec, ports, arrays)
    assert [(box.left + box.right) // 32 for box in boxes] == [4, 12, 20, 28]
    arrays[3][0, 1, 2, 2] = 127
    assert found(spec, ports, arrays)[0].label == 2


def test_outputs_need_no_range_beyond_what_changes_boxes(tmp_path):
    """In an input of 48 x 32 pixels."""
    for form, exponents in (
        ("distances", {"b0": -4, "s0": -4, "b1": -5, "s1": -4}),
        ("distributions in one tensor", {}),
        ("list of boxes", {"b": -1, "s": -4}),
        ("corners", {"b": -5, "s": -7}),
        ("softmax, y first", {"b": -1}),
        ("yolov5", {"o": -4}),
        ("landmarks with visibility, as YOLO has", {"l0": -4, "s0": -4, "l1": -4, "s1": -4}),
        ("landmarks behind the box in a list, as BlazeFace has", {"b": -1, "s": -4}),
        ("landmarks behind the scores, in a list of their own order", {"b": -1, "s": -1}),
    ):
        spec = written(tmp_path, FORMS[form][0]).detection
        assert useful_exponents(spec, 48) == exponents, form
        limits = useful_limits(spec, 48)
        assert limits == {
            n: (-128 * 2.0**e, 127 * 2.0**e) for n, e in exponents.items() if (form, n) != ("corners", "s")
        }
    assert 1 - 2**-11 < sigmoid(127 / 16) and sigmoid(-8) < 2**-11


# --- mistakes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "form, old, new, words",
    [
        ("distances", "boxes: b0", "boxes: c0", "heads.0.boxes: the model has no output 'c0'"),
        ("distances", "scores: s1", "scores: s0", "heads.1: outputs have the grids"),
        ("distances", "stride: 16", "stride: 32", "heads.1.stride: 3 columns of cells with a stride of 32"),
        (
            "distances",
            "boxes: distances\n",
            "boxes: distances\nbins: 2\n",
            "have 4 and 3 numbers for a box; 8 are needed",
        ),
        ("distances", "boxes: b1, scores: s1", "boxes: b1", "at least one class"),
        ("list of boxes", "stride: 16", "stride: 8", "has 66 boxes, the heads up to this one describe 120"),
        ("list of boxes", ", [1, 1], [1, 1]]}", "]}", "has 66 boxes, the heads describe 54"),
        ("yolov5", "[33, 23]", "[33, 23], [1, 1]", "21 numbers of 'o' are not for 4 boxes"),
    ],
)
def test_what_does_not_fit_the_model_is_one_clear_line(form, old, new, words, tmp_path):
    text, shapes = FORMS[form]
    assert old in text
    with pytest.raises(UserError) as error:
        levels_of(written(tmp_path, text.replace(old, new)), ports_of(shapes))
    assert words in str(error.value) and "image.yaml" in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    "old, new, words",
    [
        ("stride: 8", "strid: 8", "detection.heads.0.strid: is not known here; did you mean stride?"),
        ("0.3\n", "1.5\n", "detection.score_threshold: 1.5 is not between 0 and 1"),
        ("boxes: distances", "boxes: yolo", "detection.boxes: 'yolo' is not one of distances, corners, centre_size"),
        ("stride: 8", "stride: 8, anchors: [[1, 2]]", "anchors have no meaning for boxes: distances"),
        ("boxes: distances", "boxes: corners", "needs them"),
        (
            "boxes: distances",
            "boxes: distances\n  most: 101",
            "detection.most: 101 is not a whole number from 1 to 100",
        ),
    ],
)
def test_mistakes_in_the_yaml_are_one_clear_line(old, new, words, tmp_path):
    with pytest.raises(UserError) as error:
        written(tmp_path, FORMS["distances"][0], **{old: new})
    assert words in str(error.value) and "\n" not in str(error.value)


def test_outputs_that_are_not_int8_and_labels_of_another_number_are_refused(tmp_path):
    text, shapes = FORMS["distances"]
    ports = ports_of(shapes)
    with pytest.raises(UserError, match="labels: are 2, the model has 3 classes"):
        emit_detection(written(tmp_path, text, **{"detection:": "labels: [a, b]\ndetection:"}), ports)
    ports[1] = Port("s0", (1, 4, 6, 3), "float32", -4, c_name="s0")
    with pytest.raises(UserError, match="output 's0' of the model is float32, not int8"):
        emit_detection(written(tmp_path, text), ports)


# --- the example --------------------------------------------------------------------------------------------


@pytest.fixture
def example(monkeypatch):
    """(scenes.py, evaluate.py) of the example."""
    monkeypatch.syspath_prepend(str(EXAMPLE))
    yield tuple(importlib.import_module(name) for name in ("scenes", "evaluate"))
    for name in ("scenes", "evaluate"):
        sys.modules.pop(name, None)


def test_the_examples_model_finds_what_is_drawn(example):
    """Pictures of numbers that neither training nor the test of the example has seen."""
    scenes, evaluate = example
    assert (EXAMPLE / "model.onnx").stat().st_size < 150_000
    source, spec = scenes.Scenes("test", 3), load_image_spec(EXAMPLE / "image.yaml")
    pictures, boxes = zip(*(source.draw() for _ in range(30)))
    truth = [each.astype(int).tolist() for each in boxes]
    found = evaluate.float_model(spec, pictures)
    recall, precision = evaluate.judge(found, truth)
    assert sum(map(len, truth)) > 50 and recall >= 0.93 and precision >= 0.93
    again = scenes.Scenes("test", 3).draw()[0]
    assert np.array_equal(again, pictures[0])


@pytest.mark.parametrize("path", sorted((EXAMPLE / "espdl").glob("*.yaml")), ids=lambda path: path.stem)
def test_espressifs_detectors_are_what_their_yaml_says(path, shared_models, tmp_path):
    file = shared_models / f"espdl/{path.stem}_s8_v1_s3.espdl"
    if not file.is_file():
        pytest.skip("no models of ESP-DL beside the project (../shared/models/espdl)")
    spec, model = load_image_spec(path), convert(file, tmp_path / "model.onnx").model
    assert inputs_of(model)[0][1] == spec.shape
    check_outputs(spec, model)


def test_a_box_is_right_once_with_its_label_and_half_of_the_union(example):
    _, evaluate = example

    def boxes(*rows):
        return [Found(edges, 0.9, label) for edges, label in rows]

    truth = [[0, 0, 10, 10, 1], [20, 0, 30, 10, 2]]
    same, less, half = (0, 0, 10, 10), (0, 0, 10, 4), (0, 0, 10, 5)
    assert evaluate.judge([boxes((same, 1), (same, 1))], [truth]) == (0.5, 0.5)
    assert evaluate.judge([boxes((less, 1), (same, 2))], [truth]) == (0, 0)
    assert evaluate.judge([boxes((half, 1), ((20, 0, 30, 10), 2))], [truth]) == (1, 1)
    assert evaluate.judge([boxes()], [truth]) == (0, 0)
