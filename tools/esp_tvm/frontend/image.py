"""Turns pictures and camera frames into a model's input with integers: the reference for the generated C.

The order of steps: pixels as 8-bit red, green, blue (RGB565 expanded by repeating its upper bits); gray, where the
model wants it; cut or bordered and resized by `fit` and `resize`; then one table per channel gives the input's value.
docs/image-input.md has the formulas.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import List, Sequence, Tuple

import numpy as np

from ..errors import UserError
from ..naming import one_line
from .image_spec import CHANNELS, FORMATS, Camera, ImageSpec

# Larger pictures are more likely a mistake, and decompress to a lot of memory.
MAX_PICTURE_PIXELS = 1 << 26
BILINEAR_BITS = 11
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm")


def read_picture(path: str | os.PathLike) -> np.ndarray:
    """uint8 [height, width, 3], red, green, blue, of the picture file `path` (its first frame), upright.

    Transparent pixels become black; 16-bit gray keeps its upper 8 bits.
    """
    from PIL import Image, ImageOps

    path = Path(path)
    try:
        with Image.open(path) as picture:
            if picture.width * picture.height > MAX_PICTURE_PIXELS:
                raise UserError(f"{path}: has {picture.width} x {picture.height} pixels; make it smaller first")
            picture = ImageOps.exif_transpose(picture)
            if picture.mode.startswith("I;16"):
                gray = (np.asarray(picture).astype(np.uint16) >> 8).astype(np.uint8)
                return np.repeat(gray[:, :, None], 3, axis=2)
            if picture.mode in ("I", "F"):
                raise UserError(f"{path}: has {picture.mode} pixels (32 bits); save it with 8 bits per channel")
            if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
                picture = picture.convert("RGBA")
                picture = Image.alpha_composite(Image.new("RGBA", picture.size, (0, 0, 0, 255)), picture)
            return np.array(picture.convert("RGB"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such picture")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"{path}: is not a picture that can be read ({one_line(str(error), 80)})")


# --- camera frames ----------------------------------------------------------------------------------------


def camera_picture(pixels: np.ndarray, camera: Camera) -> np.ndarray:
    """What a camera in front of the picture would see: its middle in the shape of the frame, enlarged or reduced."""
    height, width = pixels.shape[:2]
    part_height = min(height, width * camera.height // camera.width)
    part_width = min(width, height * camera.width // camera.height)
    y, x = (height - part_height) // 2, (width - part_width) // 2
    return resize(pixels[y : y + part_height, x : x + part_width], "bilinear", camera.width, camera.height)


def pack_frame(pixels: np.ndarray, form: str) -> np.ndarray:
    """Bytes of a camera frame, uint8 [height, width * bytes per pixel], of uint8 [height, width, 3] pixels.

    RGB565 keeps the upper bits. gray8: as a camera that gives brightness only.
    """
    height, width = pixels.shape[:2]
    if form.startswith("rgb565"):
        red, green, blue = (pixels[:, :, c].astype(np.uint16) for c in range(3))
        words = (red >> 3) << 11 | (green >> 2) << 5 | blue >> 3
        return words.astype(">u2" if form == "rgb565_be" else "<u2").view(np.uint8).reshape(height, 2 * width)
    if form == "gray8":
        return to_gray(pixels)[:, :, 0]
    return np.ascontiguousarray(pixels if form == "rgb888" else pixels[:, :, ::-1]).reshape(height, 3 * width)


def unpack_frame(frame: np.ndarray, form: str, width: int, height: int) -> np.ndarray:
    """uint8 [height, width, 3] pixels of a camera frame's bytes (any shape of the right size)."""
    data = np.ascontiguousarray(frame, dtype=np.uint8).reshape(height, width * FORMATS[form])
    if form.startswith("rgb565"):
        words = data.view(">u2" if form == "rgb565_be" else "<u2").astype(np.uint16)
        red, green, blue = words >> 11, words >> 5 & 63, words & 31
        pixels = [red << 3 | red >> 2, green << 2 | green >> 4, blue << 3 | blue >> 2]
        return np.stack(pixels, axis=2).astype(np.uint8)
    if form == "gray8":
        return np.repeat(data[:, :, None], 3, axis=2)
    pixels = data.reshape(height, width, 3)
    return pixels if form == "rgb888" else pixels[:, :, ::-1]


def to_gray(pixels: np.ndarray) -> np.ndarray:
    """uint8 [height, width, 1]: (77 red + 150 green + 29 blue + 128) >> 8; equal values stay as they are."""
    weights = np.array([77, 150, 29], np.int32)
    return ((pixels.astype(np.int32) @ weights + 128) >> 8).astype(np.uint8)[:, :, None]


# --- size -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Geometry:
    """The mapping of a rectangle of the source to one of the target (x, y, width, height)."""

    source: Tuple[int, int, int, int]
    target: Tuple[int, int, int, int]


