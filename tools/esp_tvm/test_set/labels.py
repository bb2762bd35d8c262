"""The labels of a test set; every complaint about a user's labels is made here.

A label is the index of a class, or the values that an output should have (a target). One `.npy` for a model with one
output; for several outputs an `.npz` keyed by output name, which may leave outputs out.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Optional, Sequence

import numpy as np

from ..data import load_file, load_member
from ..errors import UserError
from ..naming import shown
from ..program.form import Port


@dataclass(frozen=True)
class Labels:
    """The labels of one output. classes: int64 [N]; targets: float64 [N, elements]; one of them is None."""

    classes: Optional[np.ndarray] = None
    targets: Optional[np.ndarray] = None


def is_index(port: Port) -> bool:
    """Whether an output is one integer in the ONNX model: the class itself, as ArgMax gives it."""
    return port.elements == 1 and np.dtype(port.onnx_dtype).kind in "iu"


def class_count(port: Port) -> Optional[int]:
    """How many classes an output tells apart: its length if one axis is longer than 1, 2 if it is one real value.

    None if it is an index (any), 0 if it tells no classes.
    """
    if is_index(port):
        return None
    if np.dtype(port.onnx_dtype).kind in "iub":
        return 0
    if port.elements == 1:
        return 2
    return port.elements if max(port.onnx_shape) == port.elements else 0


def load_labels(path: str | os.PathLike, outputs: Sequence[Port], count: int) -> Dict[str, Labels]:
    """{output name: labels of `count` samples} from a `.npy` or `.npz` file; `UserError` for whatever is wrong."""
    path = Path(path)
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "no such file"
        raise UserError(f"{path}: {what}; give the labels as a .npy file with one label for each of {count} samples")
    arrays = load_file(path)
    names = [port.name for port in outputs]
    listed = ", ".join(f"'{shown(name, 30)}'" for name in names)
    if isinstance(arrays, np.ndarray):
        if len(outputs) > 1:
            raise UserError(
                f"{path}: is one array, the model has the outputs {listed}; give an .npz keyed by output name"
            )
        return {names[0]: _labels(arrays, str(path), outputs[0], count)}
    with arrays:
        keys = list(arrays.files)
        unknown = [key for key in keys if key not in names]
        if unknown or not keys:
            what = f"'{shown(unknown[0], 30)}' is no output of the model" if unknown else "is empty"
            raise UserError(f"{path}: {what}; the outputs are {listed}")
        return {
            port.name: _labels(load_member(arrays, path, port.name), f"{path}[{shown(port.name, 30)}]", port, count)
            for port in outputs
            if port.name in keys
        }


def _labels(array: np.ndarray, label: str, port: Port, count: int) -> Labels:
    form = f"{array.dtype} {list(array.shape)}"
    if array.dtype.kind not in "iufb":
        raise UserError(
            f"{label}: holds {form}; labels are whole numbers (classes), or floats (what an output should be)"
        )
    if array.ndim == 0 or len(array) != count or array.size == 0:
        found = len(array) if array.ndim else 1
        raise UserError(f"{label}: has {found} labels ({form}), the test set has {count} samples; give one for each")
    rows = np.asarray(array).reshape(count, -1)
    if rows.dtype.kind == "f" and not np.isfinite(rows).all():
        index = int(np.argwhere(~np.isfinite(rows))[0][0])
        raise UserError(f"{label}: the label of sample {index} is or has NaN or infinity; remove or repair it")
    is_whole = rows.dtype.kind in "iub"
    if is_whole and rows.shape[1] == 1:
        return Labels(classes=_classes(rows[:, 0], label, port))
    if rows.shape[1] == port.elements and _has_shape(array.shape[1:], port):
        if port.elements > 1 and class_count(port) and _is_one_hot(rows):
            return Labels(classes=rows.argmax(axis=1).astype(np.int64))
        return Labels(targets=rows.astype(np.float64))
    shape = list(port.onnx_shape[1:] if port.onnx_shape[:1] == (1,) else port.onnx_shape)
    wanted = f"floats [{', '.join(map(str, [count, *shape]))}] as what output '{shown(port.name)}' should be"
    if class_count(port) != 0:
        wanted = f"whole numbers [{count}] as classes (int64), or {wanted}"
    raise UserError(f"{label}: holds {form}; it needs {wanted}")


def _has_shape(shape: Sequence[int], port: Port) -> bool:
    """Whether `shape`, of one sample, is the output's, with or without a batch axis of 1; of one value any."""
    wanted = tuple(port.onnx_shape)
    return tuple(shape) in (wanted, wanted[1:] if wanted[:1] == (1,) else wanted) or port.elements == 1


def _is_one_hot(rows: np.ndarray) -> bool:
    """Whether every row is a 1 among zeros: a class, as Keras writes it."""
    return bool(np.all((rows == 0) | (rows == 1)) and np.all(np.count_nonzero(rows, axis=1) == 1))


def _classes(values: np.ndarray, label: str, port: Port) -> np.ndarray:
    """Indices of classes as int64 [N]."""
    classes, name = class_count(port), f"output '{shown(port.name)}'"
    if classes == 0:
        raise UserError(
            f"{label}: holds one whole number for each sample, and {name} of shape {list(port.onnx_shape)} tells no "
            "classes; give what the output should be, as floats of its shape"
        )
    if values.dtype.kind == "b":
        values = values.astype(np.int64)
    most = np.iinfo(np.int64).max if classes is None else classes - 1
    wrong = np.flatnonzero((values < 0) | (values > most))
    if len(wrong):
        known = f"classes are 0 to {most}" if classes is not None else "a class is 0 or more"
        advice = "; save targets, which are no classes, as float32" if port.elements == 1 else ""
        raise UserError(
            f"{label}: the label of sample {int(wrong[0])} is {values[wrong[0]]}, and of {name} {known}{advice}"
        )
    return values.astype(np.int64)


__all__ = ["Labels", "class_count", "is_index", "load_labels"]
