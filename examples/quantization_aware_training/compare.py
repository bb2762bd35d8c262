#!/usr/bin/env python3
"""Read the pictures with the float model and with the generated C of both projects; print how far off each is.

    scripts/in-env.sh python examples/quantization_aware_training/compare.py build/from_qat

Exits with 1 where training with fake quantization gained nothing over quantizing the trained model.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from gauges import degrees_off

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

from esp_tvm import cli  # noqa: E402


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", help="with float and quantized, each with eval.npy, labels.npy, new_project")
    folder = Path(parser.parse_args().folder)

    from esp_tvm.model import load_model, session
    from esp_tvm.run.host import HostProgram

    pictures, directions = np.load(folder / "float/eval.npy"), np.load(folder / "float/labels.npy")
    run = session(load_model(folder / "float/model.onnx")).run
    found = {"float (ONNX Runtime)": np.concatenate([run(None, {"picture": x[None]})[0] for x in pictures])}
    programs = (("float", "int8, quantized after training (generated C)"), ("quantized", "int8, trained (generated C)"))
    for name, what in programs:
        program = HostProgram(folder / name / "new_project")
        found[what] = program.run({"picture": pictures[:, None]})["direction"].reshape(len(pictures), 2)
    print(f"mean error of the angle on {len(pictures)} pictures that training and calibration did not see:")
    off = [degrees_off(values, directions) for values in found.values()]
    for what, degrees in zip(found, off):
        print(f"  {what:<46}{degrees:>5.2f} degrees")
    if off[2] >= off[1]:
        print("error: training with fake quantization gained nothing", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    cli.run(main)
