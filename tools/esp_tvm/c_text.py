"""Pieces of C text: types, initializers, comments, calls that are wrapped."""

from __future__ import annotations

import textwrap
from typing import List, Sequence

import numpy as np

from .program import Tensor

WIDTH = 120
# The parameter by which TVM's functions receive the memory that they allocate from.
SCRATCH_PARAMETER = "tvmgen_scratch"

C_TYPES = {
    "int8": "int8_t",
    "uint8": "uint8_t",
    "int16": "int16_t",
    "uint16": "uint16_t",
    "int32": "int32_t",
    "uint32": "uint32_t",
    "int64": "int64_t",
    "uint64": "uint64_t",
    "float32": "float",
    "float64": "double",
    "bool": "bool",
}


def tensor_text(tensor: Tensor) -> str:
    """`int8[1,32,32,16] * 2^-4`: dtype, shape as in memory, and for integers the exponent."""
    text = f"{tensor.dtype}[{','.join(map(str, tensor.shape))}]"
    return f"{text} * 2^{tensor.exponent}" if tensor.exponent is not None and tensor.dtype.startswith("int") else text


def array_lines(array: np.ndarray) -> List[str]:
    """The values of `array`, in order, as lines of a C initializer."""
    flat = array.reshape(-1)
    if array.dtype.kind == "f":
        texts = _float_literals(flat)
        return ["    " + ", ".join(texts[i : i + 8]) + "," for i in range(0, len(texts), 8)]
    values = (flat.astype(np.int8) if array.dtype.kind == "b" else flat).tolist()
    columns = 16 if array.dtype.itemsize == 1 else 10 if array.dtype.itemsize < 8 else 5
    # Python's text of a list is that of its values with ", " between them.
    return [f"    {str(values[i : i + columns])[1:-1]}," for i in range(0, len(values), columns)]


def _float_literals(values: np.ndarray) -> List[str]:
    """Literals that parse to exactly these values."""
    digits, suffix = (17, "") if values.dtype == np.float64 else (9, "f")
    # All at once: image inputs are many.
    texts = (f"%.{digits}g " * len(values) % tuple(values.tolist())).split()
    texts = [(text if "." in text or "e" in text else text + ".0") + suffix for text in texts]
    for place in np.flatnonzero(~np.isfinite(values)):
        value = values[place]
        texts[place] = "NAN" if np.isnan(value) else "INFINITY" if value > 0 else "-INFINITY"
    return texts


def wrapped(values: Sequence[str], indent: str) -> List[str]:
    """Values of an initializer, as many per line as fit."""
    return textwrap.wrap(", ".join(values) + ",", WIDTH, initial_indent=indent, subsequent_indent=indent)


# In place of a space at which no line ends, while lines are made.
_UNBREAKABLE = "\0"


def call_lines(name: str, arguments: Sequence[str], indent: str, end: str = ";") -> List[str]:
    """`name(arguments);` in lines of at most WIDTH columns."""
    start = f"{indent}{name}("
    text = ", ".join(arguments) + ")" + end
    if len(start) + len(text) <= WIDTH:
        return [start + text]
    # A line ends between two arguments, not between a type and its name.
    units = (
        ", ".join(argument.replace(" ", _UNBREAKABLE) for argument in arguments) + ")" + end.replace(" ", _UNBREAKABLE)
    )
    lines = textwrap.wrap(
        start.replace(" ", _UNBREAKABLE) + units,
        WIDTH,
        initial_indent="",
        subsequent_indent=" " * len(start) if len(start) < WIDTH // 2 else indent + "    ",
        drop_whitespace=True,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [line.replace(_UNBREAKABLE, " ") for line in lines]


def comment_lines(paragraphs: Sequence[str], indent: str = "") -> List[str]:
    """A comment with one or more lines for each paragraph."""
    lines: List[str] = []
    for paragraph in paragraphs:
        lines += textwrap.wrap(paragraph, WIDTH - len(indent) - 6, break_on_hyphens=False, break_long_words=False)
    if len(lines) == 1:
        return [f"{indent}/* {lines[0]} */"]
    return [f"{indent}/* {lines[0]}", *[f"{indent} * {line}" for line in lines[1:-1]], f"{indent} * {lines[-1]} */"]
