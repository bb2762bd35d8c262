#!/usr/bin/env python3
"""Quantize a float ONNX model to int8 with power-of-two scales."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from esp_tvm import cli  # noqa: E402

PASSES = {
    "per_channel": "one weight scale per output channel",
    "equalize": "even out the ranges of a tensor's channels",
    "centre": "store what is never negative minus a constant, where that helps",
    "correct_bias": "let biases take what rounding does to the mean",
    "int16_outputs": "with --method auto, outputs of a last Gemm or small Conv in int16, before a softmax too",
    "fit": "round weights so that their errors make up for each other",
}


def evaluate(args, result):
    """The lines of the evaluation; writes <output_model>.evaluation.json and .svg."""
    from esp_tvm.data import load_samples
    from esp_tvm.model import inputs_of, load_model
    from esp_tvm.quantize.evaluation import lines, load_labels, noise_by_layer, write_json, write_picture
    from esp_tvm.quantize.judge import judge

    real = load_model(args.input_model)
    samples = load_samples(args.evaluate, inputs_of(real))
    labels = load_labels(args.labels, min(len(array) for array in samples.values())) if args.labels else None
    judgement = judge(real, load_model(args.output_model), samples, labels)
    layers = noise_by_layer(result.state, samples) if result.state else []
    write_json(f"{args.output_model}.evaluation.json", judgement, layers)
    write_picture(f"{args.output_model}.evaluation.svg", layers)
    return lines(judgement, layers)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--input_model", required=True, help="the float ONNX model, preprocessed")
    parser.add_argument("--output_model", required=True, help="the quantized ONNX model to write")
    parser.add_argument(
        "--calibrate_dataset",
        help=".npy with N samples of the input; .npz or folder keyed by input name for several inputs (not needed for "
        "a model that is quantized already)",
    )
    parser.add_argument(
        "--method", default="auto", help="auto (default), minmax, percentile, mse or entropy: scales of activations"
    )
    parser.add_argument(
        "--percentile", type=float, default=99.99, help="share of the values that --method percentile covers"
    )
    for name, what in PASSES.items():
        parser.add_argument(f"--{name}", type=cli.boolean, default=True, help=f"{what} (default true)")
    parser.add_argument(
        "--int16",
        default="",
        help="layers whose results are int16 in place of int8: auto, or their names with commas between (default none)",
    )
    parser.add_argument(
        "--int16_gain", type=float, default=6.0, help="dB that --int16 auto stops at (default 6), with as few as it can"
    )
    parser.add_argument("--evaluate", help="samples like --calibrate_dataset: judge the result on them")
    parser.add_argument("--labels", help=".npy with one whole number per evaluation sample: also tell the accuracy")
    args = parser.parse_args()
    if args.labels and not args.evaluate:
        parser.error("--labels needs --evaluate")

    from esp_tvm.quantize import quantize_onnx

    result = quantize_onnx(
        args.input_model,
        args.output_model,
        args.calibrate_dataset,
        method=args.method,
        percentile=args.percentile,
        int16=args.int16,
        int16_gain=args.int16_gain,
        **{name: getattr(args, name) for name in PASSES},
    )
    print(result.table())
    if args.evaluate:
        print("\n".join(evaluate(args, result)))


if __name__ == "__main__":
    cli.run(main)
