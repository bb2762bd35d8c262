"""Samples of a model's inputs from files; every complaint about a user's array is made here.

One `.npy` for a model with one input; for several inputs an `.npz`, or a folder of `.npy` files, keyed by input
name. Arrays hold N samples of the input's shape, with or without its batch axis.
"""

from __future__ import annotations

import logging
import mmap
import os
from pathlib import Path
from typing import Callable, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from .errors import UserError
from .naming import file_stem, one_line, shown

_LOG = logging.getLogger(__name__)
Inputs = Sequence[Tuple[str, Sequence[int], str]]
# Types of pixels and of quantized values: as reals they may be meant otherwise.
_BYTES = {"uint8": "0 to 255", "int8": "-128 to 127"}
# How much of a file is checked or converted at a time.
_BLOCK_BYTES = 16 << 20
# With larger values, sums of squares times weights exceed float32.
_LARGEST = 1e15
_OF_PICTURES = " (of pictures or sounds: with 'make arrays')"


class _Indexed:
    """What can be indexed like an array of the shape `shape`, one sample after the other or all at once."""

    shape: Tuple[int, ...]

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index):
        raise NotImplementedError

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[i] for i in range(len(self)))

    def __array__(self, dtype=None) -> np.ndarray:
        return np.asarray(self[:], dtype=dtype)


class Samples(_Indexed):
    """N samples [N, *shape] of an array that may be on disk; samples are converted only when they are indexed."""

    def __init__(self, source: np.ndarray, shape: Sequence[int], dtype: str):
        self._source = source
        self.shape = (source.shape[0], *shape)
        self.dtype = np.dtype(dtype)
        self.ndim = len(self.shape)
        self._read = 0

    def __getitem__(self, index) -> np.ndarray:
        values = np.array(self._source[index], dtype=self.dtype)
        self._read += values.nbytes
        if self._read > _BLOCK_BYTES:
            self._read = 0
            _forget(self._source)
        if isinstance(index, (int, np.integer)):
            return values.reshape(self.shape[1:])
        return values.reshape(values.shape[0], *self.shape[1:])


class Mapped(_Indexed):
    """Samples that a function makes, one by one, of those of `Samples` or an array; only those that are asked for.

    shape, dtype: of a sample that the function makes
    """

    def __init__(self, source: Sequence[np.ndarray], function: Callable, shape: Sequence[int], dtype: str):
        self._source, self._function = source, function
        self.shape, self.dtype = (len(source), *shape), np.dtype(dtype)
        self.ndim = len(self.shape)

    def __getitem__(self, index):
        if isinstance(index, (int, np.integer)):
            return self._function(self._source[index])
        made = [self._function(one) for one in self._source[index]]
        return np.stack(made) if made else np.zeros((0, *self.shape[1:]), self.dtype)


class Part(_Indexed):
    """Some of the samples of an array or of `Samples`, by index; each is read only when it is indexed."""

    def __init__(self, source: Sequence[np.ndarray], indices: Sequence[int]):
        self._source, self._indices = source, [int(index) for index in indices]
        self.shape = (len(self._indices), *source.shape[1:])
        self.dtype, self.ndim = source.dtype, source.ndim

    def __getitem__(self, index):
        chosen = np.asarray(self._indices)[index]
        if chosen.ndim == 0:
            return self._source[int(chosen)]
        return np.stack([self._source[int(i)] for i in chosen]) if len(chosen) else np.zeros((0, *self.shape[1:]))


def _forget(array: np.ndarray) -> None:
    """Release the pages of a mapped file, so that what was read does not count as this program's memory."""
    pages = getattr(array, "_mmap", None)
    if pages is not None and hasattr(pages, "madvise") and hasattr(mmap, "MADV_DONTNEED"):
        pages.madvise(mmap.MADV_DONTNEED)


def load_samples(path: str | os.PathLike, inputs: Inputs) -> Dict[str, Samples]:
    """{input name: [N, *shape]} of all samples in `path`; `inputs`: (name, shape, dtype) of each model input.

    Raises `UserError` for a missing file or key, a wrong shape or dtype, NaN or infinity, an empty set.
    """
    path = Path(path)
    samples = {}
    for (name, shape, dtype), (array, label) in zip(inputs, _open(path, inputs)):
        rows = _rows(array, tuple(int(d) for d in shape), label, name)
        _check_dtype(rows, dtype, label)
        _check_values(rows, dtype, label)
        if rows.dtype.name in _BYTES and np.dtype(dtype).kind == "f":
            # Python prints it to standard error where the caller has not set up logging.
            stored, range_ = rows.dtype.name, _BYTES[rows.dtype.name]
            _LOG.warning(
                "note: %s: %s becomes %s as it is, %s; is that what the model takes?", label, stored, dtype, range_
            )
        samples[name] = Samples(rows, shape, dtype)
    counts = {name: len(array) for name, array in samples.items()}
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"'{shown(name)}' {count}" for name, count in counts.items())
        raise UserError(f"{path}: the inputs have different numbers of samples ({listed})")
    return samples


