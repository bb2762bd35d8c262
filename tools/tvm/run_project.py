#!/usr/bin/env python3
"""Compile an exported project for this machine, run it, and compare every layer with the references."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from esp_tvm import cli  # noqa: E402


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--project", required=True, help="the folder new_project")
    parser.add_argument("--model", required=True, help="the quantized ONNX model it was exported from")
    parser.add_argument("--input", required=True, help=".npy file with one sample or many")
    parser.add_argument("--sanitize", action="store_true", help="with the address and undefined behaviour sanitizers")
    parser.add_argument("--summary", action="store_true", help="without the table of layers")
    parser.add_argument("--log", help="also write what a board prints when exported with --debug, for compare_log.py")
    parser.add_argument("--log_mode", choices=("checksums", "tensors"), default="tensors", help="default tensors")
    args = parser.parse_args()

    from esp_tvm.run.command import run_project

    return run_project(args.project, args.model, args.input, args.sanitize, args.summary, args.log, args.log_mode)


if __name__ == "__main__":
    cli.run(main)
