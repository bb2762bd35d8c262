"""detection.c of exported detectors compiled for this machine: for tests, and for runs together with the model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import List, Sequence

import numpy as np

from ..errors import UserError
from ..program.form import Port
from .host import compile_c, run_program

_CASE = """\
#define detection_model detection_model@number
#define detection_frame detection_frame@number
#include "@folder/include/detection_model.h"
#include "@folder/src/detection_model.c"

#include <stdio.h>
#include <stdlib.h>

void find@number(void)
{
    /* From the heap, of exactly their size: what reads or writes beyond is found. */
    detection_results_t *results = malloc(sizeof(*results));
    detection_t *boxes = malloc(DETECTION_CANDIDATES * sizeof(*boxes));
    while (results != NULL && boxes != NULL && @read) {
        const int32_t count = detection_find(&detection_model, results, boxes);
        fwrite(&count, sizeof(count), 1, stdout);
        for (int32_t i = 0; i < count; i++) {
            fwrite(&boxes[i], sizeof(*boxes), 1, stdout);
            @frame
            @points
        }
    }
    free(results);
    free(boxes);
}
"""
_FRAME = """\
const detection_rectangle_t inside = detection_in_frame(&detection_frame, &boxes[i]);
            fwrite(&inside, sizeof(inside), 1, stdout);"""
_POINTS = """\
detection_point_t *points = malloc(DETECTION_LANDMARKS * sizeof(*points));
            if (points != NULL) {
                detection_landmarks(&detection_model, results, &boxes[i], points);
                fwrite(points, sizeof(*points), DETECTION_LANDMARKS, stdout);
                @more
            }
            free(points);"""
_POINTS_IN_FRAME = """\
for (int32_t j = 0; j < DETECTION_LANDMARKS; j++) {
                    const detection_point_t there = detection_point_in_frame(&detection_frame, &points[j]);
                    fwrite(&there, sizeof(there), 1, stdout);
                }"""
_MAIN = """\
/* A picture's outputs from stdin, its boxes to stdout, again and again; the argument says by which model. */
#include <stdlib.h>

@declared

int main(int argc, char **argv)
{
    void (*const find[])(void) = {@finds};
    if (argc == 2) {
        find[atoi(argv[1])]();
    }
    return argc != 2;
}
"""


@dataclass(frozen=True)
class DetectionCase:
    """The component `folder` of a detector with the outputs `ports`, as its program has them, and `landmarks` a box.

    framed: whether it knows a camera's frame, to which boxes and landmarks are then mapped too
    """

    folder: Path
    ports: Sequence[Port]
    landmarks: int = 0
    framed: bool = False

    @property
    def row(self) -> np.dtype:
        """Of a box, as the host program writes it."""
        fields = [("edges", "<i4", 4), ("score", "<u2"), ("label", "<u2"), ("index", "<u4")]
        fields += [("frame", "<i4", 4)] if self.framed else []
        names = ("points", "points_in_frame") if self.framed else ("points",)
        return np.dtype([*fields, *((name, "<i4", (self.landmarks, 3)) for name in names if self.landmarks)])

    def source(self, number: int) -> str:
        """The C file that finds the boxes of this case in what comes from stdin."""
        read = " && ".join(f"fread(results->{port.c_name}, {port.bytes}, 1, stdin) == 1" for port in self.ports)
        points = _POINTS.replace("@more", _POINTS_IN_FRAME if self.framed else "") if self.landmarks else ""
        text = _CASE.replace("@number", str(number)).replace("@read", read)
        text = text.replace("@frame", _FRAME if self.framed else "").replace("@points", points)
        return text.replace("@folder", str(self.folder.resolve()))


class DetectionProgram:
    """detection.c with the detection_model.c of several detectors, compiled for this machine in `build`."""

    def __init__(self, cases: Sequence[DetectionCase], build: Path, sanitize: bool = False):
        self._types = [case.row for case in cases]
        sources = [build / "detection_driver.c", cases[0].folder / "src/detection.c"]
        numbers = range(len(cases))
        main = _MAIN.replace("@declared", "\n".join(f"void find{n}(void);" for n in numbers))
        sources[0].write_text(main.replace("@finds", ", ".join(f"find{n}" for n in numbers)), encoding="utf-8")
        for n, case in enumerate(cases):
            sources.append(build / f"detection_case{n}.c")
            sources[-1].write_text(case.source(n), encoding="utf-8")
        self._binary = compile_c(build / "detection_program", sources, [cases[0].folder / "include"], sanitize)

    def run(self, pictures: Sequence[Sequence[np.ndarray]], case: int = 0) -> List[np.ndarray]:
        """For the outputs of each picture its boxes, rows of `DetectionCase.row`: edges, score, label, index, points
        [landmarks, 3] of x, y, visible; in a frame's pixels `frame` and `points_in_frame`."""
        blobs = [np.ascontiguousarray(array, np.int8).tobytes() for picture in pictures for array in picture]
        data, position, found = run_program(self._binary, [str(case)], b"".join(blobs)), 0, []
        for _ in pictures:
            (count,) = np.frombuffer(data, "<i4", 1, position)
            found.append(np.frombuffer(data, self._types[case], count, position + 4))
            position += 4 + found[-1].nbytes
        if position != len(data):
            raise UserError("the host program of the detector wrote another number of boxes than it said")
        return found
