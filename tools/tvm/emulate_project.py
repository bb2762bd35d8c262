#!/usr/bin/env python3
"""Compile an exported project for RV32IMC, run it in QEMU, and compare its outputs with the reference's."""

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
    parser.add_argument("--log", help="also write what it prints with the trace in it, for compare_log.py")
    parser.add_argument("--log_mode", choices=("checksums", "tensors"), default="checksums", help="default checksums")
    args = parser.parse_args()

    from esp_tvm.run.emulate import emulate_project

    return emulate_project(args.project, args.model, args.input, args.log, args.log_mode)


if __name__ == "__main__":
    cli.run(main)
