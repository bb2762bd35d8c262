"""Checks that a converted model computes the same as its source on the same samples."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Callable, Dict, List, Sequence

import numpy as np
import onnx

from ..errors import UserError
from ..model import inputs_of, outputs_of, run_session, session
from ..naming import shown

# Relative to an output's largest value. Another order of float32 sums stays below 1e-5; a lost bias is far above.
TOLERANCE = 1e-4


@dataclass(frozen=True)
class Difference:
    """The largest difference of an output to the source's, absolute and relative to the source's largest value; or to
    what the output can hold, where all that came out was small (`of` says which)."""

    output: str
    absolute: float
    relative: float
    of: str = "largest value"

    def __str__(self) -> str:
        return f"'{shown(self.output)}' {self.absolute:.1e} ({self.relative:.1e} of its {self.of})"


def differences(
    model: onnx.ModelProto,
    source: Callable[[Dict[str, np.ndarray]], Sequence[np.ndarray]],
    samples: Sequence[Dict[str, np.ndarray]],
    path: str | os.PathLike = "model",
    ranges: Sequence[float] = (),
) -> List[Difference]:
    """One `Difference` per output of `model`, over all `samples`.

    `source` gives the outputs of the model that was converted, in the same order, for {input name: array of the
    input's shape}. ranges: how large a value each output can hold, 0 where that is not known: a difference is relative
    to it where all that came out was small. Raises `UserError` where the numbers or sizes of outputs are not the same.
    """
    run = session(model, path)
    names = [name for name, _, _ in outputs_of(model)]
    worst, scale = np.zeros(len(names)), np.zeros(len(names))
    for sample in samples:
        expected = source(sample)
        if len(expected) != len(names):
            raise UserError(f"{path}: the converted model has {len(names)} outputs, its source {len(expected)}")
        for i, (ours, theirs) in enumerate(zip(run_session(run, names, sample, path), expected)):
            theirs = np.asarray(theirs)
            if ours.size != theirs.size:
                raise UserError(
                    f"{path}: output '{shown(names[i])}' of the converted model is {list(ours.shape)}, of its source "
                    f"{list(theirs.shape)}"
                )
            ours, theirs = ours.astype(np.float64).ravel(), theirs.astype(np.float64).ravel()
            finite = theirs[np.isfinite(theirs)]
            scale[i] = max(scale[i], np.abs(finite).max() if finite.size else 0.0)
            same = (ours == theirs) | (np.isnan(ours) & np.isnan(theirs))
            distance = np.abs(ours - theirs, where=~same, out=np.zeros_like(ours))
            # A NaN on one side only counts as an infinite difference.
            worst[i] = max(worst[i], np.where(np.isnan(distance), np.inf, distance).max() if distance.size else 0.0)
    wide = np.zeros(len(names)) if len(ranges) != len(names) else np.array(ranges)
    of = ["largest value" if s >= r else "int8 range" for s, r in zip(scale, wide)]
    scale = np.maximum(scale, wide)
    return [Difference(n, float(w), float(w / s if s > 0 else w), o) for n, w, s, o in zip(names, worst, scale, of)]


def require_equal(found: Sequence[Difference], tolerance: float, path: str | os.PathLike) -> None:
    """Raise `UserError` for the worst difference when it is above `tolerance` (of the output's largest value)."""
    worst = max(found, key=lambda difference: difference.relative)
    if not worst.relative <= tolerance:
        raise UserError(
            f"{path}: the converted model does not compute what its source does: output {worst}, allowed "
            f"{tolerance:g}; the converter lost or changed something (often the last bias): nothing was written"
        )


def feeds_of(model: onnx.ModelProto, arrays: Sequence[np.ndarray]) -> List[Dict[str, np.ndarray]]:
    """[{input name: array of its shape}] from one array [N, *shape] for each input, in the inputs' order."""
    ports = inputs_of(model)
    if len(ports) != len(arrays):
        raise UserError(f"the converted model has {len(ports)} inputs, its source {len(arrays)}")
    for (name, shape, _), array in zip(ports, arrays):
        if array[0].size != np.prod(shape, dtype=np.int64):
            raise UserError(
                f"input '{shown(name)}' of the converted model is {list(shape)}, its source took "
                f"{list(array.shape[1:])}; save the source with a batch of 1"
            )
    return [
        {name: arrays[k][i].reshape(shape).astype(dtype) for k, (name, shape, dtype) in enumerate(ports)}
        for i in range(len(arrays[0]))
    ]


def one_by_one(model: onnx.ModelProto, arrays: Sequence[np.ndarray]) -> List[np.ndarray]:
    """`arrays` [N, batch, ...] of a source that ran on batches, as [N * batch, 1, ...] where `model` has batch 1."""
    batches = {array.shape[1] if array.ndim > 1 else 0 for array in arrays}
    if len(batches) != 1 or min(batches) < 2 or any(shape[:1] != (1,) for _, shape, _ in inputs_of(model)):
        return list(arrays)
    return [array.reshape(-1, 1, *array.shape[2:]) for array in arrays]
