"""From a detector's int8 outputs to boxes, in integers: the reference for detection.c. Formulas: docs/detection.md.

`levels_of` says where in the outputs each number of a box lies and makes the tables; `find_boxes` applies them. Lengths
are in 1/16 pixel of the model's input, scores in units of 2^-15.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np

from ..errors import UserError
from ..naming import shown
from .detection_spec import Detection, Head, anchors_of
from .detection_tables import (
    SCORE_ONE,
    TABLE_BITS,
    decay_table,
    point_table,
    position_table,
    score_table,
    size_table,
    visible_table,
)
from .image import Geometry

ONE = 16


@dataclass(frozen=True)
class Output:
    """An int8 output of the model: its real values are q * 2^exponent. offset: of its first byte in all results."""

    name: str
    shape: Tuple[int, ...]
    exponent: int
    offset: int = 0

    @property
    def bytes(self) -> int:
        return int(np.prod(self.shape))


@dataclass(frozen=True)
class Part:
    """Number k of box a of cell c lies at byte first + c * cell + a * anchor + k * channel of the results."""

    first: int
    cell: int
    anchor: int
    channel: int

    def take(self, results: np.ndarray, cells: int, anchors: int, numbers: int) -> np.ndarray:
        """int64 [cells, anchors, numbers] of int8 `results`."""
        steps = zip((self.cell, self.anchor, self.channel), (cells, anchors, numbers))
        c, a, k = (np.arange(count) * step for step, count in steps)
        return results[self.first + c[:, None, None] + a[None, :, None] + k].astype(np.int64)

    def behind(self, numbers: int) -> Part:
        """What follows the first `numbers` of each box."""
        return Part(self.first + numbers * self.channel, self.cell, self.anchor, self.channel)


@dataclass(frozen=True)
class Anchor:
    """What a position of 1 and a size of 1 are worth; 1/16 pixel."""

    unit_x: int
    unit_y: int
    width: int
    height: int


@dataclass(frozen=True, eq=False)
class Level:
    """A head with its tables, each with an entry for the int8 values from -128 on; see detection_level_t.

    position, size: int64 [256]; decay, score_decay: of differences 0..255; score: None for softmax
    landmarks: where those of a box lie, with the tables point and visible; None where there are none
    """

    boxes: Part
    scores: Part
    columns: int
    rows: int
    classes: int
    stride: int
    offset: int
    anchors: Tuple[Anchor, ...]
    position: Optional[np.ndarray]
    size: Optional[np.ndarray]
    decay: Optional[np.ndarray]
    score: Optional[np.ndarray]
    score_decay: Optional[np.ndarray]
    landmarks: Optional[Part]
    point: Optional[np.ndarray]
    visible: Optional[np.ndarray]

    @property
    def boxes_in_all(self) -> int:
        return self.columns * self.rows * len(self.anchors)


@dataclass(frozen=True)
class Box:
    """Edges in 1/16 pixel of the model's input, score in units of 2^-15, number of the class.

    index: of the box among those of all heads, in the order of heads, rows, columns, anchors
    """

    left: int
    top: int
    right: int
    bottom: int
    score: int
    label: int
    index: int

    @property
    def edges(self) -> Tuple[int, int, int, int]:
        return self.left, self.top, self.right, self.bottom


# --- where everything lies --------------------------------------------------------------------------------


def levels_of(spec: Detection, label: str, width: int, height: int, outputs: Sequence[Output]) -> List[Level]:
    """The heads of `spec` for a model with an input of width x height pixels; `label` is the YAML, for messages."""
    by_name = {output.name: output for output in outputs}
    used: Dict[str, int] = {}
    levels = []
    for number, head in enumerate(spec.heads):
        where = f"{label}: detection.heads.{number}"
        for key, name in (("boxes", head.boxes), ("scores", head.scores), ("landmarks", head.landmarks)):
            if name is not None and name not in by_name:
                listed = ", ".join(f"'{shown(each, 30)}'" for each in by_name)
                raise UserError(f"{where}.{key}: the model has no output '{shown(name)}' (it has {listed})")
        level = _level(spec, head, where, (width, height), by_name, used)
        if levels and level.classes != levels[0].classes:
            raise UserError(f"{where}: has {level.classes} classes, the first head {levels[0].classes}")
        levels.append(level)
    for name, count in used.items():
        _, _, size = _order(spec, by_name[name], label)
        if len(_without_batch(by_name[name])) == 2 and count != size:
            raise UserError(
                f"{label}: detection.heads: output '{shown(name)}' has {size} boxes, the heads describe {count}; "
                "change stride, anchors or layout"
            )
    return levels


def _without_batch(output: Output) -> Tuple[int, ...]:
    shape = output.shape
    return shape[1:] if len(shape) > 2 and shape[0] == 1 else shape


def _order(spec: Detection, output: Output, where: str) -> Tuple[int, Tuple[int, ...], int]:
    """(channels, the grid or () for a list of boxes, cells or boxes) of an output."""
    shape = _without_batch(output)
    if len(shape) not in (2, 3):
        raise UserError(
            f"{where}: output '{shown(output.name)}' has shape {list(output.shape)}; a grid [1, rows, columns, n] or a "
            "list [1, boxes, n] is needed (layout: NCHW has n before the others)"
        )
    last = spec.layout == "NHWC"
    places = shape[:-1] if last else shape[1:]
    return shape[-1] if last else shape[0], places if len(places) == 2 else (), int(np.prod(places))


def _level(
    spec: Detection, head: Head, where: str, size: Tuple[int, int], outputs: Dict[str, Output], used: Dict[str, int]
) -> Level:
    boxes, scores = outputs[head.boxes], outputs[head.scores or head.boxes]
    anchors = anchors_of(head)
    _, grid, _ = _order(spec, boxes, where)
    rows, columns = grid or tuple(-(-side // head.stride) for side in (size[1], size[0]))
    for count, side, what in ((columns, size[0], "columns"), (rows, size[1], "rows")):
        if (count - 1) * head.stride >= side:
            raise UserError(
                f"{where}.stride: {count} {what} of cells with a stride of {head.stride} do not fit an input of "
                f"{size[0]} x {size[1]} pixels"
            )
    points = outputs[head.landmarks or head.boxes] if spec.landmarks else boxes
    parts = {}
    for output in {each.name: each for each in (boxes, scores, points)}.values():
        parts[output.name] = _part(spec, output, where, anchors, (rows, columns), used)
    box_part, per_box = parts[boxes.name]
    score_part, per_score = parts[scores.name]
    before = spec.has_objectness + (spec.scores == "softmax")
    behind = spec.landmarks.numbers if spec.landmarks and points is scores else 0
    classes = per_score - before - behind - (spec.box_numbers if boxes is scores else 0)
    if per_box < spec.box_numbers or classes < 1:
        raise UserError(
            f"{where}: outputs '{shown(boxes.name)}' and '{shown(scores.name)}' have {per_box} and {per_score} numbers "
            f"for a box; {spec.box_numbers} are needed for its place"
            + (f", {before} before the classes" if before else "")
            + (f", {behind} for its landmarks" if behind else "")
            + ", and at least one class"
        )
    if boxes is scores:
        score_part = score_part.behind(spec.box_numbers)
    point_part = None
    if spec.landmarks:
        point_part, per_points = parts[points.name]
        others = per_points - behind if behind else spec.box_numbers if points is boxes else 0
        if per_points != others + spec.landmarks.numbers:
            each = f"{spec.landmarks.points} landmarks of {spec.landmarks.numbers_each} numbers"
            raise UserError(
                f"{where}: output '{shown(points.name)}' has {per_points} numbers for a box; "
                + (f"{others} for its place and " if others else "")
                + f"{spec.landmarks.numbers} for {each} are needed; change landmarks.points, or name their output"
            )
        point_part = point_part.behind(spec.box_numbers + before if spec.between else others)
    plain = spec.bins == 1
    softmax = spec.scores == "softmax"
    return Level(
        box_part,
        score_part,
        columns,
        rows,
        classes,
        head.stride * ONE,
        _sixteenths(_first_centre(spec, head)),
        _anchors(spec, head),
        position_table(spec, boxes.exponent) if plain else None,
        size_table(spec, boxes.exponent) if spec.boxes in ("centre_size", "yolov5") else None,
        None if plain else decay_table(boxes.exponent),
        None if softmax else score_table(spec.scores, scores.exponent),
        decay_table(scores.exponent) if softmax else None,
        point_part,
        point_table(spec.landmarks, points.exponent) if spec.landmarks else None,
        visible_table(spec.landmarks, points.exponent) if spec.landmarks else None,
    )


def _part(
    spec: Detection, output: Output, where: str, anchors: int, grid: Tuple[int, int], used: Dict[str, int]
) -> Tuple[Part, int]:
    """(where an output's numbers lie, how many each box has); counts in `used` what heads take of a list."""
    channels, own_grid, places = _order(spec, output, where)
    last = spec.layout == "NHWC"
    if own_grid:
        if own_grid != grid:
            raise UserError(
                f"{where}: outputs have the grids {list(grid)} and {list(own_grid)}; name outputs of one level"
            )
        if channels % anchors:
            raise UserError(
                f"{where}.anchors: {channels} numbers of '{shown(output.name)}' are not for {anchors} boxes"
            )
        each = channels // anchors
        steps = (channels, each, 1) if last else (1, each * places, places)
        return Part(output.offset, *steps), each
    first = used.get(output.name, 0)
    used[output.name] = first + anchors * grid[0] * grid[1]
    if used[output.name] > places:
        raise UserError(
            f"{where}: output '{shown(output.name)}' has {places} boxes, the heads up to this one describe "
            f"{used[output.name]}; change stride, anchors or layout"
        )
    step = channels if last else 1
    return Part(output.offset + first * step, anchors * step, step, 1 if last else places), channels


def _first_centre(spec: Detection, head: Head) -> Fraction:
    if head.offset is not None:
        return head.offset
    # YOLOv5's position is from the cell's corner.
    return Fraction(0) if spec.boxes == "yolov5" else Fraction(head.stride, 2)


def _sixteenths(pixels: Fraction) -> int:
    return math.floor(pixels * ONE + Fraction(1, 2))


def _anchors(spec: Detection, head: Head) -> Tuple[Anchor, ...]:
    stride = head.stride * ONE
    sizes = [(_sixteenths(w), _sixteenths(h)) for w, h in head.anchors] or [(stride, stride)]
    of_stride = spec.boxes in ("distances", "yolov5")
    return tuple(Anchor(*((stride, stride) if of_stride else size), *size) for size in sizes)


# --- boxes ------------------------------------------------------------------------------------------------


def threshold(share: Fraction) -> int:
    """In units of 2^-15, at least 1."""
    return max(1, math.floor(share * SCORE_ONE + Fraction(1, 2)))


def joined(outputs: Sequence[np.ndarray]) -> np.ndarray:
    """int8 [n]: the outputs of a model one after the other."""
    return np.concatenate([np.asarray(output, np.int8).ravel() for output in outputs])


def find_boxes(
    spec: Detection, levels: Sequence[Level], width: int, height: int, outputs: Sequence[np.ndarray]
) -> List[Box]:
    """The boxes of one picture, the best first, exactly as detection_find computes them.

    outputs: those of the model, int8, in the order in which `levels_of` had them
    """
    results = joined(outputs)
    least = threshold(spec.score_threshold)
    found, before = [], 0
    for level in levels:
        found.append(_candidates(spec, level, results, least, (width * ONE, height * ONE), before))
        before += level.boxes_in_all
    rows = np.concatenate(found)
    best = rows[np.argsort(-rows[:, 4], kind="stable")][: spec.candidates]
    return _suppress(spec, [Box(*map(int, row)) for row in best])


def _candidates(
    spec: Detection, level: Level, results: np.ndarray, least: int, size: Tuple[int, int], before: int
) -> np.ndarray:
    """int64 [n, 7]: left, top, right, bottom, score, label, index of what reaches the threshold and is not empty.

    before: how many boxes the levels before have
    """
    cells, anchors = level.columns * level.rows, len(level.anchors)
    scores, labels = _scores(spec, level, results, cells, anchors)
    numbers = level.boxes.take(results, cells, anchors, spec.box_numbers)
    sides = numbers.reshape(cells, anchors, 4, spec.bins)
    if spec.order == "yx":
        sides = sides[:, :, [1, 0, 3, 2]]
    index = np.arange(cells)
    edges = []
    for axis, place, unit, length in (
        (0, index % level.columns, "unit_x", "width"),
        (1, index // level.columns, "unit_y", "height"),
    ):
        centre = (level.offset + place * level.stride)[:, None]
        units, lengths = (np.array([getattr(a, name) for a in level.anchors])[None] for name in (unit, length))
        first, second = _lengths(spec, level, sides[:, :, axis], sides[:, :, axis + 2], units, lengths)
        low, high = _edges(spec.boxes, centre, lengths, first, second)
        edges.append((np.clip(low, 0, size[axis]), np.clip(high, 0, size[axis])))
    (left, right), (top, bottom) = edges
    numbers_of = before + np.arange(cells * anchors).reshape(cells, anchors)
    rows = np.stack(np.broadcast_arrays(left, top, right, bottom, scores, labels, numbers_of), -1)
    return rows[(scores >= least) & (left < right) & (top < bottom)]


def _scores(spec: Detection, level: Level, results: np.ndarray, cells: int, anchors: int):
    """(score, class) of every box, int64 [cells, anchors]."""
    before = spec.has_objectness + (spec.scores == "softmax")
    numbers = level.scores.take(results, cells, anchors, before + spec.between + level.classes)
    classes = numbers[:, :, before + spec.between :]
    numbers = np.concatenate([numbers[:, :, :before], classes], -1)
    labels = classes.argmax(-1)
    best = classes.max(-1)
    if level.score is None:
        largest = numbers.max(-1)
        total = level.score_decay[largest[..., None] - numbers].sum(-1)
        return (level.score_decay[largest - best] * SCORE_ONE + total // 2) // total, labels
    score = level.score[best + 128]
    if spec.has_objectness:
        objects = level.score[numbers[:, :, 0] + 128]
        score = (score * objects + (1 << 14)) >> 15
    return score, labels


def _lengths(spec: Detection, level: Level, first, second, units, lengths):
    """One axis of all boxes: the two numbers [cells, anchors, bins] as lengths, int64 [cells, anchors]."""
    if spec.bins > 1:
        return _mean(level.decay, first, units), _mean(level.decay, second, units)
    one = scaled(units, level.position[first[..., 0] + 128])
    if level.size is not None:
        return one, scaled(lengths, level.size[second[..., 0] + 128])
    return one, scaled(units, level.position[second[..., 0] + 128])


def scaled(value, factor):
    return (value * factor + (1 << (TABLE_BITS - 1))) >> TABLE_BITS


def _mean(decay: np.ndarray, numbers: np.ndarray, units) -> np.ndarray:
    """The mean of a distribution over 0, 1, ... times the unit."""
    weights = decay[numbers.max(-1, keepdims=True) - numbers]
    total = weights.sum(-1)
    return ((weights * np.arange(numbers.shape[-1])).sum(-1) * units + total // 2) // total


def _edges(form: str, centre, anchor, first, second):
    if form == "distances":
        return centre - first, centre + second
    if form == "corners":
        low = centre - anchor // 2
        return low + first, low + anchor + second
    low = centre + first - second // 2
    return low, low + second


def _area(left: int, top: int, right: int, bottom: int) -> int:
    return max(right - left, 0) * max(bottom - top, 0)


def overlap(a: Tuple[int, int, int, int], b: Tuple[int, int, int, int], most: int) -> bool:
    """Whether boxes (left, top, right, bottom) share more than `most`, in units of 2^-15, of their union."""
    both = _area(max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3]))
    return both * SCORE_ONE > most * (_area(*a) + _area(*b) - both)


def _suppress(spec: Detection, boxes: Sequence[Box]) -> List[Box]:
    most, kept = threshold(spec.iou_threshold), []
    for box in boxes:
        rivals = [other for other in kept if spec.across_classes or other.label == box.label]
        if len(kept) < spec.most and not any(overlap(other.edges, box.edges, most) for other in rivals):
            kept.append(box)
    return kept


def in_frame(place: Geometry, box: Box) -> Tuple[int, int, int, int]:
    """left, top, right, bottom of a box in whole pixels of the picture, which `place` (image.geometry) has put into the
    model's input."""

    def back(value: int, axis: int) -> int:
        target, divisor = place.target[axis] * ONE, place.target[axis + 2] * ONE
        inside = min(max(value - target, 0), divisor)
        return place.source[axis] + (inside * place.source[axis + 2] + divisor // 2) // divisor

    return back(box.left, 0), back(box.top, 1), back(box.right, 0), back(box.bottom, 1)
