#!/usr/bin/env python3
"""Compare the log of a board, an emulator or the host with the reference; name the first layer that differs.

The program must have been exported with --debug checksums or --debug tensors. Exit code 0: every layer is equal;
1: something differs or is missing; 2: a mistake in the arguments.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from esp_tvm import cli  # noqa: E402


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--log", required=True, help="what the serial monitor showed; - for standard input, live")
    parser.add_argument("--model", required=True, help="the quantized ONNX model the program was exported from")
    parser.add_argument("--input", required=True, help=".npy with the sample that the program was run on, or many")
    parser.add_argument("--target_chip", help="esp32s3 for a program that was exported for it")
    args = parser.parse_args()

    from esp_tvm.errors import UserError
    from esp_tvm.report.compare_log import run_comparison
    from esp_tvm.report.log import text_lines

    if args.log == "-":
        return 0 if run_comparison(args.model, args.input, text_lines(sys.stdin.buffer), chip=args.target_chip) else 1
    try:
        stream = open(args.log, "rb")
    except OSError as error:
        raise UserError(f"{args.log}: cannot read this log ({error.strerror})")
    with stream:
        return 0 if run_comparison(args.model, args.input, text_lines(stream), chip=args.target_chip) else 1


if __name__ == "__main__":
    cli.run(main)
