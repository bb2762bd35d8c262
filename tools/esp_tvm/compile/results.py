"""Outputs that nothing computes: copies of another output, of an input, of a constant. TVM has no call for them."""

from __future__ import annotations

from dataclasses import replace
from typing import Dict, List, Optional, Union

import numpy as np
import tvm
from tvm import relay

from ..c_text import C_TYPES
from ..errors import UserError
from ..program import Call, Constant, Place, Port, Program, Tensor
from .importing.import_onnx import Imported
from .rewriting.toolbox import is_call

# Computed once more where the same value is to be in two outputs, from what lies inside: so each can be an integer.
_AT_THE_END = ("dequantize", "softmax")
# Operator -> (the value that changes nothing, the places where it may stand).
_NEUTRAL = {"add": (0, (0, 1)), "multiply": (1, (0, 1)), "subtract": (0, (1,)), "divide": (1, (1,))}


class Results:
    """The results of main: those that TVM computes, and the others.

    mod: the module with the computed ones alone; computed: their places among the model's outputs
    """

    def __init__(self, mod: tvm.IRModule):
        main = mod["main"]
        results = list(main.body.fields) if isinstance(main.body, relay.Tuple) else [main.body]
        self._parameters = list(main.params)
        self.computed: List[int] = []
        # Place of an output -> that of the output, the parameter or the constant that it is.
        self._copies: Dict[int, Union[int, relay.Var, relay.Constant]] = {}
        results = [_plain(result) for result in results]
        for place, result in enumerate(results):
            first = next(i for i, other in enumerate(results) if other.same_as(result))
            if isinstance(result, (relay.Var, relay.Constant)):
                self._copies[place] = result
            elif first != place:
                self._copies[place] = first
            else:
                self.computed.append(place)
        if not self.computed:
            raise UserError("nothing is computed: every output is a copy of an input or a constant")
        self.mod = mod if not self._copies else self._without_copies(mod, [results[i] for i in self.computed])

    @staticmethod
    def _without_copies(mod: tvm.IRModule, results: List[relay.Expr]) -> tvm.IRModule:
        main = mod["main"]
        function = relay.Function(main.params, relay.Tuple(results), None, main.type_params, main.attrs)
        functions = {var: function if var.name_hint == "main" else other for var, other in mod.functions.items()}
        return relay.transform.InferType()(tvm.IRModule(functions, mod.type_definitions))

    def copy(self, program: Program, imported: Imported) -> None:
        """Add the calls that write the other outputs to a program that computes these."""
        for place, source in self._copies.items():
            port = program.outputs[place]
            call = self._call(program, port, source)
            call.node_indices = [node.index for node in imported.nodes if port.name in node.outputs]
            call.nodes = [str(imported.nodes[index]) for index in call.node_indices]
            call.output_node = next(iter(call.node_indices), None)
            call.index = len(program.items)
            program.items.append(call)

    def _call(self, program: Program, port: Port, source: Union[int, relay.Var, relay.Constant]) -> Call:
        symbol = f"tvmgen_default_esp_main_output{port.place.index}"
        made = Tensor(port.name, port.shape, port.dtype, place=port.place)
        if isinstance(source, int):
            writer = next(call for call in program.calls() if any(_is_output(x, source) for x in call.outputs))
            tensor = next(x for x in writer.outputs if _is_output(x, source))
            made.exponent = tensor.exponent
            if writer.kind in _AT_THE_END:
                return replace(writer, symbol=symbol, outputs=[made])
        elif isinstance(source, relay.Constant):
            tensor = _constant(program, source.data.numpy())
        else:
            tensor = program.inputs[next(i for i, one in enumerate(self._parameters) if one.same_as(source))]
        return Call(symbol, "reshape", [tensor], [made], {"shape": port.shape})


def _plain(result: relay.Expr) -> relay.Expr:
    """What a result is before operators that change nothing, which TVM removes."""
    inside = _unchanged(result)
    while inside is not None:
        result, inside = inside, _unchanged(inside)
    return result


def _unchanged(result: relay.Expr) -> Optional[relay.Expr]:
    """What a call returns as it is: a cast to the same type, a transpose that keeps the order, x + 0, x * 1."""
    if is_call(result, "transpose"):
        axes = result.attrs.axes
        return result.args[0] if axes is not None and [int(axis) for axis in axes] == list(range(len(axes))) else None
    name = result.op.name if isinstance(result, relay.Call) and isinstance(result.op, tvm.ir.Op) else ""
    places = {"cast": (0,), "cast_like": (0,), **dict.fromkeys(_NEUTRAL, (0, 1))}.get(name, ())
    for place in places:
        argument = result.args[place]
        if argument.checked_type == result.checked_type and (name not in _NEUTRAL or _is_neutral(result, 1 - place)):
            return argument
    return None


def _is_neutral(call: relay.Call, place: int) -> bool:
    """Whether the argument there is a constant that changes nothing."""
    value, allowed = _NEUTRAL[call.op.name]
    constant = call.args[place]
    return place in allowed and isinstance(constant, relay.Constant) and bool(np.all(constant.data.numpy() == value))


def _is_output(tensor: Tensor, place: int) -> bool:
    return tensor.place is not None and tensor.place.kind == "output" and tensor.place.index == place


def _constant(program: Program, array: np.ndarray) -> Tensor:
    index = len(program.constants)
    name = f"tvmgen_default_constant_{index}"
    program.constants.append(Constant(C_TYPES[array.dtype.name], name, array, "an output"))
    return Tensor("", array.shape, array.dtype.name, place=Place("constant", index=index))


__all__ = ["Results"]