def stored_form(path: str | os.PathLike, inputs: Inputs) -> Dict[str, Tuple[str, Tuple[int, ...]]]:
    """{input name: (dtype, shape with all samples) as it stands in the file}; the dtypes and shapes of `inputs` do not
    matter. Raises `UserError` for a missing file or key."""
    arrays = _open(Path(path), inputs)
    return {name: (array.dtype.name, array.shape) for (name, _, _), (array, _) in zip(inputs, arrays)}


def array_names(path: str | os.PathLike) -> List[str]:
    """The names of the arrays of an .npz or a folder; none of a .npy. `UserError` for what cannot be read."""
    if Path(path).is_dir():
        return [file.stem for file in sorted(Path(path).glob("*.npy"))]
    if not Path(path).exists():
        return []
    array = load_file(path)
    if isinstance(array, np.ndarray):
        return []
    with array:
        return list(array.files)


def holds(array: Tuple[int, ...], shape: Sequence[int]) -> bool:
    """Whether an array of shape `array` is one sample of `shape` or many."""
    shape = tuple(shape)
    inner = shape[1:] if shape[:1] == (1,) else None
    return array in (shape, inner) or array[1:] in (shape, inner)


def load_sample(path: str | os.PathLike, inputs: Inputs) -> Dict[str, np.ndarray]:
    """{input name: array of its shape} of the one sample in `path` (a file with more samples is refused)."""
    return only_sample(path, load_samples(path, inputs))


def only_sample(path: str | os.PathLike, samples: Mapping[str, Sequence[np.ndarray]]) -> Dict[str, np.ndarray]:
    """The one sample of what was loaded from `path`; `UserError` where there are more."""
    for name, array in samples.items():
        if len(array) != 1:
            raise UserError(
                f"{path}: has {len(array)} samples of input '{shown(name)}', one is needed; "
                "save one of them, e.g. np.save('sample.npy', samples[:1])"
            )
    return {name: array[0] for name, array in samples.items()}


# --- files ------------------------------------------------------------------------------------------------


def _open(path: Path, inputs: Inputs) -> List[Tuple[np.ndarray, str]]:
    """(array, its name in messages) for each input."""
    if not path.exists():
        raise UserError(f"{path}: no such file; give the samples as a .npy file (.npz or folder for several inputs)")
    names = [name for name, _, _ in inputs]
    if path.is_dir():
        return _open_folder(path, names)
    array = load_file(path)
    if isinstance(array, np.ndarray):
        if len(names) > 1:
            listed = ", ".join(f"'{shown(name, 30)}'" for name in names)
            raise UserError(
                f"{path}: is one array, the model has {len(names)} inputs ({listed}); give an .npz, or a folder of "
                ".npy files, keyed by input name"
            )
        return [(array, str(path))]
    with array:
        return [(_member(array, path, name, only=len(names) == 1), f"{path}[{shown(name, 30)}]") for name in names]


def load_file(path: str | os.PathLike):
    """The array (mapped) or archive of a .npy or .npz file; `UserError` for whatever cannot be read as one."""
    try:
        with open(path, "rb") as file:
            magic = file.read(6)
        if magic[:2] == b"PK":
            return np.load(path, allow_pickle=False)
        if magic != b"\x93NUMPY":
            raise UserError(f"{path}: is not a .npy or .npz file; write it with numpy.save{_OF_PICTURES}")
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except UserError:
        raise
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})")
    except Exception as error:
        raise _damaged(str(path), error)


def _damaged(label: str, error: Exception) -> UserError:
    """The error for a file that NumPy cannot read: for damaged files NumPy, zipfile, zlib and tokenize raise many kinds
    of exceptions."""
    if "allow_pickle" in str(error) or "Python object" in str(error):
        return UserError(f"{label}: holds Python objects, not numbers; save it as an array of float32")
    why = one_line(str(error), 120) or type(error).__name__
    return UserError(f"{label}: is damaged or cut off ({why}); write it again with numpy.save or numpy.savez")


def _open_folder(path: Path, names: List[str]) -> List[Tuple[np.ndarray, str]]:
    found = []
    for name in names:
        file = _file_for(path, name)
        if file is None and len(names) == 1:
            files = sorted(path.glob("*.npy"))
            file = files[0] if len(files) == 1 else None
        if file is None:
            hint = "" if any(path.glob("*.npy")) else _OF_PICTURES
            raise UserError(
                f"{path}: has no file '{file_stem(name, 'input')}.npy' for the model's input '{shown(name)}'{hint}"
            )
        array = load_file(file)
        if not isinstance(array, np.ndarray):
            raise UserError(f"{file}: is an .npz; a folder of samples holds .npy files")
        found.append((array, str(file)))
    return found


