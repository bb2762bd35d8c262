#!/usr/bin/env python3
"""Export a quantized ONNX model as an ESP-IDF project.

The sub-command export of esp-tvm, by the documented names of its options.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from esp_tvm import cli  # noqa: E402

# For `import tvm` after this module's import: with nothing better on the path, this very folder, tvm, would be it.
cli.find_tvm()


def debug_onnx_model(target_chip, model_path, img_path):
    """Run the model's reference on one sample through TVM's GraphModuleDebug; the dump lies in `tvmdbg/`."""
    from esp_tvm.evaluate import debug_onnx_model as debug

    return debug(target_chip, model_path, img_path)


if __name__ == "__main__":
    cli.script("export")
