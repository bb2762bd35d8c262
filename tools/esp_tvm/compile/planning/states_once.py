"""Computes a recurrent layer once of which several outputs are read: every step, the last state, the last cell."""

from __future__ import annotations

from typing import Any, Dict, List

import numpy as np

from ...operators.recurrent import GATES
from ...program import Call, Program

_KINDS = {kind.lower() for kind in GATES}
# What tells apart what is read of one layer.
_OF_THE_OUTPUT = ("output", "shift", "width")


def compute_states_once(program: Program) -> Dict[Call, List[Call]]:
    """Let one kernel call compute what several do from the same input, states and weights; their bytes stay the same.

    Of the importer each output of a layer has a call of its own, as patterns describe one tensor each. The first of
    them takes over the others: their tensors become its `further` outputs. Returns {call: those that it replaces}.
    """
    kept: List[Call] = []
    others: Dict[Call, List[Call]] = {}
    for call in program.items:
        first = next((one for one in kept if isinstance(call, Call) and _is_one_layer(one, call)), None)
        if first is None:
            if isinstance(call, Call) and call.kind in _KINDS:
                kept.append(call)
        else:
            others.setdefault(first, []).append(call)
    for first, more in others.items():
        _take_over(first, more)
    replaced = {id(call) for more in others.values() for call in more}
    program.items = [item for item in program.items if id(item) not in replaced]
    return others


def _is_one_layer(first: Call, call: Call) -> bool:
    """Whether two calls go through the same steps."""
    if call.kind not in _KINDS or call.kind != first.kind or len(call.inputs) != len(first.inputs):
        return False
    forms = [[(x.root, x.shape, x.dtype, x.exponent) for x in one.inputs] for one in (first, call)]
    return forms[0] == forms[1] and _equal(*(_without_output(one) for one in (first, call)))


def _without_output(call: Call) -> Dict[str, Any]:
    return {name: value for name, value in call.attributes.items() if name not in _OF_THE_OUTPUT}


def _equal(one: Any, other: Any) -> bool:
    """Whether attributes are equal, arrays in them too."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_equal(value, other[name]) for name, value in one.items())
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(map(_equal, one, other))
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        return isinstance(one, np.ndarray) and isinstance(other, np.ndarray) and np.array_equal(one, other)
    return bool(one == other)


def _take_over(first: Call, more: List[Call]) -> None:
    calls = [first, *more]
    wide = next((call.operator for call in calls if call.operator.endswith("_s16")), first.operator)
    further = []
    for call in more:
        a = call.attributes
        further.append((a["output"], a["shift"], a.get("width", "int8")))
    changed = {**first.attributes, "further": tuple(further)}
    if wide != first.operator:
        changed["width"] = first.output.dtype
    first.operator, first.attributes = wide, changed
    first.outputs = [call.output for call in calls]
    first.nodes = list(dict.fromkeys(node for call in calls for node in call.nodes))
    first.node_indices = sorted({index for call in calls for index in call.node_indices})
    nodes = [call.output_node for call in calls if call.output_node is not None]
    first.output_node = min(nodes, default=None)
