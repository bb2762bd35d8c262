"""From the quantized ONNX model to C: import, layout, rewrites, partition, a program, passes over it, code.

TVM is imported with the first of these names: kernels, and what is planned with them, need none.
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "CompileOptions",
    "CompiledModel",
    "Imported",
    "Partitioned",
    "compile_imported",
    "compile_model",
    "functions_of",
    "import_model",
    "saving_of",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    from . import model_to_c

    return getattr(model_to_c, name)
