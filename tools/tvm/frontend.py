#!/usr/bin/env python3
"""Pictures or sound to a model's input, by a YAML beside the model: arrays to calibrate with, and C for the board.

frontend.py arrays --spec image.yaml --out calib.npy pictures/
frontend.py export --spec image.yaml --model model_quant.onnx --sample picture.jpg --out_path build/board
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from esp_tvm import cli  # noqa: E402

TEMPLATE = Path(__file__).resolve().parents[2] / "template_project_for_model"


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    arrays = commands.add_parser("arrays", help="write the float model's inputs as .npy")
    arrays.add_argument("--spec", required=True, help="YAML: docs/image-input.md, docs/audio-input.md")
    arrays.add_argument("--out", required=True, help=".npy to write, [N, ...]")
    arrays.add_argument("files", nargs="+", help="pictures or sound files, or folders of them")
    export = commands.add_parser("export", help="write new_project with the front end in components/frontend")
    export.add_argument("--spec", required=True, help="YAML: docs/image-input.md, docs/audio-input.md")
    export.add_argument("--model", required=True, help="the quantized ONNX model")
    export.add_argument("--sample", required=True, help="a picture or a sound file: the sample in the project")
    export.add_argument("--target_chip", default="esp32s3", help="default esp32s3")
    export.add_argument("--template_path", default=str(TEMPLATE), help="template project")
    export.add_argument("--out_path", required=True, help="folder in which new_project is made")
    export.add_argument("--app", help="folder with main/app_main.c, ...: laid over the project")
    return parser.parse_args()


def main():
    args = arguments()

    from esp_tvm.frontend import command

    if args.command == "arrays":
        array = command.write_arrays(args.spec, args.files, args.out)
        print(f"wrote {args.out}: {list(array.shape)} {array.dtype}, {array.min():.4g} to {array.max():.4g}")
    else:
        command.export(
            args.spec, args.model, args.sample, args.target_chip, args.template_path, args.out_path, args.app
        )


if __name__ == "__main__":
    cli.run(main)
