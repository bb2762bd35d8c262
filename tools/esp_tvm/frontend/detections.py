"""What a detector found in pictures, as detections.json beside its project holds it; the report shows it."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import List, Optional, Sequence, Tuple

import numpy as np
from pydantic import Field, ValidationError
from typing_extensions import Annotated

from ..files import write_text
from ..record import Record

FORMAT = "esp_tvm.detections.1"
FILE_NAME = "detections.json"
# So many pictures are kept with what is drawn on them.
SHOWN = 6
# So visible is a landmark at least that is shown.
VISIBLE = 0.5
_QUALITY, _WIDEST = 85, 640


Share = Annotated[float, Field(ge=0, le=1)]
# Of a landmark: x, y of a pixel of the picture, and how visible it is.
PointInPicture = Tuple[int, int, Share]


def landmarks_text(points: Sequence[PointInPicture]) -> str:
    """x,y of those that can be seen, - for the others; as the application of the example prints them."""
    return " ".join(f"{x},{y}" if visible >= VISIBLE else "-" for x, y, visible in points)


class FoundBox(Record):
    """label: of the class, its number where it has no name; score: 0..1; edges: left, top, right, bottom in pixels of
    the picture, the right and lower ones outside; landmarks: in the order of the model."""

    label: str
    score: Share
    edges: Tuple[int, int, int, int]
    landmarks: Tuple[PointInPicture, ...] = ()


class FoundInPicture(Record):
    """name: of the picture's file, without folders; jpeg: the picture with its boxes as a JPEG in base64, "" if it is
    not kept."""

    name: str
    boxes: List[FoundBox]
    jpeg: Annotated[str, Field(pattern=r"^[A-Za-z0-9+/]*=*$")] = ""


class Detections(Record):
    """model_hash: of the quantized model that the project was exported from; pictures in the order they were given."""

    format: str = FORMAT
    model_hash: str
    pictures: List[FoundInPicture]

    @property
    def count(self) -> int:
        """Of the boxes in all pictures."""
        return sum(len(picture.boxes) for picture in self.pictures)

    @property
    def has_landmarks(self) -> bool:
        return any(box.landmarks for picture in self.pictures for box in picture.boxes)


def detections_of(project: Path) -> Path:
    """Where detections.json of an exported project lies: beside its folder."""
    return project.resolve().parent / FILE_NAME


def kept_with_pictures(counts: Sequence[int]) -> List[int]:
    """The pictures that are kept as they were drawn: the first few with boxes. counts: of the boxes in each."""
    return [number for number, count in enumerate(counts) if count][:SHOWN]


def jpeg_of(pixels: np.ndarray) -> str:
    """For `FoundInPicture.jpeg`: uint8 [height, width, 3], made smaller where it is large."""
    from PIL import Image

    image, data = Image.fromarray(pixels), io.BytesIO()
    image.thumbnail((_WIDEST, _WIDEST))
    image.save(data, "JPEG", quality=_QUALITY)
    return base64.b64encode(data.getvalue()).decode("ascii")


def write(path: Path, detections: Detections) -> None:
    """Write detections.json, completely or not at all."""
    write_text(path, json.dumps(detections.model_dump(), indent=1, allow_nan=False) + "\n")


def read(path: Path) -> Optional[Detections]:
    """What `write` wrote, or None if the file is another."""
    try:
        detections = Detections.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None
    return detections if detections.format == FORMAT else None
