"""The tables of a detector's decoding: what every int8 value of an output stands for. Formulas: docs/detection.md."""

from __future__ import annotations

import math
from typing import Callable, Dict, Optional

import numpy as np

from .detection_spec import Detection, Landmarks

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


# Scores of a number alone: the largest exponent with which int8 says all that matters. Beyond +-8 a sigmoid is 0 or 1.
_USEFUL = {"sigmoid": -4, "probability": -7, "square": -7}


def useful_exponents(spec: Detection) -> Dict[str, int]:
    """Name of an output with scores alone -> the largest exponent that it should have where the model has it in int16:
    the logits of a detector reach far below 0, where they all mean the same."""
    if spec.scores not in _USEFUL:
        return {}
    others = {name for head in spec.heads for name in (head.boxes, head.landmarks)}
    return {head.scores: _USEFUL[spec.scores] for head in spec.heads if head.scores and head.scores not in others}


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
