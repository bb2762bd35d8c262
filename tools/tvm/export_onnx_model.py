#!/usr/bin/env python3
"""Export a quantized ONNX model as an ESP-IDF project."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from esp_tvm import cli  # noqa: E402

TEMPLATE = Path(__file__).resolve().parents[2] / "template_project_for_model"


def debug_onnx_model(target_chip, model_path, img_path):
    """Run the model's reference on one sample through TVM's GraphModuleDebug; the dump lies in `tvmdbg/`."""
    from esp_tvm.evaluate import debug_onnx_model as debug

    return debug(target_chip, model_path, img_path)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target_chip", required=True, help="esp32, esp32s2, esp32s3, esp32c3, esp32c6, esp32p4, host")
    parser.add_argument("--model_path", required=True, help="the quantized ONNX model")
    parser.add_argument("--img_path", required=True, help=".npy file with one sample of the model's input")
    parser.add_argument("--template_path", default=str(TEMPLATE), help="template project")
    parser.add_argument("--out_path", required=True, help="folder in which new_project is made")
    parser.add_argument(
        "--debug",
        default="off",
        help="off (default, costs nothing), checksums or tensors: what the program prints of every layer; "
        "tools/tvm/compare_log.py compares it with the reference",
    )
    parser.add_argument(
        "--constants",
        default="flash",
        help="where weights and tables lie: flash (default: in the program), ram (copied there at start), partition (a "
        "data partition of their own); menuconfig changes it",
    )
    parser.add_argument(
        "--vector", default="on", choices=("on", "off"), help="kernels for the vector unit of the esp32s3 (default: on)"
    )
    parser.add_argument(
        "--cores",
        type=int,
        default=1,
        choices=(1, 2),
        help="2: both cores compute, on esp32, esp32s3 and esp32p4; faster, may take more RAM (default: 1)",
    )
    args = parser.parse_args()

    from esp_tvm.project.export import export_onnx_model

    export_onnx_model(
        args.target_chip,
        args.model_path,
        args.img_path,
        args.template_path,
        args.out_path,
        args.debug,
        args.constants,
        args.vector == "on",
        args.cores,
    )


if __name__ == "__main__":
    cli.run(main)
