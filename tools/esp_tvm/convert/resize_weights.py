"""The weights of a Resize along an axis, and its product with a matrix of them."""

from __future__ import annotations

from typing import Tuple

import numpy as np

from ..onnx_graph import Chain

# The coordinate_transformation_modes whose positions are known here.
POSITIONS = ("half_pixel", "pytorch_half_pixel", "asymmetric", "align_corners")


def weights_along(
    size: int, count: int, scale: float, options: Tuple[str, str, float], excludes: bool, stretch: float = 1.0
) -> np.ndarray:
    """[size, count]: the weight of each position in each of the result, as ONNX's reference computes it.

    options: mode (linear or cubic), coordinate_transformation_mode, cubic_coeff_a; excludes: exclude_outside
    stretch: 1, or where antialias widens the filter the scale, if that is less
    """
    mode, place, slope = options
    reach, matrix = 1 if mode == "linear" else 2, np.zeros((size, count))
    for number in range(count):
        at = position(number, size, count, scale, place)
        below = int(np.floor(at))
        taps = np.arange(int(np.floor(-reach / stretch)) + 1, 2 - int(np.floor(-reach / stretch)) - 1)
        distances = np.abs(taps + below - at) * stretch
        weights = np.clip(1 - distances, 0, None) if mode == "linear" else cubic(distances, slope)
        inside = (taps + below >= 0) & (taps + below < size)
        weights = np.where(inside, weights, 0.0) if excludes else weights
        np.add.at(matrix[:, number], np.clip(taps + below, 0, size - 1), weights / weights.sum())
    return matrix


def position(number: int, size: int, count: int, scale: float, place: str) -> float:
    """Where in the input a position of the result lies."""
    if place == "align_corners":
        return number * (size - 1) / (count - 1) if count > 1 else 0.0
    if place == "asymmetric":
        return number / scale
    if place == "pytorch_half_pixel" and count == 1:
        return 0.0
    return (number + 0.5) / scale - 0.5


def cubic(distance: np.ndarray, a: float) -> np.ndarray:
    """The weight of a value at a distance (>= 0), `a` the attribute cubic_coeff_a."""
    near = ((a + 2) * distance - (a + 3)) * distance**2 + 1
    far = ((a * distance - 5 * a) * distance + 8 * a) * distance - 4 * a
    return np.where(distance <= 1, near, np.where(distance < 2, far, 0.0))


def multiplied_along(chain: Chain, name: str, axis: int, rank: int, matrix: np.ndarray) -> str:
    """The product of the tensor `name` along one of its axes with a constant matrix [size, count]."""
    order = [other for other in range(rank) if other != axis] + [axis]
    turned = axis != rank - 1
    name = chain.add("Transpose", name, perm=order) if turned else name
    name = chain.add("MatMul", name, chain.constant(matrix))
    return chain.add("Transpose", name, perm=np.argsort(order).tolist()) if turned else name


__all__ = ["POSITIONS", "cubic", "multiplied_along", "position", "weights_along"]
