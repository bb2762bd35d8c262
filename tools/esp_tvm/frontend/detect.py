"""A detector's project on this computer: pictures to boxes, by the generated C and by NumPy, drawn on the pictures."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import List, Optional, Sequence, Tuple, Union

import numpy as np

from ..errors import UserError
from ..run.host import HostProgram
from . import detections
from .c_text import COMPONENT
from .detection import Box, find_boxes, in_frame, levels_of
from .detection_c import outputs_of
from .detection_host import DetectionCase, DetectionProgram
from .image import Geometry, find_pictures, geometry, int8_input, read_picture
from .image_spec import ImageSpec, load_image_spec
from .interface import layout_in
from .landmarks import Point, landmarks_of, point_in_frame

# What is drawn is this large at least, for small pictures.
DRAWN_WIDTH = 480
# One colour for each class, in turn: they differ from each other and from most photographs.
COLOURS = ("#ff3b30", "#34c759", "#0a84ff", "#ffd60a", "#bf5af2", "#ff9f0a", "#64d2ff", "#ff6482", "#a2ff5a", "#ffffff")


Landmarks = Tuple[Point, ...]


@dataclass(frozen=True)
class Found:
    """A box in a picture: left, top, right, bottom in its pixels (the right and lower ones outside), and 0..1.

    points: its landmarks, each the x, y of a pixel and how visible it is, 0..1
    """

    edges: Tuple[int, int, int, int]
    score: float
    label: int
    points: Tuple[detections.PointInPicture, ...] = ()

    def name(self, names: Sequence[str]) -> str:
        """Of its class; the number where classes have no names."""
        return names[self.label] if names else str(self.label)

    def text(self, names: Sequence[str]) -> str:
        name = self.name(names)
        left, top, right, bottom = self.edges
        text = f"{name} {int(self.score * 100)} % from {left},{top} to {right},{bottom}"
        return text + (f", landmarks {detections.landmarks_text(self.points)}" if self.points else "")


class Detector:
    """An exported project with the key `detection` in its YAML, compiled for this machine in the folder `build`."""

    def __init__(self, project: Path, spec: ImageSpec, build: Path, sanitize: bool = False):
        if spec.detection is None:
            raise UserError(f"{spec.label}: detection: is missing; say what the model's outputs mean")
        if not (project / COMPONENT / "src/detection.c").is_file():
            raise UserError(_no_detector(project, spec.label))
        self.spec, self.program = spec, HostProgram(project)
        (self._input,) = self.program.inputs
        self._ports = self.program.outputs
        self._levels = levels_of(spec.detection, spec.label, spec.width, spec.height, outputs_of(self._ports))
        landmarks = spec.detection.landmarks.points if spec.detection.landmarks else 0
        self._c = DetectionProgram([DetectionCase(project / COMPONENT, self._ports, landmarks)], build, sanitize)

    def inputs(self, pictures: Sequence[np.ndarray]) -> np.ndarray:
        """int8 [N, *shape]: pictures, uint8 [height, width, 3] of any size, as the model's input."""
        port, layout = self._input, layout_in(self._input, self.spec.layout)
        made = [int8_input(pixels, self.spec, port.exponent, layout, port.zero_point) for pixels in pictures]
        return np.concatenate(made)

    def outputs(self, inputs: np.ndarray) -> List[List[np.ndarray]]:
        """The int8 outputs of the generated C for each of `inputs`, int8 [N, *shape of the model's input]."""
        results = self.program.run({self._input.name: inputs.reshape(len(inputs), *self._input.shape)})
        return [[results[port.name][n] for port in self._ports] for n in range(len(inputs))]

    def boxes(self, outputs: Sequence[Sequence[np.ndarray]]) -> List[List[Tuple[Box, Landmarks]]]:
        """The boxes of every picture in the model's input, each with its landmarks; a `UserError` if those of the C are
        not NumPy's."""
        assert self.spec.detection is not None
        found = []
        for number, (picture, computed) in enumerate(zip(outputs, self._c.run(outputs))):
            boxes = find_boxes(self.spec.detection, self._levels, self.spec.width, self.spec.height, picture)
            both = list(zip(boxes, landmarks_of(self.spec.detection, self._levels, boxes, picture)))
            if [_in_c(row) for row in computed] != both:
                raise UserError(
                    f"{self.program.project}: picture {number}: detection.c finds {len(computed)} boxes, NumPy "
                    f"{len(boxes)}, and they or their landmarks are not the same; export the project again"
                )
            found.append(both)
        return found

    def in_pictures(self, pictures: Sequence[np.ndarray]) -> List[List[Found]]:
        """What is found in pictures, uint8 [height, width, 3] of any size."""
        inputs = self.inputs(pictures)
        places = [geometry(self.spec, pixels.shape[1], pixels.shape[0]) for pixels in pictures]
        return [found_in(place, boxes) for place, boxes in zip(places, self.boxes(self.outputs(inputs)))]


def _no_detector(project: Path, spec: str) -> str:
    """That no detector was exported there, and what to type; make keeps them in OUT/board/new_project."""
    if project.parts[-2:] == ("board", "new_project"):
        files = f"SPEC={shlex.quote(spec)} SAMPLE=picture.jpg OUT={shlex.quote(str(project.parents[1]))}"
        command = f"make frontend MODEL=model.onnx CALIB=calib.npy {files}"
    else:
        files = f"--spec {shlex.quote(spec)} --model model_quant.onnx --sample picture.jpg"
        command = f"esp-tvm frontend export {files} --out {shlex.quote(str(project.parent))}"
    there = f"has no {COMPONENT}/src/detection.c" if project.is_dir() else "does not exist"
    return f"{project}: {there}; export the detector first: {command}"


