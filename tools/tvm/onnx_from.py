#!/usr/bin/env python3
"""Convert a model of Keras, TensorFlow (Lite), PyTorch or scikit-learn to ONNX; check that both compute the same."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from esp_tvm import cli  # noqa: E402


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "model", help=".h5 .keras, a SavedModel's folder, .tflite, .pt (TorchScript), .pt2 (torch.export), .pkl .joblib"
    )
    parser.add_argument("--output", required=True, help="the ONNX model to write")
    parser.add_argument("--opset", type=int, default=13, help="13 (default) to 17")
    parser.add_argument(
        "--shape",
        action="append",
        default=[],
        metavar="[NAME=]1,3,32,32",
        help="shape of an input, batch first, where the file does not say (TorchScript); once for each input",
    )
    parser.add_argument("--signature", help="the SavedModel's signature (default serving_default)")
    parser.add_argument(
        "--samples", help=".npy (.npz for several inputs) of real samples to compare on (default random)"
    )
    parser.add_argument(
        "--tolerance", type=float, help="largest difference, of an output's largest value (default 1e-4; int8: 0.1)"
    )
    parser.add_argument(
        "--python", help="the Python that has the framework (default build/env/<framework>, else this one)"
    )
    parser.add_argument("--trust-pickle", action="store_true", help="the file may run Python code of its own")
    args = parser.parse_args()

    from esp_tvm.convert.convert import convert, summary

    result = convert(
        args.model,
        args.output,
        opset=args.opset,
        shapes=args.shape,
        signature=args.signature,
        samples=args.samples,
        python=args.python,
        trust=args.trust_pickle,
        tolerance=args.tolerance,
    )
    print("\n".join(summary(result, args.model, args.output)))


if __name__ == "__main__":
    cli.run(main)
