"""The description of a detector's outputs: the key `detection` of an image front end's YAML."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, Optional, Tuple

from pydantic import BeforeValidator, Field, PlainValidator, model_validator
from typing_extensions import Annotated, Literal

from ..exact import exact_number, value_text
from .fields import Name, Positive, Spec, fault, number, sequence, whole

# Numbers of a box in the model's outputs that stand for one edge (distances) or for all of a box (the rest).
MAX_BINS = 64
MAX_BOXES = 1000
MAX_PIXELS = 4096
MAX_POINTS = 64


def _share(value: Any) -> Fraction:
    try:
        share = exact_number(value)
    except ValueError as error:
        raise fault(str(error))
    if not 0 < share < 1:
        raise fault(f"{value_text(value)} is not between 0 and 1")
    return share


def _anchors(value: Any) -> Tuple[Tuple[Fraction, Fraction], ...]:
    text = "is not a list of anchors: each [width, height] in pixels, larger than 0 and at most 4096"
    if not isinstance(value, list) or not value or len(value) > 64:
        raise fault(text)
    if any(not isinstance(each, list) or len(each) != 2 for each in value):
        raise fault(text)
    sizes = tuple((number(width), number(height)) for width, height in value)
    if any(not 0 < side <= MAX_PIXELS for size in sizes for side in size):
        raise fault(text)
    return sizes


def _as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


Share = Annotated[Fraction, PlainValidator(_share)]
Anchors = Annotated[Tuple[Tuple[Fraction, Fraction], ...], PlainValidator(_anchors)]
Offset = Annotated[Optional[Fraction], PlainValidator(number)]


class Head(Spec):
    """One level of the detector.

    boxes: the output with the boxes; scores: the one with the scores, None where they follow the box in `boxes`
    landmarks: the one with the landmarks, None where they follow what `boxes` has besides
    stride: pixels of the model's input from cell to cell; offset: of the first cell's centre, half a stride if None
    anchors: (width, height) in pixels of the input, for each box of a cell; none for distances
    """

    boxes: Name
    scores: Optional[Name] = None
    landmarks: Optional[Name] = None
    stride: whole(1, 1024)
    offset: Offset = None
    anchors: Anchors = ()


class Landmarks(Spec):
    """The points of a box: `points` times x, y and, with visibility, what makes a score of whether it can be seen.

    origin (`from` in the YAML): where x and y count from, the cell's centre, the left upper corner of the anchor around
    it, or the cell's number times the stride
    unit, factor: x is worth so many times the anchor's width or the stride, y so many times its height or the stride
    before_classes: whether they stand between the objectness and the classes, in the output that has all of a box
    """

    points: whole(1, MAX_POINTS)
    origin: Literal["centre", "corner", "cell"] = Field(alias="from")
    unit: Literal["anchor", "stride"]
    factor: Positive = Fraction(1)
    visibility: Optional[Literal["sigmoid", "probability"]] = None
    before_classes: bool = False

    @property
    def numbers(self) -> int:
        """Of all points of a box, in the outputs."""
        return self.points * self.numbers_each

    @property
    def numbers_each(self) -> int:
        return 2 if self.visibility is None else 3


class Detection(Spec):
    """What a detector's outputs mean; docs/detection.md has the formulas.

    boxes: the form of a box. bins: of the distribution that stands for a distance, 1 for the distance itself
    layout: of the outputs, channels last or first. order: which of x and y comes first in a box
    scores: what makes a score of the outputs; with softmax, class 0 is the background
    objectness: whether a number before the classes says that there is an object at all
    sizes: of centre_size, whether width and height are exponents of e; variances: of its centre and of its size
    candidates: how many of the best boxes are compared with each other; most: how many are left at most
    across_classes: whether boxes of different classes suppress each other
    landmarks: what the points of a box are, None where there are none
    """

    boxes: Literal["distances", "corners", "centre_size", "yolov5"]
    bins: whole(1, MAX_BINS) = 1
    layout: Literal["NHWC", "NCHW"] = "NHWC"
    order: Literal["xy", "yx"] = "xy"
    scores: Literal["sigmoid", "softmax", "probability", "square"] = "sigmoid"
    objectness: Optional[bool] = None
    sizes: Literal["exponential", "linear"] = "exponential"
    variances: sequence(
        Tuple[Positive, Positive], "is not two numbers larger than 0: of the centre and of the size"
    ) = (Fraction(1), Fraction(1))
    score_threshold: Share
    iou_threshold: Share
    candidates: whole(1, MAX_BOXES) = 100
    most: whole(1, "candidates") = 10
    across_classes: bool = False
    landmarks: Optional[Landmarks] = None
    heads: Annotated[Tuple[Head, ...], Field(min_length=1, max_length=16), BeforeValidator(_as_tuple)]

    @property
    def has_objectness(self) -> bool:
        return self.boxes == "yolov5" if self.objectness is None else self.objectness

    @property
    def between(self) -> int:
        """Numbers of a box between the objectness (or the background) and the classes."""
        return self.landmarks.numbers if self.landmarks is not None and self.landmarks.before_classes else 0

    @property
    def box_numbers(self) -> int:
        """Numbers of one box in the outputs."""
        return 4 * self.bins

    @model_validator(mode="after")
    def _fits(self) -> Detection:
        if self.bins > 1 and self.boxes != "distances":
            raise fault(f"bins are for boxes: distances, not for {self.boxes}")
        if self.scores == "softmax" and self.has_objectness:
            raise fault("scores: softmax has a background class; it takes no objectness")
        for head in self.heads:
            if self.boxes == "distances" and head.anchors:
                raise fault("anchors have no meaning for boxes: distances; leave them out")
            if self.landmarks is None and head.landmarks is not None:
                raise fault("a head names landmarks; say what they are with detection.landmarks (points, from, unit)")
            if self.between and (head.landmarks is not None or head.scores is not None):
                raise fault("landmarks before_classes lie in the output with the box and its classes: name boxes alone")
            if self.boxes != "distances" and not head.anchors:
                raise fault(f"a head has no anchors; boxes: {self.boxes} needs them")
        return self


def anchors_of(head: Head) -> int:
    """Boxes of one cell."""
    return max(len(head.anchors), 1)


__all__ = ["Detection", "Head", "Landmarks", "MAX_BINS", "MAX_BOXES", "anchors_of"]