def _in_c(row: np.void) -> Tuple[Box, Landmarks]:
    """A box of the C as `Detector.boxes` gives it."""
    points = row["points"] if "points" in row.dtype.names else ()
    box = Box(*map(int, (*row["edges"], row["score"], row["label"], row["index"])))
    return box, tuple(Point(*map(int, point)) for point in points)


def found_in(place: Geometry, boxes: Sequence[Tuple[Box, Landmarks]]) -> List[Found]:
    """Boxes in the model's input as they are in the picture that `place` has put there."""
    return [
        Found(
            in_frame(place, box),
            box.score / 32768,
            box.label,
            tuple((*point_in_frame(place, point), point.visible / 32768) for point in points),
        )
        for box, points in boxes
    ]


def draw(pixels: np.ndarray, found: Sequence[Found], names: Sequence[str]) -> np.ndarray:
    """uint8 [height, width, 3]: the picture, enlarged by a whole number if it is small, with its boxes and the
    landmarks that can be seen."""
    from PIL import Image, ImageDraw

    scale = max(1, DRAWN_WIDTH // pixels.shape[1])
    image = Image.fromarray(pixels).resize((pixels.shape[1] * scale, pixels.shape[0] * scale), Image.NEAREST)
    pen, width = ImageDraw.Draw(image), max(2, image.width // 240)
    for each in found:
        left, top, right, bottom = (edge * scale for edge in each.edges)
        colour = COLOURS[each.label % len(COLOURS)]
        pen.rectangle((left, top, max(right - 1, left), max(bottom - 1, top)), outline=colour, width=width)
        text = f"{each.name(names)} {int(each.score * 100)} %"
        box = pen.textbbox((left + width, max(top - 12, 0)), text)
        pen.rectangle((box[0] - 2, box[1] - 1, box[2] + 2, box[3] + 1), fill="black")
        pen.text((left + width, max(top - 12, 0)), text, fill=colour)
        for x, y, visible in each.points:
            if visible >= detections.VISIBLE:
                # The middle of the pixel, a dot with a rim that shows on every ground.
                x, y = (x * 2 + 1) * scale // 2, (y * 2 + 1) * scale // 2
                pen.ellipse((x - width, y - width, x + width, y + width), fill=colour, outline="black")
    return np.asarray(image)


def keep(
    detector: Detector,
    names: Sequence[str],
    pictures: Sequence[np.ndarray],
    found: Sequence[Sequence[Found]],
    labels: Sequence[str],
) -> None:
    """Write detections.json beside the detector's project, for the report.

    names: of the pictures' files; pictures: uint8 [height, width, 3] each; found: what is in each; labels: of its
    classes
    """
    program = detector.program
    shown = detections.kept_with_pictures([len(boxes) for boxes in found])
    rows = []
    for number, (name, pixels, boxes) in enumerate(zip(names, pictures, found)):
        jpeg = detections.jpeg_of(draw(pixels, boxes, labels)) if number in shown else ""
        row = [_noted(box, labels) for box in boxes]
        rows.append(detections.FoundInPicture(name=name, boxes=row, jpeg=jpeg))
    whole = detections.Detections(model_hash=program.program.model_hash, pictures=rows)
    detections.write(detections.detections_of(program.project), whole)


def _noted(box: Found, labels: Sequence[str]) -> detections.FoundBox:
    points = tuple((x, y, round(visible, 5)) for x, y, visible in box.points)
    return detections.FoundBox(label=box.name(labels), score=round(box.score, 4), edges=box.edges, landmarks=points)


def detect(
    project: str | os.PathLike,
    spec_path: str,
    paths: Sequence[str],
    out: Optional[str],
    second: Optional[Tuple[str | os.PathLike, str]] = None,
) -> List[List[Found]]:
    """Print what the project finds in pictures (or folders of them), and draw it into the folder `out`.

    second: project and YAML of a detector that looks at each of the boxes again
    Also writes detections.json beside the project, which the report shows.
    """
    from PIL import Image

    from .project import temporary_folder
    from .second_stage import TwoStages

    spec, files = load_image_spec(spec_path), find_pictures(paths)
    pictures = [read_picture(path) for path in files]
    with temporary_folder() as folder:
        detector = Detector(Path(project), spec, Path(folder))
        finder: Union[Detector, TwoStages] = detector
        if second is not None:
            spec = load_image_spec(second[1])
            (Path(folder) / "second").mkdir()
            finder = TwoStages(detector, Detector(Path(second[0]), spec, Path(folder) / "second"))
        found = finder.in_pictures(pictures)
    keep(detector, [path.name for path in files], pictures, found, spec.labels)
    for number, (path, pixels, boxes) in enumerate(zip(files, pictures, found)):
        print(f"{path}: " + ("; ".join(each.text(spec.labels) for each in boxes) or "nothing"))
        if out is not None:
            Path(out).mkdir(parents=True, exist_ok=True)
            Image.fromarray(draw(pixels, boxes, spec.labels)).save(Path(out) / f"{number:03}_{path.stem}.png")
    print(f"{sum(map(len, found))} boxes in {len(files)} pictures, the same by detection.c and by NumPy")
    return found
