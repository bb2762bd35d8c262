"""Samples that no step of quantization sees: what is said of the result is measured on them."""

from __future__ import annotations

from typing import Dict, Optional, Sequence, Tuple

import numpy as np

from ..data import Part
from ..data_check import FEW, digests

# Every so many-th sample is held back, at most so many.
EVERY, MOST = 5, 64


def hold_back(samples: Dict[str, Sequence[np.ndarray]]) -> Tuple[Dict, Optional[Dict]]:
    """(samples to calibrate with, samples held back) of {input: [N, *shape]}; None where there are too few.

    Equal samples are never on both sides.
    """
    found = digests(samples)
    first: Dict[bytes, int] = {}
    for index, digest in enumerate(found):
        first.setdefault(digest, index)
    if len(first) < FEW:
        return samples, None
    distinct = sorted(first.values())
    chosen = distinct[EVERY - 1 :: EVERY]
    if len(chosen) > MOST:
        chosen = [chosen[int(i)] for i in np.linspace(0, len(chosen) - 1, MOST).round()]
    away = {found[index] for index in chosen}
    kept = [index for index, digest in enumerate(found) if digest not in away]
    return _take(samples, kept), _take(samples, chosen)


def _take(samples: Dict[str, Sequence[np.ndarray]], indices: Sequence[int]) -> Dict[str, Part]:
    return {name: Part(array, indices) for name, array in samples.items()}
