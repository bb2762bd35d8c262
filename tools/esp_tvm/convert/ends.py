"""Where a model ends: at tensors that the user names, so that what no chip computes is left to the application."""

from __future__ import annotations

import os
from typing import List, Sequence, Set

import onnx

from ..errors import UserError, did_you_mean
from ..naming import shown
from ..onnx_graph import edited, inferred_values, is_standard, reads

# Operators whose number of results depends on values.
NOT_FOR_CHIPS = ("NonMaxSuppression", "NonZero", "Unique")


def end_at(model: onnx.ModelProto, ends: Sequence[str], path: str | os.PathLike) -> None:
    """Let `model` end with the tensors `ends`, in place: outputs in this order; what nothing needs any more is gone.

    Raises a `UserError` for a name that no node computes.
    """
    if not ends:
        return
    made = [name for node in model.graph.node for name in node.output if name]
    for name in ends:
        if name not in made:
            raise UserError(f"{path}: --end '{shown(name)}': no node computes it{did_you_mean(name, made)}")
    known = {value.name: value for value in [*model.graph.value_info, *model.graph.output]}
    if not set(ends) <= set(known):
        try:
            known.update(inferred_values(model))
        except Exception:  # Whatever is wrong with the model is told later, or lies behind its new end.
            pass
    outputs = [known.get(name, onnx.ValueInfoProto(name=name)) for name in dict.fromkeys(ends)]
    del model.graph.output[:]
    model.graph.output.extend(outputs)
    with edited(model) as graph:
        graph.remove_unused()


def refuse_what_no_chip_computes(model: onnx.ModelProto, label: str = "") -> None:
    """Raise a `UserError` that names the first node without C for a chip, and where the model can end before it.

    label: begins the message
    """
    constants = {tensor.name for tensor in model.graph.initializer}
    constants.update(name for node in model.graph.node if node.op_type == "Constant" for name in node.output)
    for node in model.graph.node:
        what, instead = "", "compute it in the program that uses the model"
        if is_standard(node, "NonMaxSuppression"):
            what = "how many boxes it gives is not known before it runs, and a program's tensors have fixed sizes"
            instead = "let detection.c make the boxes (docs/detection.md)"
        elif is_standard(node, "TopK") and len(node.input) > 1 and node.input[1] not in constants:
            what = "its K is computed, and a program's tensors have fixed sizes"
        elif is_standard(node, *NOT_FOR_CHIPS):
            what = "TVM has no C for it that runs on the chip"
        if what:
            ends = " ".join(f"--end {shown(name)}" for name in _before(model.graph, node))
            end = f"end the model before it, and {instead}: preprocess with {ends}" if ends else instead
            raise UserError(f"{label}node '{shown(node.name)}' ({node.op_type}): {what}; {end}")


def _before(graph: onnx.GraphProto, node: onnx.NodeProto) -> List[str]:
    """The tensors that the model ends with where it has to do without `node`: what that computes with, and outputs that
    do not need it."""
    made = {name for other in graph.node for name in other.output}
    lost: Set[str] = set()
    for other in graph.node:
        if other is node or lost.intersection(reads(other)):
            lost.update(other.output)
    needed = [name for name in reads(node) if name in made]
    return list(dict.fromkeys([*needed, *(value.name for value in graph.output if value.name not in lost)]))


__all__ = ["end_at", "refuse_what_no_chip_computes"]
