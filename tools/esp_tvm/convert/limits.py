"""Outputs of which only the values within limits matter: int8 then has its 256 values for these.

A detector's logits reach far below 0, where all mean the same, and boxes that nobody looks at lie far outside of the
picture; an exponent that covers them is too coarse for the others.
"""

from __future__ import annotations

import math
from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np
import onnx

from ..errors import UserError, did_you_mean
from ..naming import shown
from ..onnx_graph import Graph, edited

Limits = Dict[str, Tuple[float, float]]
# What only moves values; behind it a limit would be a step of its own, before it a layer keeps it as it stores.
_MOVES = ("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Identity", "Concat", "Slice", "Split")
_LAYERS = ("Conv", "ConvTranspose", "Gemm")


def parse_limits(given: Sequence[str]) -> Limits:
    """{output: (least, largest)} of "OUTPUT=-8:8"."""
    limits: Limits = {}
    for text in given:
        name, _, values = text.rpartition("=")
        try:
            low, high = (float(value) for value in values.split(":"))
        except ValueError:
            low = high = math.nan
        if not name or not low < high or math.isinf(low) or math.isinf(high):
            raise UserError(f"--limit {shown(text, 60)}: write OUTPUT=LEAST:LARGEST, such as scores=-8:8")
        if name in limits:
            raise UserError(f"--limit {shown(text, 60)}: is given twice for this output; give it once")
        limits[name] = low, high
    return limits


def limit_outputs(model: onnx.ModelProto, limits: Limits, label: str = "") -> None:
    """Clip outputs of a float model in place: where layers compute what then only moves, right behind these.

    limits: by output. `UserError` for one that the model does not have.
    """
    outputs = [value.name for value in model.graph.output]
    for name in limits:
        if name not in outputs:
            listed = ", ".join(f"'{shown(one, 30)}'" for one in outputs[:8])
            near = did_you_mean(name, outputs)
            raise UserError(f"{label}--limit: the model has no output '{shown(name, 60)}'{near} (it has {listed})")
    with edited(model) as graph:
        for name, bounds in limits.items():
            for tensor in _sources(graph, name) or [name]:
                _clip(graph, tensor, bounds)


def _sources(graph: Graph, output: str) -> Optional[List[str]]:
    """The results of layers of which an output consists; None where something else makes it, or reads them too."""
    found: List[str] = []
    way, open_ones = set(), [output]
    while open_ones:
        name = open_ones.pop()
        maker = graph.producer(name)
        if name in way:
            continue
        way.add(name)
        if maker is not None and maker.op_type in _MOVES:
            # Of the others' inputs only the first is moved: what follows are shapes and places.
            open_ones += maker.input if maker.op_type == "Concat" else maker.input[:1]
        elif maker is not None and maker.op_type in _LAYERS:
            found.append(name)
        else:
            return None
    made = {id(graph.producer(name)) for name in way}
    if any(id(user) not in made for name in way for user in graph.consumers(name)):
        return None
    return None if (way - {output}) & graph.outputs else sorted(found)


def _clip(graph: Graph, name: str, bounds: Tuple[float, float]) -> None:
    """Let the maker of a tensor write another one, of which the tensor is the limited copy."""
    maker = graph.producer(name)
    if maker is None:
        return  # An input or a constant passed on.
    inner = graph.fresh(f"{name}_before_limit")
    graph.set_outputs(maker, [inner if one == name else one for one in maker.output])
    constants = [graph.add_constant(f"{name}_limit", bound, np.float32) for bound in bounds]
    graph.insert_after(maker, graph.make("Clip", [inner, *constants], [name], f"{name}/limit"))


__all__ = ["Limits", "limit_outputs", "parse_limits"]
