#!/usr/bin/env python3
"""Draw pictures of shapes on textured backgrounds, and say where each shape is.

Discs, squares and triangles of any colour, turned at random, plain or shaded; behind them clouds, stripes, tiles and
slopes of colour, and lines and rings that are no shapes. Writes <out>/train/ and <out>/test/: PNG and JPEG pictures of
160x120 pixels, and boxes.json: {file: [[left, top, right, bottom, label], ...]} in pixels, the right and lower edges
outside. The pictures are always the same; those of the two folders come from different random numbers.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "tools"))

from esp_tvm import cli  # noqa: E402
from esp_tvm.files import whole_folder  # noqa: E402

WIDTH, HEIGHT = 160, 120
# The diameter of the circle around a shape in pixels, and how many shapes are in a picture.
SMALLEST, LARGEST, MOST = 24, 80, 5
COUNTS = {"train": 64, "test": 100}
# Corners of each label's shape; a disc has so many that they cannot be seen.
CORNERS = {"disc": 48, "square": 4, "triangle": 3}
# Masks are drawn this much larger and reduced, so that edges are smooth.
FINER = 4


class Scenes:
    """A source of pictures for `side`, train or test."""

    def __init__(self, side, seed):
        self.rng = np.random.default_rng([seed, side == "test"])

    def draw(self):
        """(uint8 [HEIGHT, WIDTH, 3], boxes [n, 5]: left, top, right, bottom in pixels, the label's index)."""
        picture = self._background()
        for _ in range(int(self.rng.integers(0, 4))):
            self._clutter(picture)
        boxes, wanted = [], int(self.rng.integers(0, MOST + 1))
        for _ in range(4 * wanted):
            if len(boxes) < wanted:
                self._add(picture, boxes)
        noise = self.rng.normal(0, self.rng.uniform(0, 8), picture.shape)
        return (picture + noise).clip(0, 255).astype(np.uint8), np.array(boxes, np.float32).reshape(-1, 5)

    def _background(self):
        """float64 [HEIGHT, WIDTH, 3]: two colours, mixed by a pattern, and clouds over them."""
        first, second = self.rng.uniform(20, 235, 3), self.rng.uniform(-60, 60, 3)
        mixed = first + second * self._pattern()[:, :, None]
        return mixed + self._clouds(int(self.rng.integers(3, 9))) * self.rng.uniform(5, 30)

    def _pattern(self):
        """[HEIGHT, WIDTH] of 0..1: a slope, stripes, tiles or clouds."""
        y, x = np.mgrid[:HEIGHT, :WIDTH] / WIDTH
        turn, steps = self.rng.uniform(0, 2 * np.pi), self.rng.uniform(3, 16)
        along, across = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
        kind = int(self.rng.integers(4))
        if kind == 0:
            return along * 0.5 + 0.5
        if kind == 1:
            return np.sin(along * steps * 2 * np.pi) * 0.5 + 0.5
        if kind == 2:
            return (np.floor(along * steps) + np.floor(across * steps)) % 2
        return self._clouds(int(self.rng.integers(4, 20)))[:, :, 0] * 0.5 + 0.5

    def _clouds(self, cells):
        """[HEIGHT, WIDTH, 3] of about -1..1: random colours of a coarse grid, enlarged smoothly."""
        from PIL import Image

        grid = self.rng.uniform(0, 255, (cells * HEIGHT // WIDTH + 2, cells + 2, 3)).astype(np.uint8)
        return np.asarray(Image.fromarray(grid).resize((WIDTH, HEIGHT), Image.BICUBIC)) / 127.5 - 1

    def _clutter(self, picture):
        """A line or a ring: neither is a shape to be found."""
        from PIL import Image, ImageDraw

        image = Image.new("L", (WIDTH, HEIGHT))
        pen, thick = ImageDraw.Draw(image), int(self.rng.integers(1, 4))
        x, y = self.rng.integers(0, WIDTH, 2).tolist(), self.rng.integers(0, HEIGHT, 2).tolist()
        if self.rng.random() < 0.5:
            pen.line((x[0], y[0], x[1], y[1]), fill=255, width=thick)
        else:
            size = int(self.rng.integers(8, 30))
            pen.ellipse((x[0] - size, y[0] - size, x[0] + size, y[0] + size), outline=255, width=thick)
        _paint(picture, np.asarray(image) / 255, self.rng.uniform(0, 255, 3))

    def _add(self, picture, boxes):
        """A shape at a random place where no other one is, or none."""
        label = int(self.rng.integers(len(CORNERS)))
        corners = self._corners(list(CORNERS.values())[label])
        width, height = corners.max(0)
        if width > WIDTH - 2 or height > HEIGHT - 2:
            return
        left, top = self.rng.uniform(1, WIDTH - 1 - width), self.rng.uniform(1, HEIGHT - 1 - height)
        box = [int(left + 0.5), int(top + 0.5), int(left + width + 0.5), int(top + height + 0.5), label]
        if any(box[0] < b[2] + 2 and b[0] < box[2] + 2 and box[1] < b[3] + 2 and b[1] < box[3] + 2 for b in boxes):
            return
        mask = _mask(corners + (left, top))
        behind = picture[mask > 0.5].mean(0)
        ink = self._ink(behind)
        if self.rng.random() < 0.5:
            ink = ink + self._clouds(int(self.rng.integers(2, 8))) * 20
        _paint(picture, mask, ink)
        boxes.append(box)

    def _corners(self, count):
        """[count, 2] of x, y from 0 on: a regular polygon, turned at random and a little longer one way."""
        angles = np.arange(count) * 2 * np.pi / count + self.rng.uniform(0, 2 * np.pi)
        radius = np.exp(self.rng.uniform(np.log(SMALLEST), np.log(LARGEST))) / 2
        corners = np.stack([np.cos(angles), np.sin(angles)], -1) * radius * self.rng.uniform(0.85, 1, 2)
        return corners - corners.min(0)

    def _ink(self, behind):
        """A colour that differs from the mean of what is behind it."""
        while True:
            colour = self.rng.uniform(0, 255, 3)
            if np.abs(colour - behind).max() >= 90:
                return colour


def _mask(corners):
    """[HEIGHT, WIDTH]: how much of each pixel is inside."""
    from PIL import Image, ImageDraw

    image = Image.new("L", (WIDTH * FINER, HEIGHT * FINER))
    ImageDraw.Draw(image).polygon([tuple(corner) for corner in (corners * FINER).tolist()], fill=255)
    return np.asarray(image.resize((WIDTH, HEIGHT), Image.BOX)) / 255


def _paint(picture, mask, ink):
    picture += (ink - picture) * mask[:, :, None]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", required=True, type=Path, help="folder to write; an earlier one is replaced")
    args = parser.parse_args()

    from PIL import Image

    with whole_folder(args.out) as folder:
        for side, count in COUNTS.items():
            scenes, boxes = Scenes(side, seed=19), {}
            (folder / side).mkdir(parents=True)
            for i in range(count):
                pixels, found = scenes.draw()
                name = f"{i:03}.{'jpg' if i % 2 else 'png'}"
                Image.fromarray(pixels).save(folder / side / name, **({"quality": 90} if i % 2 else {}))
                boxes[name] = found.astype(int).tolist()
            (folder / side / "boxes.json").write_text(json.dumps(boxes) + "\n")
    print(f"{sum(COUNTS.values())} pictures in {args.out}")


if __name__ == "__main__":
    cli.run(main)
