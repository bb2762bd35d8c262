"""A second detector that looks at what a first has found: the square around each box, as an application does it."""

from __future__ import annotations

from typing import List, Sequence, Tuple

import numpy as np

from ..errors import UserError
from .detect import Detector, Found, found_in
from .detection import overlap, threshold
from .image import Geometry

Edges = Tuple[int, int, int, int]


def square(edges: Edges, width: int, height: int) -> Edges:
    """detection_square: around left, top, right, bottom with the longer side, as far as it is inside of the frame."""
    left, top, right, bottom = edges
    side = max(right - left, bottom - top)
    x, y = (left + right) // 2 - side // 2, (top + bottom) // 2 - side // 2
    return min(max(x, 0), width), min(max(y, 0), height), min(max(x + side, 0), width), min(max(y + side, 0), height)


def part_of_frame(edges: Edges, width: int, height: int) -> Geometry:
    """detection_frame_of: what the part of a frame became in a model's input of width x height pixels, all of it."""
    left, top, right, bottom = edges
    return Geometry((left, top, right - left, bottom - top), (0, 0, width, height))


class TwoStages:
    """What `first` finds, each looked at again by `second`, which says whether it is one, and where exactly."""

    def __init__(self, first: Detector, second: Detector):
        if second.spec.fit != "stretch":
            raise UserError(f"{second.spec.label}: fit: {second.spec.fit} is not for a second stage; give fit: stretch")
        self.first, self.second = first, second

    def in_pictures(self, pictures: Sequence[np.ndarray]) -> List[List[Found]]:
        """What is found in pictures, uint8 [height, width, 3] of any size: of each box of the first detector the best
        that the second finds in its square, unless one that is kept already is the same."""
        spec = self.second.spec
        parts = [
            (number, square(box.edges, pictures[number].shape[1], pictures[number].shape[0]))
            for number, boxes in enumerate(self.first.in_pictures(pictures))
            for box in boxes
        ]
        parts = [(number, at) for number, at in parts if at[0] < at[2] and at[1] < at[3]]
        kept: List[List[Found]] = [[] for _ in pictures]
        if not parts:
            return kept
        inputs = self.second.inputs([pictures[n][top:bottom, left:right] for n, (left, top, right, bottom) in parts])
        for (number, at), boxes in zip(parts, self.second.boxes(self.second.outputs(inputs))):
            best = found_in(part_of_frame(at, spec.width, spec.height), boxes[:1])
            kept[number] += [each for each in best if not any(self._same(each, other) for other in kept[number])]
        return kept

    def _same(self, a: Found, b: Found) -> bool:
        """detection_same"""
        assert self.second.spec.detection is not None
        return overlap(a.edges, b.edges, threshold(self.second.spec.detection.iou_threshold))
