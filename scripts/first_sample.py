"""Prints the path of a file with one sample: `--input`, or `--output`, made of its first sample where it has many.

    python scripts/first_sample.py --model model_opt.onnx --input eval.npy --output input_sample.npz

`make run` and `make deploy` take many samples; the project that they export holds one.
"""

from __future__ import annotations

import argparse
import sys
import zipfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tools"))
from esp_tvm import cli  # noqa: E402
from esp_tvm.data import load_samples  # noqa: E402
from esp_tvm.files import whole_file  # noqa: E402
from esp_tvm.model import inputs_of, load_model  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="the ONNX model")
    parser.add_argument("--input", required=True, help="one sample or many")
    parser.add_argument("--output", required=True, help="the .npz to write, keyed by input name")
    arguments = parser.parse_args()
    samples = load_samples(arguments.input, inputs_of(load_model(arguments.model)))
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
