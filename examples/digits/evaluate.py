#!/usr/bin/env python3
"""Accuracy of the generated C on the whole test set, beside the float model's."""

import argparse
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "tools"))

from esp_tvm import cli  # noqa: E402


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--project", required=True, help="the folder new_project that export made")
    args = parser.parse_args()

    import onnxruntime

    from esp_tvm.run.host import HostProgram

    program = HostProgram(args.project)
    images, labels = np.load(HERE / "test.npy"), np.load(HERE / "test_labels.npy")
    session = onnxruntime.InferenceSession(str(HERE / "model.onnx"), providers=["CPUExecutionProvider"])
    expected = session.run(None, {"image": images})[0]
    computed = program.run({"image": images[:, None]})["probabilities"].reshape(len(images), -1)
    accuracy = {"float": (expected.argmax(1) == labels).mean(), "int8": (computed.argmax(1) == labels).mean()}
    agree = (expected.argmax(1) == computed.argmax(1)).mean()
    print(f"accuracy on {len(labels)} test images: float {accuracy['float']:.2%}, generated C {accuracy['int8']:.2%}")
    print(f"the same answer on {agree:.2%} of them")
    facts = program.program
    print(f"RAM: arena {facts.arena_bytes} bytes; flash: constants {facts.constant_bytes} bytes")
    if accuracy["int8"] < accuracy["float"] - 0.02:
        print("error: the quantized model lost more than 2 % of accuracy", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    cli.run(main)
