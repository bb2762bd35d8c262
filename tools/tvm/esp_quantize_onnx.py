#!/usr/bin/env python3
"""Quantize a float ONNX model to int8 with power-of-two scales."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from esp_tvm import cli  # noqa: E402


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--input_model", required=True, help="the float ONNX model, preprocessed")
    parser.add_argument("--output_model", required=True, help="the quantized ONNX model to write")
    parser.add_argument(
        "--calibrate_dataset",
        required=True,
        help=".npy with N samples of the input; .npz or folder keyed by input name for several inputs",
    )
    parser.add_argument(
        "--per_channel", type=cli.boolean, default=True, help="one weight scale per output channel (default true)"
    )
    parser.add_argument(
        "--method", default="auto", help="auto (default), minmax, percentile, mse or entropy: scales of activations"
    )
    parser.add_argument(
        "--percentile", type=float, default=99.99, help="share of the values that --method percentile covers"
    )
    parser.add_argument(
        "--equalize", type=cli.boolean, default=True, help="even out the channels' ranges (default true)"
    )
    parser.add_argument("--fit", type=cli.boolean, default=True, help="fit weights and biases (default true)")
    args = parser.parse_args()

    from esp_tvm.quantize import quantize_onnx

    result = quantize_onnx(
        args.input_model,
        args.output_model,
        args.calibrate_dataset,
        args.per_channel,
        args.method,
        args.percentile,
        args.equalize,
        args.fit,
    )
    print(result.table())


if __name__ == "__main__":
    cli.run(main)
