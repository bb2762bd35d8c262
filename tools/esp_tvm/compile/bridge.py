"""A compiled model as `esp_tvm.program.Program`. Temporary: until `compile_model` returns one itself."""

from __future__ import annotations

import re
from typing import Dict, List, Optional

from ..operators import OPERATORS
from ..program.form import Call, Constant, Place, Port, Program, Scratch, Tensor
from .aot import Step, Value
from .compiled import CompiledModel, ModelPort


def program_of(compiled: CompiledModel) -> Program:
    """The same program in one form."""
    return _Bridge(compiled).program()


class _Bridge:
    def __init__(self, compiled: CompiledModel):
        self.compiled = compiled
        self.constants = [Constant(c.c_type, c.name, c.array, c.comment) for c in compiled.constants]
        self.made: Dict[Value, Tensor] = {}

    def program(self) -> Program:
        compiled = self.compiled
        lowered, plan = compiled.lowered, compiled.plan
        inputs = [self._port(port, "input", index) for index, port in enumerate(compiled.inputs)]
        outputs = [self._port(port, "output", index) for index, port in enumerate(compiled.outputs)]
        for kind, ports in (("input", inputs), ("output", outputs)):
            self.made.update({Value(kind, index): port for index, port in enumerate(ports)})
        items: List[Call] = []
        pending: Dict[int, Call] = {}
        for index, step in enumerate(lowered.steps):
            call = self._call(index, step)
            if index in compiled.choices.fused:
                pending[compiled.choices.fused[index]] = call
            elif index in pending:
                items.append(self._fused(pending.pop(index), call))
            else:
                items.append(call)
        scratch = Scratch(lowered.scratch_bytes, plan.scratch_offset) if lowered.scratch_bytes else None
        return Program(
            inputs,
            outputs,
            list(items),
            nodes=[str(node) for node in compiled.imported.nodes],
            refusals={index: why for index, why in compiled.partitioned.refusals.items() if index >= 0},
            constants=self.constants,
            fallback_source=lowered.fallback_source,
            fallback_constant_bytes=lowered.fallback_constant_bytes,
            fallback_scratch=scratch,
            arena_bytes=compiled.arena_bytes,
            arena_room=compiled.room,
            model_hash=compiled.model_hash,
            kernels_for=compiled.chip,
            cores=compiled.cores,
        )

    @staticmethod
    def _port(port: ModelPort, kind: str, index: int) -> Port:
        inside = port.inside if port.exponent is not None else None
        place = Place(kind, index=index)
        shape = tuple(int(size) for size in port.shape)
        return Port(port.name, shape, port.dtype, port.exponent, place=place, c_name=port.c_name, inside=inside)

    def _call(self, index: int, step: Step) -> Call:
        call = self.compiled.partitioned.calls.get(step.symbol)
        return self._fallback(index, step) if call is None else self._kernel(index, step, call)

    def _kernel(self, index: int, step: Step, kernel: Call) -> Call:
        compiled = self.compiled
        parameters = compiled.partitioned.parameters[step.symbol]
        inputs = [
            self._read(step.arguments[parameter], own.name, own.shape, own.dtype, own.exponent)
            for parameter, own in zip(parameters, kernel.inputs)
        ]
        fused, is_view = index in compiled.choices.fused, index in compiled.plan.skipped
        call = Call(step.symbol, kernel.operator, inputs, [], dict(kernel.attributes), index)
        call.nodes, call.node_indices, call.output_node = kernel.nodes, kernel.node_indices, kernel.output_node
        call.is_view = is_view and not fused
        out, value = kernel.output, step.results[0]
        if value.kind == "output":
            call.outputs = [self.made[value]]
        else:
            source = inputs[0] if call.is_view else None
            place = None if fused else self._place(value)
            shape = tuple(int(size) for size in out.shape)
            call.outputs = [Tensor(out.name, shape, out.dtype, out.exponent, source, place)]
            self.made[value] = call.outputs[0]
        choice = compiled.choices.at(index)
        if choice is not None:
            call.input_range, call.variant = (choice.low, choice.high), choice.variant
        if not call.is_view and not fused:
            call.kernel = self._c_function(step.symbol)
            call.constants = [c for c in self.constants if c.name.startswith(f"{step.symbol}_")]
            block = compiled.plan.scratch.get(index)
            call.scratch = None if block is None else Scratch(block.size, block.offset)
            call.lead, call.split = compiled.choices.lead(index), compiled.choices.split_at(index)
        if call.split is None:
            call.whole = compiled.choices.whole.get(index, "")
        call.macs = OPERATORS[kernel.operator].macs(kernel)
        return call

    def _fused(self, first: Call, last: Call) -> Call:
        """One call, whose function and number are those of the second."""
        first.index, first.symbol, first.followers = last.index, last.symbol, [last]
        for name in ("kernel", "constants", "scratch", "lead", "split"):
            setattr(first, name, getattr(last, name))
        last.kernel, last.constants, last.scratch, last.split = "", [], None, None
        first.macs += last.macs
        return first

    def _fallback(self, index: int, step: Step) -> Call:
        fallback = self.compiled.fallbacks[index]
        inputs = [self._read(value) for value in step.arguments]
        outputs = []
        for value in step.results:
            if value.kind != "output":
                self.made[value] = self._result(value)
            outputs.append(self.made[value])
        call = Call(step.symbol, "", inputs, outputs, index=index)
        call.node_indices = fallback.node_indices
        call.nodes = [str(self.compiled.imported.nodes[i]) for i in fallback.node_indices]
        last = self.compiled.imported.nodes[max(fallback.node_indices)] if fallback.node_indices else None
        if last is not None and len(last.outputs) == len(outputs) == 1:
            call.output_node = last.index
            outputs[0].name = outputs[0].name or last.outputs[0]
        call.relay, call.operations = fallback.operators, fallback.operations
        call.reason = self.compiled.reason(fallback)
        return call

    def _result(self, value: Value) -> Tensor:
        """What a function of TVM's writes: of the type of the kernel that reads it, else bytes."""
        place, size = self._place(value), self.compiled.lowered.bytes[value]
        for step in self.compiled.lowered.steps:
            kernel = self.compiled.partitioned.calls.get(step.symbol)
            if kernel is not None and value in step.arguments:
                parameters = self.compiled.partitioned.parameters[step.symbol]
                own = kernel.inputs[parameters.index(step.arguments.index(value))]
                return Tensor("", tuple(own.shape), own.dtype, own.exponent, place=place)
        return Tensor("", (size,), "uint8", place=place)

    def _read(
        self,
        value: Value,
        name: str = "",
        shape: Optional[tuple] = None,
        dtype: str = "",
        exponent: Optional[int] = None,
    ) -> Tensor:
        """The tensor as its reader has it: the maker's own, or the same bytes in another shape."""
        if value.kind == "constant" and value not in self.made:
            index = len(self.constants) - len(self.compiled.lowered.constants) + value.index
            array = self.compiled.lowered.constants[value.index]
            place = Place("constant", index=index)
            self.made[value] = Tensor("", tuple(array.shape), array.dtype.name, place=place)
        tensor = self.made[value]
        if shape is None or (tuple(shape) == tuple(tensor.shape) and dtype == tensor.dtype):
            return tensor
        return Tensor(name, tuple(int(size) for size in shape), dtype, exponent, tensor, tensor.place)

    def _place(self, value: Value) -> Optional[Place]:
        block = self.compiled.plan.where.get(value)
        if block is not None:
            return Place("arena", block.offset)
        source = self.compiled.plan.aliases.get(value)
        return None if source is None else Place(source.kind, index=source.index)

    def _c_function(self, symbol: str) -> str:
        body = re.search(rf"(?ms)^int32_t {symbol}\(.*?^}}", self.compiled.lib1)
        pattern = r"^    (?:return )?(esp_dl_(?!begin_part|finish_part)\w+|memcpy|memmove)\("
        called = re.search(pattern, body.group(), re.M) if body else None
        return called.group(1) if called else ""
