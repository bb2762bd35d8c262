#!/usr/bin/env python3
"""Accuracy of a classifier before and after: the float model, and the generated C on the same samples.

    scripts/in-env.sh python examples/accuracy.py build/from_pytorch

The folder has model.onnx, eval.npy, labels.npy and new_project. Exits with 1 where int8 lost more than 2 %.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools"))

from esp_tvm import cli  # noqa: E402

ALLOWED_LOSS = 0.02


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", help="with model.onnx, eval.npy, labels.npy, new_project")
    folder = Path(parser.parse_args().folder)

    from esp_tvm.data import load_samples
    from esp_tvm.model import inputs_of, load_model, outputs_of, session
    from esp_tvm.quantize.evaluation import load_labels
    from esp_tvm.run.host import HostProgram

    model = load_model(folder / "model.onnx")
    ((name, shape, _),) = inputs_of(model)
    output = outputs_of(model)[0][0]
    samples = load_samples(folder / "eval.npy", inputs_of(model))[name]
    labels = load_labels(folder / "labels.npy", len(samples))

    float_model = session(model)
    before = np.array([float_model.run([output], {name: x.reshape(shape)})[0].argmax() for x in samples])
    program = HostProgram(folder / "new_project")
    after = program.run({name: samples[:]})[output].reshape(len(samples), -1).argmax(1)

    right = {
        "float model (ONNX Runtime)": np.mean(before == labels),
        "int8 program (generated C)": np.mean(after == labels),
    }
    print(f"accuracy on {len(labels)} samples that training and calibration did not see:")
    for what, share in right.items():
        print(f"  {what:<28}{share:>8.2%}")
    print(f"  {'the same answer':<28}{np.mean(before == after):>8.2%}")
    size = (folder / "model.onnx").stat().st_size
    facts = program.program
    print(f"model.onnx {size} bytes; on the chip: constants {facts.constant_bytes}, arena {facts.arena_bytes} bytes")
    if np.mean(after == labels) < np.mean(before == labels) - ALLOWED_LOSS:
        print(f"error: int8 lost more than {ALLOWED_LOSS:.0%}; see docs/accuracy-dropped.md", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    cli.run(main)
