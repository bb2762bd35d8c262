"""Descriptors, such as those of faces: the key `embedding` of an image front end's YAML, and how alike two are.

`cosine` is the reference for similarity.c; docs/detection.md has the formula.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Dict, Sequence

import numpy as np

from ..errors import UserError
from ..naming import shown
from ..program.form import Port
from . import c_text
from .fields import Name, Spec
from .results import results_struct

ONE_BITS = 15
# The sums of squares have to fit 32 bits.
MOST_NUMBERS = 1 << 16


class Embedding(Spec):
    """output: the model's output with the descriptor."""

    output: Name


def cosine(a: np.ndarray, b: np.ndarray) -> int:
    """Of the angle between int8 vectors, in units of 2^-15; 0 where one is all zero."""
    a, b = (np.asarray(each, np.int64).ravel() for each in (a, b))
    squares = int(a @ a) * int(b @ b)
    if squares == 0:
        return 0
    bits = ONE_BITS
    while squares < 1 << 60:
        squares, bits = squares << 2, bits + 1
    length, product = math.isqrt(squares), int(a @ b)
    size = ((abs(product) << bits) + length // 2) // length
    return -size if product < 0 else size


def check_embedding(label: str, embedding: Embedding, sizes: Dict[str, int]) -> None:
    """A `UserError` where the model's outputs (name -> elements) have no such descriptor; label: the YAML's name."""
    if embedding.output not in sizes:
        listed = ", ".join(f"'{shown(each, 30)}'" for each in sizes)
        raise UserError(
            f"{label}: embedding.output: the model has no output '{shown(embedding.output)}' (it has {listed})"
        )
    if sizes[embedding.output] > MOST_NUMBERS:
        raise UserError(
            f"{label}: embedding.output: '{shown(embedding.output)}' has {sizes[embedding.output]} numbers; a "
            f"descriptor has at most {MOST_NUMBERS}"
        )


def emit_embedding(label: str, embedding: Embedding, ports: Sequence[Port]) -> Dict[str, str]:
    """Files of the component, path below it -> text. ports: the program's outputs, int8 (else a `UserError`)."""
    check_embedding(label, embedding, {port.name: port.elements for port in ports})
    (port,) = [port for port in ports if port.name == embedding.output]
    lines = c_text.head(
        Path(label).name,
        " *",
        " *     static embedding_results_t results;",
        " *     struct tvmgen_default_outputs outputs = EMBEDDING_OUTPUTS(results);",
        " *     tvmgen_default_run(&inputs, &outputs);",
        " *     similarity_cosine(EMBEDDING(results), other, EMBEDDING_SIZE)",
    )
    lines += ["#ifndef EMBEDDING_MODEL_H", "#define EMBEDDING_MODEL_H", "", '#include "similarity.h"', ""]
    lines += [*results_struct("embedding", ports), "/* The descriptor in the results: int8 [EMBEDDING_SIZE]. */"]
    lines += [f"#define EMBEDDING_SIZE {port.elements}", f"#define EMBEDDING(results) ((results).{port.c_name})"]
    here = Path(__file__).parent
    return {
        "include/similarity.h": (here / "similarity.h").read_text(encoding="utf-8"),
        "src/similarity.c": (here / "similarity.c").read_text(encoding="utf-8"),
        "include/embedding_model.h": "\n".join([*lines, "", "#endif", ""]),
    }


__all__ = ["Embedding", "check_embedding", "cosine", "emit_embedding"]
