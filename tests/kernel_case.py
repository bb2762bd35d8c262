"""One case of a kernel: its inputs and constants, random or of extremes, the same in every run."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from typing import Any, Dict, List, Sequence, Tuple

import numpy as np

INT8 = (-128, 127)


@dataclass(frozen=True)
class Case:
    """One kernel call with its constants.

    inputs: (shape, dtype) of each, as in memory; attributes: those of the rule in `esp_tvm.arithmetic`
    """

    name: str
    operator: str
    inputs: Tuple[Tuple[Tuple[int, ...], str], ...]
    attributes: Dict[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return f"{self.operator}: {self.name}"

    def samples(self) -> List[List[np.ndarray]]:
        """Sets of inputs: random ones, and ones of extremes alone."""
        random = random_of(self.id)
        sets = [[make(random, shape, dtype) for shape, dtype in self.inputs] for make in (uniform, extremes)]
        if self.operator in ("quantize", "quantize_s16"):
            a = self.attributes
            sets[0] = [_near_ties(random, *self.inputs[0], a["exponent"], a.get("zero_point", 0))]
        return sets


def random_of(text: str) -> np.random.RandomState:
    return np.random.RandomState(zlib.crc32(text.encode()))


def uniform(random: np.random.RandomState, shape: Sequence[int], dtype: str) -> np.ndarray:
    if dtype == "int8":
        return random.randint(-128, 128, shape).astype(np.int8)
    if dtype == "uint8":
        return random.randint(0, 256, shape).astype(np.uint8)
    if dtype == "bool":
        return np.asarray(random.randint(2, size=shape) == 1)
    if dtype == "int64":
        return random.randint(-40, 160, shape).astype(np.int64)
    if dtype == "int32":
        return random.randint(-80, 80, shape).astype(np.int32)
    if dtype == "int16":
        return random.randint(-(2**15), 2**15, shape).astype(np.int16)
    return random.standard_normal(shape).astype(np.float32)


def _near_ties(
    random: np.random.RandomState, shape: Sequence[int], dtype: str, exponent: int, zero_point: int
) -> np.ndarray:
    """Halves of 2^exponent that become int8, where rounding decides, and their neighbours in float32."""
    with np.errstate(over="ignore"):
        x = ((random.randint(-280, 280, shape) * 0.5 - zero_point) * 2.0**exponent).astype(dtype)
        neighbours = np.nextafter(x, random.choice(np.array([-np.inf, np.inf], dtype), shape))
    return np.where(random.randint(2, size=shape), x, neighbours)


def extremes(random: np.random.RandomState, shape: Sequence[int], dtype: str) -> np.ndarray:
    if dtype == "int8":
        return random.choice(np.array([-128, -128, 127], np.int8), shape)
    if dtype == "bool":
        return np.asarray(random.randint(4, size=shape) == 1)
    if dtype == "int64":
        return random.choice(np.array([-(2**62), -1, 0, 2**33]), shape)
    if dtype == "int32":
        return random.choice(np.array([-(2**31), -1, 0, 2**31 - 1], np.int32), shape)
    if dtype == "uint8":
        return random.choice(np.array([0, 127, 128, 255], np.uint8), shape)
    if dtype == "int16":
        return random.choice(np.array([-(2**15), -(2**15), 2**15 - 1], np.int16), shape)
    # Any bits at all: denormals, infinities and NaN too.
    return random.randint(0, 2**32, shape, dtype=np.uint32).view(np.float32)


def constant_of(text: str, shape: Sequence[int]) -> np.ndarray:
    return uniform(random_of(text), shape, "int8")


# Right shifts that spread results over int8, and the edges: none, to the left, all bits out.
_SHIFTS = (9, 10, 11, 8, 7, 12, 1, 0, -1, -8, 24, 31)


def weighted(case: str, weights: Tuple[int, ...], outputs: int, shifts: Sequence[int] = _SHIFTS, **attributes):
    random = random_of(case)
    if attributes.pop("extreme", False):
        values = random.choice(np.array([-128, 127], np.int8), weights)
    else:
        values = random.randint(-128, 128, weights).astype(np.int8)
    return {
        "weights": values,
        "bias": random.randint(-(2**13), 2**13, outputs).astype(np.int32),
        "shift": np.resize(np.asarray(shifts, dtype=np.int32), outputs),
        **attributes,
    }


def window_of(**changes) -> dict:
    return {"strides": (1, 1), "padding": (0, 0, 0, 0), "dilation": (1, 1), "clamp": INT8, **changes}


def filled(attributes: dict) -> dict:
    """`attributes` of a convolution, at times with a value other than 0 around the image; which one depends on the
    bias, so that shapes do not."""
    value = (0, -128, 0, int(attributes["bias"][0]) % 256 - 128)[int(attributes["bias"][-1]) % 4]
    return {**attributes, "pad_value": value} if value else attributes
