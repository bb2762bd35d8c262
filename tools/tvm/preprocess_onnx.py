#!/usr/bin/env python3
"""Fold and simplify a float ONNX model before quantization."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from esp_tvm import cli  # noqa: E402


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--input", required=True, help="the float ONNX model")
    parser.add_argument("--output", required=True, help="the ONNX model to write")
    args = parser.parse_args()

    from esp_tvm.model import load_model
    from esp_tvm.preprocess import preprocess_onnx, summary

    result = preprocess_onnx(args.input, args.output)
    print("\n".join(summary(load_model(args.input), result)))


if __name__ == "__main__":
    cli.run(main)
