"""A second detector in the squares of the first: rectangles by C and NumPy, and both together on pictures."""

from __future__ import annotations

from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner
from detectors import FORMS, ports_of, written

from esp_tvm.cli import commands
from esp_tvm.errors import UserError
from esp_tvm.frontend.detect import Found
from esp_tvm.frontend.detection import Box, overlap, threshold
from esp_tvm.frontend.detection_c import emit_detection
from esp_tvm.frontend.host import compile_c, run_program, write_files
from esp_tvm.frontend.second_stage import TwoStages, part_of_frame, square

_DRIVER = """\
#include "detection_model.h"
#include <stdio.h>

int main(void)
{
    int32_t size[2];
    detection_rectangle_t of[2];
    while (fread(size, sizeof(size), 1, stdin) == 1 && fread(of, sizeof(of), 1, stdin) == 1) {
        const detection_rectangle_t at = detection_square(&of[0], size[0], size[1]);
        const detection_frame_t frame = detection_frame_of(&detection_model, &of[0]);
        const int32_t same = detection_same(&detection_model, &of[0], &of[1]);
        fwrite(&at, sizeof(at), 1, stdout);
        fwrite(&frame, sizeof(frame), 1, stdout);
        fwrite(&same, sizeof(same), 1, stdout);
    }
    return 0;
}
"""


def test_squares_parts_and_what_is_the_same_are_those_of_numpy(tmp_path):
    spec = written(tmp_path, FORMS["distances"][0])
    write_files(emit_detection(spec, ports_of(FORMS["distances"][1])), tmp_path)
    (tmp_path / "driver.c").write_text(_DRIVER)
    sources = [tmp_path / "driver.c", tmp_path / "src/detection.c", tmp_path / "src/detection_model.c"]
    program = compile_c(tmp_path / "program", sources, [tmp_path / "include"], sanitize=True)
    rng = np.random.default_rng(4)
    rows = [
        (50, 70, 0, 0, 50, 70, 0, 0, 50, 70),
        (50, 70, 9, 9, 9, 9, 9, 9, 10, 10),
        (50, 70, 49, 69, 50, 70, 0, 0, 1, 1),
    ]
    for _ in range(300):
        width, height = rng.integers(1, 200, 2)
        edges = [np.sort(rng.integers(0, side + 1, 2)) for side in (width, height, width, height)]
        rows.append((width, height, *(int(edges[i][k]) for j in (0, 2) for k in (0, 1) for i in (j, j + 1))))
    out = run_program(program, [], np.array(rows, "<i4").tobytes())
    same = []
    for (width, height, *both), row in zip(rows, np.frombuffer(out, "<i4").reshape(len(rows), -1)):
        a, b = tuple(map(int, both[:4])), tuple(map(int, both[4:]))
        place = part_of_frame(a, spec.width, spec.height)
        same.append(overlap(a, b, threshold(spec.detection.iou_threshold)))
        assert tuple(row) == (*square(a, width, height), *place.source, *place.target, same[-1])
    assert {True, False} == set(same)


def test_a_square_is_as_long_as_the_longer_side_and_stays_in_the_frame():
    assert square((10, 20, 20, 50), 100, 100) == (0, 20, 30, 50)
    assert square((60, 40, 90, 50), 100, 100) == (60, 30, 90, 60)
    assert square((90, 0, 100, 40), 100, 60) == (75, 0, 100, 40)
    assert square((5, 5, 5, 5), 100, 60) == (5, 5, 5, 5)


class Fake:
    """A detector whose boxes are given: in the picture, or in the model's input for each part."""

    def __init__(self, spec, found):
        self.spec, self.found, self.parts = spec, found, []

    def in_pictures(self, pictures):
        return self.found

    def inputs(self, parts):
        self.parts = [part.shape[:2] for part in parts]
        return parts

    def outputs(self, inputs):
        return inputs

    def boxes(self, outputs):
        return self.found[: len(outputs)]


def test_the_second_finds_each_thing_once_where_it_is_in_the_picture():
    detection = SimpleNamespace(iou_threshold=Fraction(1, 2))
    spec = SimpleNamespace(fit="stretch", label="second.yaml", width=10, height=10, detection=detection)
    first = Fake(
        None, [[Found((10, 10, 30, 30), 0.9, 0), Found((12, 10, 32, 30), 0.8, 0), Found((5, 5, 5, 5), 0.7, 0)], []]
    )
    inside = Box(16, 16, 144, 144, 30000, 0, 0)
    second = Fake(spec, [[(inside, ())], [(inside, ())]])
    found, nothing = TwoStages(first, second).in_pictures([np.zeros((60, 80, 3), np.uint8)] * 2)
    assert second.parts == [(20, 20), (20, 20)] and nothing == []
    assert [each.edges for each in found] == [(12, 12, 28, 28)]
    second.found = [[], [(inside, ())]]
    (found, _) = TwoStages(first, second).in_pictures([np.zeros((60, 80, 3), np.uint8)] * 2)
    assert [each.edges for each in found] == [(14, 12, 30, 28)], "what the second does not find is none"
    with pytest.raises(UserError, match="second.yaml: fit: pad is not for a second stage"):
        TwoStages(first, Fake(SimpleNamespace(fit="pad", label="second.yaml"), []))


@pytest.mark.parametrize("given", ["--second_spec", "--second_project"])
def test_both_or_none_of_the_second_are_named(given):
    words = ["frontend", "detect", "--spec", "x", "--project", "x", given, "y", "picture.png"]
    done = CliRunner().invoke(commands.esp_tvm, words)
    assert isinstance(done.exception, UserError)
    assert str(done.exception).startswith("--second_spec and --second_project go together")
