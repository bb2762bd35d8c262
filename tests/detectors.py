"""Detectors of every form for the tests: the YAML of each, the shapes of its outputs, and outputs to try."""

from __future__ import annotations

import math
from typing import Dict, List, Tuple

import numpy as np

from esp_tvm.frontend import detection
from esp_tvm.frontend.detection_c import outputs_of
from esp_tvm.frontend.image_spec import load_image_spec
from esp_tvm.program.form import Port

SPEC = """\
width: {width}
height: {height}
layout: NCHW
scale: 1/255
mean: 0
std: 1
fit: pad
camera: {{width: 50, height: 70, formats: rgb565_be}}
detection:
  score_threshold: 0.3
  iou_threshold: 0.45
"""
SIZE = (48, 32)
Shapes = Dict[str, Tuple[Tuple[int, ...], int]]

# Name -> (lines of the YAML's detection, name of an output -> its shape and exponent).
FORMS: Dict[str, Tuple[str, Shapes]] = {
    "distances": (
        "boxes: distances\nheads:\n- {boxes: b0, scores: s0, stride: 8}\n- {boxes: b1, scores: s1, stride: 16}",
        {"b0": ((1, 4, 6, 4), -5), "s0": ((1, 4, 6, 3), -4), "b1": ((1, 2, 3, 4), -4), "s1": ((1, 2, 3, 3), -3)},
    ),
    "distributions in one tensor": (
        "boxes: distances\nbins: 16\nlayout: NCHW\nheads:\n- {boxes: o0, stride: 8}\n- {boxes: o1, stride: 16}",
        {"o0": ((1, 69, 4, 6), -4), "o1": ((1, 69, 2, 3), -3)},
    ),
    "eight bins, squared scores": (
        "boxes: distances\nbins: 8\nscores: square\nmost: 3\nheads: [{boxes: b, scores: s, stride: 8, offset: 4.25}]",
        {"s": ((1, 4, 6, 1), -7), "b": ((1, 4, 6, 32), -4)},
    ),
    "list of boxes": (
        "boxes: centre_size\nsizes: linear\nheads:\n- {boxes: b, scores: s, stride: 8, anchors: [[1, 1], [1, 1]]}\n"
        "- {boxes: b, scores: s, stride: 16, anchors: [[1, 1], [1, 1], [1, 1]]}",
        {"b": ((1, 66, 16), -1), "s": ((1, 66, 1), -2)},
    ),
    "softmax, y first": (
        "boxes: centre_size\nvariances: [0.1, 0.2]\nscores: softmax\norder: yx\ncandidates: 12\n"
        "heads: [{boxes: b, scores: s, stride: 8, anchors: [[10, 14.5], [24, 12]]}]",
        {"b": ((1, 4, 6, 8), -4), "s": ((1, 4, 6, 10), -4)},
    ),
    "yolov5": (
        "boxes: yolov5\nlayout: NCHW\nacross_classes: true\ncandidates: 20\n"
        "heads: [{boxes: o, stride: 8, anchors: [[10, 13], [16, 30], [33, 23]]}]",
        {"o": ((1, 21, 4, 6), -4)},
    ),
    "corners": (
        "boxes: corners\nscores: probability\ncandidates: 1000\nmost: 1000\n"
        "heads: [{boxes: b, scores: s, stride: 8, offset: 9, anchors: [[16, 16], [32, 24]]}]",
        {"s": ((1, 3, 4, 4), -7), "b": ((1, 3, 4, 8), -6)},
    ),
    "landmarks of their own, as MNP and MSR have": (
        "boxes: corners\nlandmarks: {points: 5, from: corner, unit: anchor}\nheads:\n"
        "- {boxes: b0, scores: s0, landmarks: l0, stride: 8, offset: 9, anchors: [[16, 16], [33, 24.5]]}\n"
        "- {boxes: b1, scores: s1, landmarks: l1, stride: 16, offset: 9, anchors: [[64, 64]]}",
        {
            "s1": ((1, 2, 3, 1), -4),
            "l0": ((1, 4, 6, 20), -7),
            "b0": ((1, 4, 6, 8), -6),
            "s0": ((1, 4, 6, 2), -3),
            "b1": ((1, 2, 3, 4), -6),
            "l1": ((1, 2, 3, 10), -6),
        },
    ),
    "landmarks behind the box in a list, as BlazeFace has": (
        "boxes: centre_size\nsizes: linear\nlandmarks: {points: 6, from: centre, unit: anchor}\nheads:\n"
        "- {boxes: b, scores: s, stride: 8, anchors: [[1, 1], [1, 1]]}\n"
        "- {boxes: b, scores: s, stride: 16, anchors: [[1, 1], [1, 1], [1, 1]]}",
        {"b": ((1, 66, 16), -1), "s": ((1, 66, 1), -2)},
    ),
    "landmarks with visibility, as YOLO has": (
        "boxes: distances\nbins: 16\nlayout: NCHW\n"
        "landmarks: {points: 17, from: cell, unit: stride, factor: 2, visibility: sigmoid}\nheads:\n"
        "- {boxes: b0, scores: s0, landmarks: l0, stride: 8}\n- {boxes: b1, scores: s1, landmarks: l1, stride: 16}",
        {
            "b0": ((1, 64, 4, 6), -4),
            "s0": ((1, 1, 4, 6), -3),
            "l0": ((1, 51, 4, 6), -4),
            "b1": ((1, 64, 2, 3), -3),
            "s1": ((1, 1, 2, 3), -3),
            "l1": ((1, 51, 2, 3), -3),
        },
    ),
    "landmarks behind the classes, y first, of two anchors": (
        "boxes: yolov5\nlayout: NCHW\norder: yx\n"
        "landmarks: {points: 2, from: centre, unit: stride, visibility: probability}\n"
        "heads: [{boxes: o, stride: 8, anchors: [[10, 13], [16, 30]]}]",
        {"o": ((1, 28, 4, 6), -4)},
    ),
    "landmarks behind the scores, in a list of their own order": (
        "boxes: centre_size\nvariances: [0.1, 0.2]\nlayout: NCHW\n"
        "landmarks: {points: 3, from: centre, unit: anchor, factor: 0.1}\nheads:\n"
        "- {boxes: b, scores: s, landmarks: s, stride: 8, anchors: [[8, 9]]}\n"
        "- {boxes: b, scores: s, landmarks: s, stride: 16, anchors: [[20, 9]]}",
        {"b": ((1, 4, 30), -4), "s": ((1, 8, 30), -4)},
    ),
    "landmarks before the class, as YOLOv5-face has": (
        "boxes: yolov5\nlayout: NCHW\n"
        "landmarks: {points: 5, from: cell, unit: anchor, before_classes: true}\n"
        "heads: [{boxes: o, stride: 8, anchors: [[10, 13], [16, 30]]}]",
        {"o": ((1, 32, 4, 6), -4)},
    ),
    "distributions in a list, channels first": (
        "boxes: distances\nbins: 4\nlayout: NCHW\nheads:\n- {boxes: o, stride: 8}\n- {boxes: o, stride: 16}",
        {"o": ((1, 18, 30), -4)},
    ),
}


