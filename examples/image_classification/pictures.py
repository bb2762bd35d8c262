#!/usr/bin/env python3
"""Cut the photographs of scikit-image and scikit-learn into pictures to train and test with.

Writes <out>/train/<class>/ and <out>/test/<class>/: pictures of 40 to 160 pixels a side, of any shape, in PNG, JPEG,
BMP, TIFF and WebP. Of each photograph, two of six vertical strips are for the test: no test pixel is trained on.
The pictures are always the same.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "tools"))

from esp_tvm import cli  # noqa: E402
from esp_tvm.errors import UserError  # noqa: E402
from esp_tvm.files import whole_folder  # noqa: E402

STRIPS = 6
# Neighbouring strips of the same side, as (first, last).
SIDES = {"train": [(0, 0), (2, 3), (5, 5)], "test": [(1, 1), (4, 4)]}
COUNTS = {"train": 120, "test": 30}
FORMATS = (("png", {}), ("jpg", {"quality": 90}), ("bmp", {}), ("tif", {}), ("webp", {"quality": 90}))
SMALLEST, LARGEST = 40, 160


def photographs(packages):
    """(class, path) of each photograph, in order of the classes."""
    for line in (HERE / "photographs.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            name, path = line.split()
            if not (packages / path).is_file():
                raise UserError(f"{packages / path}: is missing; 'make example-image' installs the packages")
            yield name, packages / path


def cut(picture, side, rng):
    """A random part of the strips that belong to `side`."""
    edges = [picture.width * i // STRIPS for i in range(STRIPS + 1)]
    first, last = SIDES[side][rng.integers(len(SIDES[side]))]
    left, right = edges[first], edges[last + 1]
    width = int(rng.integers(SMALLEST, min(LARGEST, right - left) + 1))
    height = int(rng.integers(max(SMALLEST, width * 2 // 3), min(LARGEST, picture.height, width * 3 // 2) + 1))
    x, y = int(rng.integers(left, right - width + 1)), int(rng.integers(0, picture.height - height + 1))
    return picture.crop((x, y, x + width, y + height))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--packages", required=True, type=Path, help="folder with skimage/ and sklearn/")
    parser.add_argument("--out", required=True, type=Path, help="folder to write; an earlier one is replaced")
    args = parser.parse_args()

    from PIL import Image

    rng = np.random.default_rng(10)
    sources = list(photographs(args.packages))
    with whole_folder(args.out) as folder:
        for name, path in sources:
            with Image.open(path) as file:
                picture = file.convert("RGB")
            for side, count in COUNTS.items():
                (folder / side / name).mkdir(parents=True)
                for i in range(count):
                    suffix, options = FORMATS[i % len(FORMATS)]
                    cut(picture, side, rng).save(folder / side / name / f"{i:03}.{suffix}", **options)
    print(f"{len(sources)} classes, {sum(COUNTS.values()) * len(sources)} pictures in {args.out}")


if __name__ == "__main__":
    cli.run(main)
