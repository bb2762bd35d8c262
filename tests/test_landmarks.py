"""The landmarks of boxes: what they are of the numbers of a model, and what is refused."""

from __future__ import annotations

from typing import Dict, Tuple

import numpy as np
import pytest
from detectors import FORMS, found, levels_of, ports_of, sigmoid, written

from esp_tvm.errors import UserError
from esp_tvm.frontend import landmarks
from esp_tvm.frontend.detection_c import emit_detection

OWN, BEHIND, YOLO, LAST, SCORES, FACE = (name for name in FORMS if name.startswith("landmarks"))


def the_landmarks(tmp_path, form: str, numbers: Dict[str, Dict[Tuple[int, ...], int]]):
    """Those of the only box of outputs that are -128 but for some numbers: in pixels, and how visible they are."""
    text, shapes = FORMS[form]
    spec, ports = written(tmp_path, text), ports_of(shapes)
    arrays = [np.full(port.shape, -128, np.int8) for port in ports]
    for port, array in zip(ports, arrays):
        for index, value in numbers.get(port.name, {}).items():
            array[index] = value
    boxes = found(spec, ports, arrays)
    (points,) = landmarks.landmarks_of(spec.detection, levels_of(spec, ports), boxes, arrays)
    return [(point.x / 16, point.y / 16) for point in points], [point.visible / 32768 for point in points]


def test_landmarks_are_parts_of_the_anchor_from_its_corner(tmp_path):
    values = (16, 32, -64, 127, 0, 1, 64, 64, 127, -128)
    place = {(0, 1, 2, 4 + k): 0 for k in range(4)}
    numbers = {"s0": {(0, 1, 2, 1): 100}, "b0": place, "l0": {(0, 1, 2, 10 + k): v for k, v in enumerate(values)}}
    points, visible = the_landmarks(tmp_path, "landmarks of their own, as MNP and MSR have", numbers)
    left, top = 9 + 2 * 8 - 16.5, 9 + 8 - 12.25
    parts = np.array(values).reshape(5, 2) / 128
    assert np.abs(np.array(points) - (left, top) - parts * (33, 24.5)).max() <= 1 / 16 and visible == [1] * 5


def test_landmarks_behind_a_box_are_from_the_cells_centre(tmp_path):
    at, values = 4 * 6 * 2 + (1 * 3 + 2) * 3 + 1, (6, -4, 20, 10, *range(-6, 6))
    numbers = {"b": {(0, at, k): v for k, v in enumerate(values)}, "s": {(0, at, 0): 8}}
    points, _ = the_landmarks(tmp_path, "landmarks behind the box in a list, as BlazeFace has", numbers)
    assert points == [(40 + x / 2, 24 + y / 2) for x, y in np.arange(-6, 6).reshape(6, 2)]


def test_landmarks_of_yolo_are_twice_the_stride_from_the_cell_and_may_be_hidden(tmp_path):
    rng = np.random.default_rng(6)
    values = rng.integers(-128, 128, (17, 3))
    numbers = {"s1": {(0, 0, 1, 2): 40}, "l1": {(0, k, 1, 2): v for k, v in enumerate(values.ravel())}}
    points, visible = the_landmarks(tmp_path, "landmarks with visibility, as YOLO has", numbers)
    wanted = (values[:, :2] / 8 * 2 + (2, 1)) * 16
    assert np.abs(np.array(points) - wanted).max() == 0
    assert np.abs(np.array(visible) - [sigmoid(value / 8) for value in values[:, 2]]).max() < 1e-4


def test_landmarks_behind_the_classes_have_y_first(tmp_path):
    values = (0, 0, 0, 0, 127, -9, 30, 127, 16, -32, 8, 4, -16, 24)
    numbers = {"o": {(0, 14 + k, 2, 3): v for k, v in enumerate(values)}}
    points, visible = the_landmarks(tmp_path, "landmarks behind the classes, y first, of two anchors", numbers)
    assert points == [(24 - 2 * 8, 16 + 8), (24 - 8, 16 + 2)]
    assert visible == [0.5, 1]