def written(tmp_path, text, size=SIZE, **changes):
    lines = SPEC.format(width=size[0], height=size[1]) + "".join(f"  {line}\n" for line in text.splitlines())
    for old, new in changes.items():
        lines = lines.replace(old, new)
    path = tmp_path / "image.yaml"
    path.write_text(lines)
    return load_image_spec(path)


def ports_of(shapes: Shapes) -> List[Port]:
    return [Port(name, shape, "int8", exponent, c_name=name) for name, (shape, exponent) in shapes.items()]


def levels_of(spec, ports):
    return detection.levels_of(spec.detection, spec.label, spec.width, spec.height, outputs_of(ports))


def found(spec, ports, arrays):
    return detection.find_boxes(spec.detection, levels_of(spec, ports), spec.width, spec.height, arrays)


def pictures_for(ports: List[Port], rng) -> List[List[np.ndarray]]:
    """Outputs at random and at their borders: nothing, everything, equal scores, few numbers, one number."""
    shapes = [port.shape for port in ports]
    pictures = [[np.full(shape, value, np.int8) for shape in shapes] for value in (-128, -1, 0, 1, 127)]
    for low, high in ((-128, 128), (-20, 60), (40, 128), (-3, 3)):
        pictures += [[rng.integers(low, high, shape).astype(np.int8) for shape in shapes] for _ in range(3)]
    return pictures + [[rng.choice([-128, 127], shape).astype(np.int8) for shape in shapes] for _ in range(3)]


def sigmoid(value):
    return 1 / (1 + math.exp(-value))
