"""The tables of a detector's decoding: what every int8 value of an output stands for. Formulas: docs/detection.md."""

from __future__ import annotations

import math
from typing import Callable, Dict, List, Optional, Sequence, Tuple

import numpy as np

from .detection_spec import Detection, Head, Landmarks

SCORE_ONE = 1 << 15
# Fractional bits of positions, sizes and decays, and the largest position or size.
TABLE_BITS, LARGEST = 16, 1 << 14
VALUES = range(-128, 128)


def _nearest(value: float) -> int:
    return math.floor(value + 0.5)


def _sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value)) if value > -700 else 0.0


def _table(function: Callable[[float], float], exponent: int) -> np.ndarray:
    """function(q * 2^exponent) in units of 2^-16, limited to +-`LARGEST`."""
    reals = (function(math.ldexp(q, exponent)) for q in VALUES)
    return np.array([_nearest(min(max(real, -LARGEST), LARGEST) * (1 << TABLE_BITS)) for real in reals], np.int64)


_SCORES: Dict[str, Callable[[float], float]] = {
    "sigmoid": _sigmoid,
    "probability": lambda value: min(max(value, 0.0), 1.0),
    "square": lambda value: math.sqrt(min(max(value, 0.0), 1.0)),
}


def score_table(scores: str, exponent: int) -> np.ndarray:
    """int64 [256]: the score that a number stands for alone."""
    return np.array([_nearest(_SCORES[scores](math.ldexp(q, exponent)) * SCORE_ONE) for q in VALUES], np.int64)


# Of numbers that make a score alone: beyond +-8 a sigmoid is 0 or 1.
_SCORE_BOUNDS = {"sigmoid": 8.0, "probability": 1.0, "square": 1.0}


def useful_exponents(spec: Detection, side: int) -> Dict[str, int]:
    """Name of an output -> the largest exponent that it should have in int8, where something bounds its numbers: logits
    of which all beyond +-8 mean the same, places and sizes of what lies in the input.

    side: the longer one of the model's input, in pixels
    """
    bounds: Dict[str, List[Optional[float]]] = {}
    for head in spec.heads:
        sides = [float(one) for anchor in head.anchors for one in anchor] or [float(head.stride)]
        bounds.setdefault(head.boxes, []).append(_box_bound(spec, sides, side))
        if spec.landmarks is not None:
            bounds.setdefault(head.landmarks or head.boxes, []).append(_landmark_bound(spec.landmarks, head, side))
        bounds.setdefault(head.scores or head.boxes, []).append(_SCORE_BOUNDS.get(spec.scores))
    known = {name: [one for one in all_of_it if one is not None] for name, all_of_it in bounds.items()}
    return {
        name: math.ceil(math.log2(max(numbers) / 128))
        for name, numbers in known.items()
        if len(numbers) == len(bounds[name])
    }


def _box_bound(spec: Detection, sides: Sequence[float], side: int) -> Optional[float]:
    """The largest number, without its sign, of boxes that lie in an input of `side` pixels; None where only differences
    matter. sides: of the anchors, or the stride"""
    if spec.bins > 1:
        return None
    if spec.boxes == "yolov5":
        return _SCORE_BOUNDS["sigmoid"]
    across = side / min(sides)
    if spec.boxes == "distances":
        return across
    if spec.boxes == "corners":
        return across + 0.5
    centre, size = (float(one) for one in spec.variances)
    largest = across if spec.sizes == "linear" else max(math.log(max(across, 2.0)), math.log(max(*sides, 2.0)))
    return max(across / centre, largest / size)


def _landmark_bound(landmarks: Landmarks, head: Head, side: int) -> float:
    """The same of landmarks in the input, and of what says whether they can be seen."""
    unit = min(float(one) for anchor in head.anchors for one in anchor) if landmarks.unit == "anchor" else head.stride
    seen = _SCORE_BOUNDS.get(landmarks.visibility or "", 0.0)
    # From the anchor's corner it is half an anchor more.
    return max(side / (unit * float(landmarks.factor)) + (landmarks.origin == "corner"), seen)


def useful_limits(spec: Detection, side: int) -> Dict[str, Tuple[float, float]]:
    """The same as (least, largest), what int8 holds by these exponents, of all outputs that may reach beyond: scores
    that are probabilities already do not."""
    exponents = useful_exponents(spec, side)
    within = {head.scores for head in spec.heads} if spec.scores in ("probability", "square") else set()
    within -= {name for head in spec.heads for name in (head.boxes, head.landmarks)}
    return {n: (math.ldexp(-128, e), math.ldexp(127, e)) for n, e in exponents.items() if n not in within}


def decay_table(exponent: int) -> np.ndarray:
    """int64 [256]: e^-(d * 2^exponent) of the differences d = 0..255, in units of 2^-16."""
    reals = (math.exp(-min(math.ldexp(d, exponent), 700.0)) for d in range(256))
    return np.array([_nearest(real * (1 << TABLE_BITS)) for real in reals], np.int64)


def position_table(spec: Detection, exponent: int) -> np.ndarray:
    if spec.boxes == "yolov5":
        return _table(lambda value: 2 * _sigmoid(value) - 0.5, exponent)
    variance = float(spec.variances[0])
    return _table(lambda value: value * variance, exponent)


def size_table(spec: Detection, exponent: int) -> np.ndarray:
    if spec.boxes == "yolov5":
        return _table(lambda value: (2 * _sigmoid(value)) ** 2, exponent)
    variance = float(spec.variances[1])
    if spec.sizes == "linear":
        return _table(lambda value: max(value * variance, 0.0), exponent)
    return _table(lambda value: math.exp(min(value * variance, 700.0)), exponent)


def point_table(spec: Landmarks, exponent: int) -> np.ndarray:
    """int64 [256]: how far a landmark is from where it counts from, in units of 2^-16."""
    factor = float(spec.factor)
    return _table(lambda value: value * factor, exponent)


def visible_table(spec: Landmarks, exponent: int) -> Optional[np.ndarray]:
    """int64 [256]: how visible a landmark is, in units of 2^-15; None where the model does not say."""
    return None if spec.visibility is None else score_table(spec.visibility, exponent)