def geometry(spec: ImageSpec, width: int, height: int) -> Geometry:
    """Of a picture of `width` x `height` pixels; uneven divisions are rounded as documented."""
    wide = width * spec.height > height * spec.width
    full = (0, 0, width, height)
    whole = (0, 0, spec.width, spec.height)
    if spec.fit == "crop":
        if wide:
            part = max(1, height * spec.width // spec.height)
            return Geometry(((width - part) // 2, 0, part, height), whole)
        part = max(1, width * spec.height // spec.width)
        return Geometry((0, (height - part) // 2, width, part), whole)
    if spec.fit == "pad":
        if wide:
            part = max(1, (height * spec.width + width // 2) // width)
            return Geometry(full, (0, (spec.height - part) // 2, spec.width, part))
        part = max(1, (width * spec.height + height // 2) // height)
        return Geometry(full, ((spec.width - part) // 2, 0, part, spec.height))
    return Geometry(full, whole)


@dataclass(frozen=True)
class Axis:
    """The weights of the source pixels for each target position along one axis: weights[i] of starts[i], starts[i] + 1,
    ...

    All weights of a position sum up to `total`.
    """

    starts: List[int]
    weights: List[List[int]]
    total: int


def axis(mode: str, source: int, target: int) -> Axis:
    """nearest, bilinear or area from `source` to `target` pixels, pixel centres at (i + 1/2)."""
    if mode == "nearest":
        return Axis([(2 * i + 1) * source // (2 * target) for i in range(target)], [[1]] * target, 1)
    if mode == "bilinear":
        one = 1 << BILINEAR_BITS
        starts, weights = [], []
        for i in range(target):
            position = ((2 * i + 1) * source - target) * (one // 2) // target
            position = min(max(position, 0), (source - 1) * one)
            start = min(position // one, max(source - 2, 0))
            part = position - start * one
            starts.append(start)
            weights.append([one - part, part] if source > 1 else [one])
        return Axis(starts, weights, one)
    divisor = int(np.gcd(source, target))
    span, step = source // divisor, target // divisor
    starts, weights = [], []
    for i in range(target):
        begin, end = i * span, (i + 1) * span
        first, last = begin // step, (end - 1) // step
        starts.append(first)
        weights.append([min(end, (j + 1) * step) - max(begin, j * step) for j in range(first, last + 1)])
    return Axis(starts, weights, span)


def resize(pixels: np.ndarray, mode: str, width: int, height: int) -> np.ndarray:
    """uint8 [height, width, channels] of uint8 [any, any, channels]: floor(weighted mean + 1/2), exactly."""
    across, down = axis(mode, pixels.shape[1], width), axis(mode, pixels.shape[0], height)
    sums = _along(_along(pixels.astype(np.int64), across, 1), down, 0)
    total = across.total * down.total
    return ((sums + total // 2) // total).astype(np.uint8)


def _along(values: np.ndarray, taps: Axis, dimension: int) -> np.ndarray:
    """Weighted sums along a dimension, the k-th neighbour of all positions at a time."""
    counts = [len(weights) for weights in taps.weights]
    result = 0
    for k in range(max(counts)):
        index = np.array([start + min(k, count - 1) for start, count in zip(taps.starts, counts)])
        weight = np.array([weights[k] if k < count else 0 for weights, count in zip(taps.weights, counts)])
        shape = [1] * values.ndim
        shape[dimension] = -1
        result = result + np.take(values, index, axis=dimension) * weight.reshape(shape)
    return result


# --- the model's input ------------------------------------------------------------------------------------


def prepare(pixels: np.ndarray, spec: ImageSpec) -> np.ndarray:
    """uint8 [height, width, channels] in the model's size and channel order, of uint8 [any, any, 3] pixels."""
    place = geometry(spec, pixels.shape[1], pixels.shape[0])
    channels = list(CHANNELS[spec.channels])
    border = np.array(spec.pad, np.uint8).reshape(1, 1, 3)
    pixels = to_gray(pixels) if spec.channels == "gray" else pixels[:, :, channels]
    border = to_gray(border) if spec.channels == "gray" else border[:, :, channels]
    x, y, width, height = place.source
    part = pixels[y : y + height, x : x + width]
    x, y, width, height = place.target
    result = np.repeat(np.repeat(border, spec.height, axis=0), spec.width, axis=1)
    result[y : y + height, x : x + width] = resize(part, spec.resize, width, height)
    return result


def _look_up(pixels: np.ndarray, table: np.ndarray, layout: str) -> np.ndarray:
    values = table[np.arange(table.shape[0]), pixels]
    return np.ascontiguousarray(values.transpose(2, 0, 1) if layout == "NCHW" else values)[None]


def float_input(pixels: np.ndarray, spec: ImageSpec) -> np.ndarray:
    """float32 of `spec.shape`: the float model's input for uint8 [any, any, 3] pixels. For training and calibration."""
    return _look_up(prepare(pixels, spec), spec.float_table(), spec.layout)


def int8_input(pixels: np.ndarray, spec: ImageSpec, exponent: int, layout: str, zero_point: int = 0) -> np.ndarray:
    """int8 with a batch of 1 in `layout`: the quantized model's input, q worth (q - zero_point) * 2^exponent.

    The same as in C.
    """
    return _look_up(prepare(pixels, spec), spec.int8_table(exponent, zero_point), layout)


def float_inputs(paths: Sequence[os.PathLike], spec: ImageSpec) -> np.ndarray:
    """float32 [N, ...]: the inputs for picture files."""
    return np.concatenate([float_input(read_picture(path), spec) for path in paths])


def find_pictures(paths: Sequence[str | os.PathLike]) -> List[Path]:
    """The picture files among `paths`; of folders all in them, at any depth, in the order of their names."""
    found: List[Path] = []
    for path in map(Path, paths):
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.is_file() and p.suffix.lower() in SUFFIXES)
            if not inside:
                raise UserError(f"{path}: has no pictures ({', '.join(SUFFIXES)})")
            found += inside
        elif path.is_file():
            found.append(path)
        else:
            raise UserError(f"{path}: no such picture or folder")
    if not found:
        raise UserError("no pictures are given; name files or folders")
    return found