def _file_for(folder: Path, name: str) -> Optional[Path]:
    """`<name>.npy`, or a safe file name made from the name; it never leads out of the folder."""
    stems = [name] if name and not set(name) & set("/\\\0") and len(name.encode()) < 240 else []
    for stem in [*stems, file_stem(name, "input")]:
        file = folder / f"{stem}.npy"
        if file.is_file():
            return file
    return None


def _member(archive, path: Path, name: str, only: bool) -> np.ndarray:
    key = name if name in archive.files else archive.files[0] if only and len(archive.files) == 1 else None
    if key is None:
        keys = ", ".join(f"'{shown(k, 30)}'" for k in archive.files[:8]) or "nothing"
        raise UserError(f"{path}: has no array for the model's input '{shown(name)}' (it has {keys})")
    return load_member(archive, path, key)


def load_member(archive, path: str | os.PathLike, key: str) -> np.ndarray:
    """The array `key` of an archive that `load_file` opened; `UserError` for whatever is none."""
    label = f"{path}: '{shown(key)}'"
    try:
        array = archive[key]
    except Exception as error:
        raise _damaged(label, error)
    if not isinstance(array, np.ndarray):  # NumPy gives the bytes of a member that does not begin as a .npy.
        raise UserError(f"{label}: is no array; write the archive with numpy.savez")
    return array


# --- checks -----------------------------------------------------------------------------------------------


def _rows(array: np.ndarray, shape: Tuple[int, ...], label: str, name: str) -> np.ndarray:
    """`array` with a first axis that counts samples."""
    if array.size == 0:
        raise UserError(f"{label}: is empty (shape {list(array.shape)}); at least one sample is needed")
    with_batch = array.shape[1:] == shape
    # [N, C, H, W] for an input [1, C, H, W]: N samples without the batch axis.
    without_batch = len(shape) > 0 and shape[0] == 1 and array.shape[1:] == shape[1:] and array.ndim == len(shape)
    if with_batch or without_batch:
        return array
    if array.shape == shape or (shape[:1] == (1,) and array.shape == shape[1:]):
        return array.reshape(1, *array.shape)
    wanted = ["N", *(shape[1:] if shape[:1] == (1,) else shape)]
    raise UserError(
        f"{label}: has shape {list(array.shape)}, input '{shown(name)}' of shape {list(shape)} "
        f"needs [{', '.join(map(str, wanted))}] for N samples{_layout_hint(array.shape, shape)}"
    )


def _layout_hint(given: Tuple[int, ...], shape: Tuple[int, ...]) -> str:
    """The advice for images that are channels last where the model takes channels first, or the other way round."""
    if len(shape) == 4 and len(given) == 4:
        for axes, what in (((0, 3, 1, 2), "channels last"), ((0, 2, 3, 1), "channels first")):
            if tuple(given[axis] for axis in axes[1:]) == shape[1:]:
                return f"; they lie {what}, the model's input does not: save samples.transpose{axes}"
    return ""


def _check_dtype(array: np.ndarray, dtype: str, label: str) -> None:
    kind, wanted = array.dtype.kind, np.dtype(dtype)
    if kind not in "fiu" and not (kind == "b" and wanted.kind == "b"):
        raise UserError(f"{label}: holds {array.dtype}, the model's input is {dtype}; save it as {dtype}")
    if kind == "f" and wanted.kind != "f":
        raise UserError(f"{label}: holds {array.dtype}, the model's input is {dtype}; save it as {dtype}")


def _check_values(array: np.ndarray, dtype: str, label: str) -> None:
    """Refuse NaN, infinity and values that the model's dtype cannot hold; checked block by block."""
    wanted = np.dtype(dtype)
    if wanted.kind == "b":
        return
    if wanted.kind == "f":
        low, high = -_LARGEST, _LARGEST
        if array.dtype.kind in "iu":
            # Larger integers would silently be rounded.
            low, high = -(2**24), 2**24
    else:
        low, high = np.iinfo(wanted).min, np.iinfo(wanted).max
    rows = max(1, _BLOCK_BYTES // max(1, array[0].nbytes))
    for start in range(0, len(array), rows):
        block = np.asarray(array[start : start + rows])
        if block.dtype.kind == "f" and not np.isfinite(block).all():
            bad = np.argwhere(~np.isfinite(block.reshape(len(block), -1)))[0]
            value = block.reshape(len(block), -1)[tuple(bad)]
            raise UserError(f"{label}: sample {start + int(bad[0])} has a value that is {value}; remove or repair it")
        if block.min() < low or block.max() > high:
            worst = block.min() if block.min() < low else block.max()
            if block.dtype.kind == "f":
                raise UserError(f"{label}: the value {worst} is beyond {high:g}; check how the samples were prepared")
            raise UserError(f"{label}: the value {worst} does not fit the model's {dtype}; save it as {dtype}")
        del block
        _forget(array)
