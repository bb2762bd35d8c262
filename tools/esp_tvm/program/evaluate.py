"""Computes the right result of a program from its project alone: every kernel call by its rule in NumPy.

A call of a TVM function has no rule. The caller passes its outputs: those that the generated C computed on this
computer. So fallbacks are not checked here; their values are compared with ONNX Runtime's at export and in `make run`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, List, Mapping, Sequence

import numpy as np

from .. import arithmetic
from ..errors import UserError
from ..naming import one_line, shown
from .form import Call, Port, Program, Tensor

Values = Mapping[Tensor, np.ndarray]


@dataclass
class Evaluation:
    """values: tensor -> array of its shape, of every tensor that a call writes or passes to a follower

    outputs: ONNX output name -> array
    """

    values: Dict[Tensor, np.ndarray]
    outputs: Dict[str, np.ndarray]

    def arguments(self, call: Call) -> List[np.ndarray]:
        """The values that a call reads, in the order of its rule's arguments."""
        return [read(self.values, tensor) for tensor in call.inputs]


def evaluate(program: Program, sample: Mapping[str, np.ndarray], computed: Values = {}) -> Evaluation:  # noqa: B006
    """All values for one sample (ONNX input name -> array of the input's shape).

    computed: the outputs of calls of TVM's functions, see the module
    """
    values: Dict[Tensor, np.ndarray] = {}
    ports: Dict[tuple, np.ndarray] = {}
    for index, port in enumerate(program.inputs):
        array = np.ascontiguousarray(sample[port.name], dtype=port.dtype).reshape(port.shape)
        values[port] = ports["input", index] = array
    for call in program.calls():
        for one in (call, *call.followers):
            for tensor in one.inputs:
                if tensor.root not in values and tensor not in values:
                    values[tensor.root] = _given(program, ports, tensor.root)
            if one.is_fallback:
                for tensor in one.outputs:
                    values[tensor] = np.asarray(computed[tensor]).reshape(tensor.shape)
            else:
                results = apply_rule(one, [read(values, tensor) for tensor in one.inputs])
                wanted = [(tensor.elements, tensor.dtype) for tensor in one.outputs]
                if [(result.size, result.dtype.name) for result in results] != wanted:
                    raise UserError(f"call {one.index} of the project does not compute what it says; export it again")
                values.update((tensor, made.reshape(tensor.shape)) for tensor, made in zip(one.outputs, results))
    return Evaluation(values, _outputs(program, values))


def zero_states(program: Program) -> Dict[str, np.ndarray]:
    """The states before the first call, by the name of the input."""
    return {state.before.name: np.zeros(state.before.shape, state.before.dtype) for state in program.states}


def apply_rule(call: Call, arguments: Sequence[np.ndarray]) -> List[np.ndarray]:
    """The outputs of a kernel call by its rule."""
    rule = arithmetic.rule(call.operator)
    try:
        made = rule(*arguments, **call.attributes)
        # For a tensor without axes some rules return a NumPy scalar.
        return [np.asarray(one) for one in (made if isinstance(made, tuple) else (made,))]
    except (ValueError, TypeError, IndexError, KeyError, ArithmeticError, MemoryError) as error:
        raise UserError(
            f"call {call.index} ({call.operator}) of the project cannot be computed ({one_line(str(error), 120)}); "
            "export the model again"
        )


def read(values: Values, tensor: Tensor) -> np.ndarray:
    """The value of a tensor, or that of its source in its shape."""
    if tensor in values:
        return values[tensor]
    source = tensor.source
    assert source is not None, f"{shown(tensor.name)} is read before it is made"
    return np.frombuffer(np.ascontiguousarray(read(values, source)).tobytes(), tensor.dtype).reshape(tensor.shape)


def in_model_order(tensor: Tensor, value: np.ndarray) -> np.ndarray:
    """The value of a tensor with the channels in the order that they have in the model."""
    return np.take(value, np.argsort(tensor.order), axis=-1) if tensor.order else value


def _given(program: Program, ports: Mapping[tuple, np.ndarray], tensor: Tensor) -> np.ndarray:
    """The value of a model input or a constant."""
    place = tensor.place
    assert place is not None, f"{shown(tensor.name)} is read before it is made"
    if place.kind == "constant":
        return program.constants[place.index].array.reshape(tensor.shape)
    return ports[place.kind, place.index].reshape(tensor.shape)


def output_tensors(program: Program) -> Dict[Port, Tensor]:
    """Model output -> the tensor that a call writes there."""
    written = [tensor for call in program.calls() for tensor in call.writes]
    places = {tensor.place.index: tensor for tensor in written if tensor.place and tensor.place.kind == "output"}
    return {port: port if port in written else places[index] for index, port in enumerate(program.outputs)}


def _outputs(program: Program, values: Values) -> Dict[str, np.ndarray]:
    found = output_tensors(program)
    return {port.name: read(values, found[port]).reshape(port.shape) for port in program.outputs}


__all__ = [
    "Evaluation",
    "Values",
    "apply_rule",
    "evaluate",
    "in_model_order",
    "output_tensors",
    "read",
    "zero_states",
]
