"""Prints the path of a file with one sample: `--input`, or `--output`, made from its first sample if it has many.

    python scripts/first_sample.py --model model_opt.onnx --input eval.npy --output input_sample.npz

`make run` and `make deploy` accept many samples; the project that they export contains one.
"""

from __future__ import annotations

import argparse
import sys
import zipfile
from pathlib import Path
from typing import Sequence, Tuple

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tools"))
from esp_tvm import cli  # noqa: E402
from esp_tvm.data import holds, load_samples, stored_form  # noqa: E402
from esp_tvm.files import whole_file  # noqa: E402
from esp_tvm.model import load_model  # noqa: E402
from esp_tvm.states import own_inputs  # noqa: E402


def _as_stored(name: str, shape: Sequence[int], dtype: str, stored: str, array: Tuple[int, ...]) -> tuple:
    """(name, shape, dtype) of a sample as it stands in the file: the program may take bytes, and images in another
    order of axes, where the model does not."""
    orders = [(0, 2, 3, 1), (0, 3, 1, 2)] if len(shape) == 4 else []
    shapes = [tuple(shape), *(tuple(shape[axis] for axis in order) for order in orders)]
    kept = stored if stored in ("int8", "uint8", "int16") else dtype
    return name, next((one for one in shapes if holds(array, one)), shapes[0]), kept


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="the ONNX model")
    parser.add_argument("--input", required=True, help="one sample or many")
    parser.add_argument("--output", required=True, help="the .npz to write, keyed by input name")
    arguments = parser.parse_args()
    inputs = own_inputs(load_model(arguments.model))
    stored = stored_form(arguments.input, inputs)
    samples = load_samples(arguments.input, [_as_stored(*one, *stored[one[0]]) for one in inputs])
    if all(len(array) == 1 for array in samples.values()):
        print(arguments.input)
        return
    # Not numpy.savez: it takes the names as Python keywords, and one input may be called 'file'.
    with whole_file(arguments.output) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, array in samples.items():
            with archive.open(f"{name}.npy", "w") as file:
                np.lib.format.write_array(file, array[0], allow_pickle=False)
    print(arguments.output)


if __name__ == "__main__":
    cli.run(main)
