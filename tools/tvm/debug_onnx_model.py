#!/usr/bin/env python3
"""Run a quantized model's reference on one sample through TVM's debug executor and keep its dump."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from esp_tvm import cli  # noqa: E402


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target_chip", required=True, help="esp32, esp32s2, esp32s3, esp32c3, esp32c6, esp32p4, host")
    parser.add_argument("--model_path", required=True, help="the quantized ONNX model")
    parser.add_argument("--img_path", required=True, help=".npy file with one sample of the model's input")
    parser.add_argument("--dump_root", help="folder of the dump (default: tvmdbg beside the model)")
    parser.add_argument(
        "--layer",
        action="append",
        default=[],
        metavar="NAME",
        help="print what this layer computes: an ONNX tensor or node, a TVM node or a C function; can be repeated",
    )
    args = parser.parse_args()

    from esp_tvm.run.command import debug

    return debug(args.target_chip, args.model_path, args.img_path, args.dump_root, args.layer)


if __name__ == "__main__":
    cli.run(main)