def test_landmarks_of_yolov5_face_stand_before_its_class(tmp_path):
    """x, y, width, height, object, five points, class; a point is so many anchors from the corner of the cell."""
    values = (0, 0, 0, 0, 127, 16, -32, 8, 4, -16, 24, 1, 2, -3, -4, 127)
    numbers = {"o": {(0, 16 + k, 2, 3): v for k, v in enumerate(values)}}
    points, _ = the_landmarks(tmp_path, FACE, numbers)
    wanted = np.array(values[5:15]).reshape(5, 2) / 16 * (16, 30) + (24, 16)
    assert np.abs(np.array(points) - wanted).max() <= 1 / 16


# --- mistakes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "form, old, new, words",
    [
        (OWN, "landmarks: l0", "landmarks: m0", "heads.0.landmarks: the model has no output 'm0' (it has 's1', "),
        (
            OWN,
            "points: 5",
            "points: 4",
            "output 'l0' has 10 numbers for a box; 8 for 4 landmarks of 2 numbers",
        ),
        (OWN, "unit: anchor", "unit: anchor, visibility: sigmoid", "15 for 5 landmarks of 3 numbers are needed"),
        (OWN, "landmarks: l1", "landmarks: l0", "heads.1: outputs have the grids [2, 3] and [4, 6]"),
        (OWN, ", landmarks: l1", "", "'b1' has 4 numbers for a box; 4 for its place and 10 for 5 landmarks"),
        (BEHIND, "points: 6", "points: 5", "'b' has 16 numbers for a box; 4 for its place and 10 for 5 landmarks"),
        (BEHIND, "points: 6", "points: 7", "'b' has 16 numbers for a box; 4 for its place and 14 for 7 landmarks"),
        (YOLO, ", visibility: sigmoid", "", "'l0' has 51 numbers for a box; 34 for 17 landmarks of 2 numbers"),
        (
            LAST,
            "points: 2",
            "points: 3",
            "1 before the classes, 9 for its landmarks, and at least one class",
        ),
        (FACE, "points: 5", "points: 6", "12 for its landmarks, and at least one class"),
        (FACE, "points: 5", "points: 4, visibility: sigmoid", "12 for its landmarks, and at least one class"),
        (OWN, "unit: anchor", "unit: anchor, before_classes: true", "before_classes lie in the output with the box"),
        (SCORES, "points: 3", "points: 4", "8 for its landmarks, and at least one class"),
    ],
)
def test_landmarks_that_do_not_fit_the_model_are_one_clear_line(form, old, new, words, tmp_path):
    text, shapes = FORMS[form]
    assert old in text
    with pytest.raises(UserError) as error:
        levels_of(written(tmp_path, text.replace(old, new)), ports_of(shapes))
    assert words in str(error.value) and "image.yaml" in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    "old, new, words",
    [
        ("points: 5", "points: 0", "detection.landmarks.points: 0 is not a whole number from 1 to 64"),
        ("from: corner", "from: edge", "detection.landmarks.from: 'edge' is not one of centre, corner, cell"),
        (", unit: anchor", "", "detection.landmarks.unit: is missing"),
        ("unit: anchor", "unit: anchors", "detection.landmarks.unit: 'anchors' is not one of anchor, stride"),
        ("unit: anchor", "unit: anchor, factor: 0", "detection.landmarks.factor: "),
        ("unit: anchor", "unit: anchor, visible: sigmoid", "visible: is not known here; did you mean visibility?"),
        ("unit: anchor", "unit: anchor, visibility: softmax", "'softmax' is not one of sigmoid, probability"),
        ("landmarks: {points: 5, from: corner, unit: anchor}\n", "", "say what they are with detection.landmarks"),
    ],
)
def test_mistakes_about_landmarks_in_the_yaml_are_one_clear_line(old, new, words, tmp_path):
    text, _ = FORMS[OWN]
    assert old in text
    with pytest.raises(UserError) as error:
        written(tmp_path, text.replace(old, new))
    assert words in str(error.value) and "image.yaml" in str(error.value) and "\n" not in str(error.value)


def test_the_header_says_how_many_landmarks_there_are(tmp_path):
    for form, count in ((OWN, 5), (YOLO, 17), ("yolov5", 0)):
        text, shapes = FORMS[form]
        header = emit_detection(written(tmp_path, text), ports_of(shapes))["include/detection_model.h"]
        assert f"#define DETECTION_LANDMARKS {count}\n" in header
