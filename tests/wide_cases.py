"""The rows of int8 operators once more, with tensors of int16: every operator `<name>_s16` takes those of `<name>`."""

from __future__ import annotations

from dataclasses import replace
from typing import List, Sequence

import numpy as np

INT8 = (-128, 127)
_WIDE = (
    "conv2d conv2d_add depthwise_conv2d dense add mul requantize average_pool2d max_pool2d softmax quantize dequantize "
    "rnn gru lstm"
).split()


def widened(cases: Sequence) -> List:
    """Rows (`Case`s) with inputs, output, or all of them int16, in turn."""
    made: List = []
    for operator in _WIDE:
        for number, case in enumerate(c for c in cases if c.operator == operator and not _int8_result(c)):
            inputs, output = _WIDTHS[number % 3] if operator != "max_pool2d" else ("int16", "int16")
            made.append(_widened(case, inputs, output))
    return made


# Values move, whatever their width: the same rows with int16 in place of int8.
_MOVES = ("strided_slice", "tile", "broadcast", "depth_to_space", "space_to_depth", "concat")


def moved(cases: Sequence) -> List:
    """The rows of operators that copy values, with tensors of int16."""
    return [
        replace(
            case,
            name=f"{case.name}, int16",
            inputs=tuple((shape, "int16") for shape, _ in case.inputs),
            attributes=_wide_constants(case.attributes),
        )
        for case in cases
        if case.operator in _MOVES
    ]


def _wide_constants(attributes: dict) -> dict:
    """Constant parts of a concat with values of 16 bits."""
    if "constants" not in attributes:
        return attributes
    return {**attributes, "constants": [x.astype(np.int16) * 257 for x in attributes["constants"]]}


_WIDTHS = (("int16", "int16"), ("int8", "int16"), ("int16", "int8"))


def _int8_result(case) -> bool:
    """A softmax that goes on in int8 has no int16 form."""
    return case.attributes.get("output_exponent") is not None


def _widened(case, inputs: str, output: str):
    attributes = dict(case.attributes)
    low, high = attributes.get("clamp", INT8)
    if output == "int16" and "clamp" in attributes:
        attributes["clamp"] = tuple(v if v in (0,) else 256 * v + 255 * (v == 127) for v in (low, high))
    if "weights" in attributes and inputs == "int16":
        # No sum may leave 32 bits.
        weights = attributes["weights"].astype(np.int64)
        width = weights[0].size if case.operator != "depthwise_conv2d" else weights[..., 0].size
        attributes["weights"] = (weights // (1 + width * 128 * 2**15 // 2**30)).astype(np.int8)
    if "recurrence" in attributes:
        attributes["shift"] -= 7 * (output == "int16")
        attributes["weights_shift"] = attributes["weights_shift"] + 5 * (inputs == "int16")
    elif "weights" in attributes and (inputs, output) == ("int16", "int8"):
        attributes["shift"] = np.where(attributes["shift"] > 0, np.minimum(attributes["shift"] + 8, 30), -8)
    if case.operator == "conv2d_add":
        attributes["addend_shift"] = np.minimum(attributes["addend_shift"], 13)
    if case.operator == "add":
        attributes.update((name, min(attributes[name], 14)) for name in ("shift_a", "shift_b"))
    of_inputs = tuple((shape, inputs if dtype == "int8" else dtype) for shape, dtype in case.inputs)
    if case.operator in ("add", "mul") and inputs == "int16" and output == "int8":
        of_inputs = (of_inputs[0], case.inputs[1])
    if case.operator in ("dequantize", "quantize"):
        of_inputs = tuple((shape, "int16" if dtype == "int8" else dtype) for shape, dtype in case.inputs)
        output = "int16"
        attributes.pop("zero_point", None)
    if case.operator == "softmax":
        del attributes["output_exponent"]
        of_inputs = tuple((shape, "int16") for shape, _ in case.inputs)
    elif "recurrence" in attributes:
        attributes["width"] = output
    elif case.operator != "dequantize":
        attributes["output"] = output
    name = f"{case.name}, {inputs} to {output}"
    return replace(case, name=name, operator=f"{case.operator}_s16", inputs=of_inputs, attributes=attributes)
