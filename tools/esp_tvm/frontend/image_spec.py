"""What an image model's input is made of: the YAML beside the model."""

from __future__ import annotations

import os
from dataclasses import dataclass
from fractions import Fraction
from typing import Optional, Tuple

import numpy as np

from .. import arithmetic
from .fields import Fields, read_yaml

LAYOUTS = ("NCHW", "NHWC")
CHANNELS = {"RGB": (0, 1, 2), "BGR": (2, 1, 0), "gray": (0,)}
RESIZE = ("nearest", "bilinear", "area")
FIT = ("stretch", "crop", "pad")
# Camera formats and their bytes per pixel. be, le: byte order of the 16 bits of a pixel, red in the highest bits.
FORMATS = {"rgb565_be": 2, "rgb565_le": 2, "rgb888": 3, "bgr888": 3, "gray8": 1}
# Sums of pixels times weights stay within 32 bits.
MAX_SIDE = 4096
MAX_FRAME_PIXELS = 1 << 23


@dataclass(frozen=True)
class Camera:
    """The board's frames: pixels per row, rows, and the formats to generate C for."""

    width: int
    height: int
    formats: Tuple[str, ...]


@dataclass(frozen=True)
class ImageSpec:
    """Pixels 0..255 to the model's input: `(pixel * scale - mean[c]) / std[c]`.

    width, height, layout: of the model's input. channels: RGB, BGR or gray, the order of mean and std
    resize, fit, pad: how a picture of another size gets there; pad is red, green, blue of the border
    labels: names of the model's classes, empty where none are given
    """

    label: str
    name: Optional[str]
    width: int
    height: int
    layout: str
    channels: str
    scale: Fraction
    mean: Tuple[Fraction, ...]
    std: Tuple[Fraction, ...]
    resize: str
    fit: str
    pad: Tuple[int, int, int]
    camera: Optional[Camera]
    labels: Tuple[str, ...] = ()

    @property
    def depth(self) -> int:
        return len(CHANNELS[self.channels])

    @property
    def shape(self) -> Tuple[int, ...]:
        """Of the model's input, with a batch of 1."""
        plane = (self.height, self.width)
        return (1, self.depth, *plane) if self.layout == "NCHW" else (1, *plane, self.depth)

    def float_table(self) -> np.ndarray:
        """float32 [channels, 256]: the model's input value of each pixel value, rounded once."""
        rows = [
            [float((pixel * self.scale - mean) / std) for pixel in range(256)] for mean, std in zip(self.mean, self.std)
        ]
        return np.array(rows, np.float64).astype(np.float32)

    def int8_table(self, exponent: int) -> np.ndarray:
        """int8 [channels, 256]: what the model's quantize makes of `float_table`; worth 2^exponent each."""
        return arithmetic.quantize(self.float_table(), exponent=exponent)


def load_image_spec(path: str | os.PathLike) -> ImageSpec:
    """Read and check the YAML file `path`; docs/image-input.md documents its keys."""
    fields = read_yaml(path)
    channels = fields.choice("channels", tuple(CHANNELS), "RGB")
    depth = len(CHANNELS[channels])
    spec = ImageSpec(
        label=fields.label,
        name=_name(fields),
        width=fields.whole("width", 1, MAX_SIDE),
        height=fields.whole("height", 1, MAX_SIDE),
        layout=fields.choice("layout", LAYOUTS),
        channels=channels,
        scale=fields.number("scale", positive=True),
        mean=fields.numbers("mean", depth),
        std=fields.numbers("std", depth, positive=True),
        resize=fields.choice("resize", RESIZE, "area"),
        fit=fields.choice("fit", FIT, "stretch"),
        pad=_colour(fields),
        camera=_camera(fields),
        labels=fields.words("labels") if fields.has("labels") else (),
    )
    fields.done()
    if not np.isfinite(spec.float_table()).all():
        raise fields.fail("std", "with this scale, mean and std input values do not fit float32")
    return spec


def _name(fields: Fields) -> Optional[str]:
    value = fields.raw("input", None)
    if value is not None and (not isinstance(value, str) or not value):
        raise fields.fail("input", "is not the name of a model's input (put it in quotes)")
    return value


def _colour(fields: Fields) -> Tuple[int, int, int]:
    value = fields.raw("pad", [0, 0, 0])
    whole = isinstance(value, list) and all(isinstance(v, int) and not isinstance(v, bool) for v in value)
    if not whole or len(value) != 3 or not all(0 <= v <= 255 for v in value):
        raise fields.fail("pad", "is not a colour: three whole numbers from 0 to 255, red, green, blue")
    return tuple(value)


def _camera(fields: Fields) -> Optional[Camera]:
    group = fields.group("camera")
    if group is None:
        return None
    camera = Camera(
        group.whole("width", 1, MAX_SIDE),
        group.whole("height", 1, MAX_SIDE),
        group.choices("formats", tuple(FORMATS)),
    )
    group.done()
    if camera.width * camera.height > MAX_FRAME_PIXELS:
        raise fields.fail("camera", f"frames have more than {MAX_FRAME_PIXELS} pixels; no chip has room for them")
    return camera
