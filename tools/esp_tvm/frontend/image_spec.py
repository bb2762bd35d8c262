"""The description of an image model's input: the YAML beside the model."""

from __future__ import annotations

import os
from typing import Any, Dict, Optional, Tuple

import numpy as np
from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from typing_extensions import Annotated, Literal

from .. import arithmetic
from ..pixels import pixel_table
from .detection_spec import Detection
from .embedding import Embedding
from .fields import InputName, Labels, Positive, Spec, different, fault, load, numbers, positive, sequence, whole

CHANNELS = {"RGB": (0, 1, 2), "BGR": (2, 1, 0), "gray": (0,)}
# Camera formats and their bytes per pixel. be, le: byte order of the 16 bits of a pixel, red in the highest bits.
FORMATS = {"rgb565_be": 2, "rgb565_le": 2, "rgb888": 3, "bgr888": 3, "gray8": 1}
# Sums of pixels times weights stay within 32 bits.
MAX_SIDE = 4096
MAX_FRAME_PIXELS = 1 << 23

Side = whole(1, MAX_SIDE)
Byte = Annotated[int, Field(ge=0, le=255)]
Colour = sequence(Tuple[Byte, Byte, Byte], "is not a colour: three whole numbers from 0 to 255, red, green, blue")
Formats = Annotated[
    Tuple[Literal[tuple(FORMATS)], ...],
    Field(min_length=1),
    BeforeValidator(lambda value: tuple(value) if isinstance(value, list) else (value,)),
    AfterValidator(different),
]


def _depth(values: Dict[str, Any]) -> int:
    return len(CHANNELS[values.get("channels", "RGB")])


class Camera(Spec):
    """The board's frames: pixels per row, rows, and the formats to generate C for; parts: also of rectangles of them,
    which are known only when they are there."""

    width: Side
    height: Side
    formats: Formats
    parts: bool = False

    @model_validator(mode="after")
    def _fits_memory(self) -> Camera:
        if self.width * self.height > MAX_FRAME_PIXELS:
            raise fault(f"frames have more than {MAX_FRAME_PIXELS} pixels; no chip has room for them")
        return self


class ImageSpec(Spec):
    """Pixels 0..255 to the model's input: `(pixel * scale - mean[c]) / std[c]`.

    name: of the model's input, `input` in the YAML
    width, height, layout: of the model's input. channels: the order of mean and std
    resize, fit, pad: how a picture of another size is converted; pad is red, green, blue of the border
    labels: names of the model's classes, empty if none are given
    detection: what the outputs of a detector mean; embedding: which output is a descriptor
    """

    name: InputName = Field(None, alias="input")
    width: Side
    height: Side
    layout: Literal["NCHW", "NHWC"]
    channels: Literal[tuple(CHANNELS)] = "RGB"
    scale: Positive
    mean: numbers(_depth)
    std: numbers(_depth, positive)
    resize: Literal["nearest", "bilinear", "area"] = "area"
    fit: Literal["stretch", "crop", "pad"] = "stretch"
    pad: Colour = (0, 0, 0)
    camera: Optional[Camera] = None
    labels: Labels = ()
    detection: Optional[Detection] = None
    embedding: Optional[Embedding] = None

    @model_validator(mode="after")
    def _takes_parts(self) -> ImageSpec:
        if self.camera is not None and self.camera.parts and self.fit != "stretch":
            raise fault(f"camera.parts goes with fit: stretch, not with {self.fit}; the application chooses the part")
        return self

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
        return pixel_table(self.scale, self.mean, self.std)

    def int8_table(self, exponent: int, zero_point: int = 0) -> np.ndarray:
        """int8 [channels, 256]: what the model's quantize makes of `float_table`; q is worth
        (q - zero_point) * 2^exponent."""
        return arithmetic.quantize(self.float_table(), exponent=exponent, zero_point=zero_point)


def load_image_spec(path: str | os.PathLike) -> ImageSpec:
    """Read and check the YAML file `path`; docs/image-input.md documents its keys."""
    return load(ImageSpec, path)
