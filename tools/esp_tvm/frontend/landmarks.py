"""The landmarks of boxes, in integers: the reference for detection_landmarks of detection.c. Formulas:
docs/detection.md."""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Sequence, Tuple

import numpy as np

from .detection import ONE, Box, Level, joined, scaled
from .detection_spec import Detection
from .detection_tables import SCORE_ONE
from .image import Geometry


@dataclass(frozen=True)
class Point:
    """x, y in 1/16 pixel of the model's input, also outside of it; visible: in units of 2^-15, all of them where the
    model does not say."""

    x: int
    y: int
    visible: int = SCORE_ONE


def landmarks_of(
    spec: Detection, levels: Sequence[Level], boxes: Sequence[Box], outputs: Sequence[np.ndarray]
) -> List[Tuple[Point, ...]]:
    """Those of each of `boxes`, exactly as detection_landmarks computes them; none where `spec` has none.

    levels, outputs: what the boxes were found with
    """
    results = joined(outputs) if boxes else np.zeros(0, np.int8)
    return [_points(spec, levels, box, results) for box in boxes]


def _points(spec: Detection, levels: Sequence[Level], box: Box, results: np.ndarray) -> Tuple[Point, ...]:
    if spec.landmarks is None:
        return ()
    index, number = box.index, 0
    while index >= levels[number].boxes_in_all:
        index -= levels[number].boxes_in_all
        number += 1
    level = levels[number]
    assert level.landmarks is not None and level.point is not None
    cell, which = divmod(index, len(level.anchors))
    anchor, place, each = level.anchors[which], level.landmarks, spec.landmarks.numbers_each
    first = place.first + cell * place.cell + which * place.anchor
    values = results[first + np.arange(spec.landmarks.numbers) * place.channel].astype(int).reshape(-1, each)
    in_cells = (cell % level.columns, cell // level.columns)
    along = []
    for axis, size in enumerate((anchor.width, anchor.height)):
        unit = level.stride if spec.landmarks.unit == "stride" else size
        column = axis if spec.order == "xy" else 1 - axis
        along.append(_origin(spec, level, in_cells[axis], size) + scaled(unit, level.point[values[:, column] + 128]))
    visible = [SCORE_ONE] * len(values) if level.visible is None else level.visible[values[:, 2] + 128]
    return tuple(Point(*map(int, each)) for each in zip(*along, visible))


def _origin(spec: Detection, level: Level, cell: int, size: int) -> int:
    """What the points of a box count from along one axis; size: the anchor's."""
    assert spec.landmarks is not None
    if spec.landmarks.origin == "cell":
        return cell * level.stride
    centre = level.offset + cell * level.stride
    return centre if spec.landmarks.origin == "centre" else centre - size // 2


def point_in_frame(place: Geometry, point: Point) -> Tuple[int, int]:
    """x, y of the picture's pixel in which the point lies, of those that `place` (image.geometry) has put into the
    model's input the nearest."""

    def back(value: int, axis: int) -> int:
        target, divisor = place.target[axis] * ONE, place.target[axis + 2] * ONE
        inside = min(max(value - target, 0), divisor - 1)
        return place.source[axis] + inside * place.source[axis + 2] // divisor

    return back(point.x, 0), back(point.y, 1)
