#!/usr/bin/env python3
"""Copy the model of an exported project into another ESP-IDF application, as a component with names of its own."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from esp_tvm import cli  # noqa: E402


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--project", required=True, help="the folder new_project")
    parser.add_argument("--to", required=True, help="the application's folder components")
    parser.add_argument(
        "--name",
        help="names begin with tvmgen_NAME and tvm_model_NAME, so that there can be several models (default: "
        "tvmgen_default and tvm_model, as exported)",
    )
    args = parser.parse_args()

    from esp_tvm.project.component import copy_model

    print("\n".join(copy_model(Path(args.project), Path(args.to), args.name)))


if __name__ == "__main__":
    cli.run(main)
