"""The calls of main, one after the other, as a program."""

from __future__ import annotations

from dataclasses import replace
from typing import Dict, List, Optional

from tvm import relay

from ..operators import OPERATORS
from ..program import Call, Place, Port, Program, Tensor
from .importing.import_onnx import Imported
from .partition import Partitioned
from .results import Results


class MainCalls:
    """Puts together the program of a model; every call has its own function: kernels are chosen call by call."""

    def __init__(self, partitioned: Partitioned, imported: Imported):
        self.partitioned = partitioned
        inputs, outputs = (
            [
                Port(port.name, port.shape, port.dtype, place=Place(kind, index=index), c_name=port.c_name)
                for index, port in enumerate(ports)
            ]
            for kind, ports in (("input", imported.inputs), ("output", imported.outputs))
        )
        self.program = Program(inputs, outputs, [])
        self.program.nodes = [str(node) for node in imported.nodes]
        self._used: Dict[str, int] = {}

    def add(self, call: Call, made: List[Tensor], places: List[Optional[int]]) -> List[Tensor]:
        """Append a call that writes tensors like `made`; places: of each among the model's outputs, None in memory."""
        call.index = len(self.program.items)
        call.outputs = [
            replace(tensor, place=None if place is None else Place("output", index=place))
            for tensor, place in zip(made, places)
        ]
        self.program.items.append(call)
        return call.outputs

    def add_kernel(self, symbol: str, read: List[Tensor], place: Optional[int]) -> Tensor:
        """Append the call of a kernel's function with these arguments."""
        kernel, parameters = self.partitioned.calls[symbol], self.partitioned.parameters[symbol]
        inputs = [_as(own, read[p]) for own, p in zip(kernel.inputs, parameters)]
        again = self._used[symbol] = self._used.get(symbol, 0) + 1
        own_symbol = symbol if again == 1 else f"{symbol}_{again}"
        macs = OPERATORS[kernel.operator].macs(kernel)
        return self.add(replace(kernel, symbol=own_symbol, inputs=inputs, macs=macs), [kernel.output], [place])[0]


def _as(own: Tensor, given: Tensor) -> Tensor:
    """The tensor `given` to a kernel in the kernel's shape: the tensor itself, or its bytes in another shape."""
    if (own.shape, own.dtype, own.exponent) == (tuple(given.shape), given.dtype, given.exponent):
        return given
    return replace(own, source=given)


def program_of_kernels(results: Results, partitioned: Partitioned, imported: Imported) -> Optional[Program]:
    """The program, without TVM's compiler, of a main that only calls kernels with inputs and each other's outputs; None
    for any other one."""
    main = results.mod["main"]
    calls = _kernel_calls(main, partitioned)
    if calls is None:
        return None
    made = MainCalls(partitioned, imported)
    ports = {port.c_name: port for port in made.program.inputs}
    current: Dict[relay.Expr, Tensor] = {param: ports[param.name_hint] for param in main.params}
    output_of = dict(zip(_fields(main), results.computed))
    for call in calls:
        read = [current[argument] for argument in call.args]
        current[call] = made.add_kernel(call.op.name_hint, read, output_of.get(call))
    return made.program


def _kernel_calls(main: relay.Function, partitioned: Partitioned) -> Optional[List[relay.Call]]:
    """All calls of main in the order in which TVM's compiler has them; None where something else is computed."""
    found: List[relay.Expr] = []
    relay.analysis.post_order_visit(main.body, found.append)
    calls = [expr for expr in found if isinstance(expr, relay.Call)]
    for call in calls:
        if not isinstance(call.op, relay.GlobalVar) or call.op.name_hint not in partitioned.calls:
            return None
        if not all(isinstance(argument, (relay.Var, relay.Call)) for argument in call.args):
            return None
    return calls if all(isinstance(result, relay.Call) for result in _fields(main)) else None


def _fields(main: relay.Function) -> List[relay.Expr]:
    return list(main.body.fields) if isinstance(main.body, relay.Tuple) else [main.body]


__all__ = ["MainCalls", "program_of_kernels"]
