#!/usr/bin/env python3
"""Write the report of an exported model: one HTML file that needs no network, and the same as text."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from esp_tvm import cli  # noqa: E402


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--project", required=True, help="the folder new_project")
    parser.add_argument("--model", required=True, help="the quantized ONNX model it was exported from")
    parser.add_argument("--input", required=True, help=".npy file with one sample or many (16 are used for the noise)")
    parser.add_argument("--float_model", help="the float ONNX model it was quantized from, for the noise of each layer")
    parser.add_argument("--log", help="a board's or emulator's log; without it the C is run on this computer")
    parser.add_argument("--output", required=True, help="the HTML file to write; the text goes beside it as .txt")
    args = parser.parse_args()

    from esp_tvm.report.command import write_report

    write_report(args.project, args.model, args.input, args.output, args.float_model, args.log)


if __name__ == "__main__":
    cli.run(main)
