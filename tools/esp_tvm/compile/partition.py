"""Assigns expressions to kernels: patterns with checks, then one function per kernel call."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import Callable, Dict, List, Optional, Tuple

import tvm
from tvm import relay
from tvm.relay.dataflow_pattern import DFPattern

from ..operators import OPERATORS, Operator, Refusal
from ..operators.base import Operand
from ..program import Call, Program, Tensor
from ..tvm_errors import without_tvm_log
from .importing.import_onnx import Imported, node_indices
from .rewriting.bool_constants import bytes_for_truths
from .rewriting.canonical_forms import Canonicalize
from .rewriting.composites import COMPILER, as_global_functions, compose
from .rewriting.kernel_forms import PadsOfConvolutions, after_layout, before_layout, settle
from .rewriting.layout import convert_layout, simplify_layout
from .rewriting.matching import Node, merge_composites
from .rewriting.recurrent_calls import quantize_directions, unroll
from .rewriting.toolbox import CallRewriter, is_call, rewrite_main, with_args


@dataclass
class Partitioned:
    """The module after partitioning.

    mod: main calls one global function per kernel; operators left in main itself fall back to TVM's C code
    calls: global symbol -> its kernel call
    parameters: global symbol -> for each input of the kernel call the index of the function's parameter
    refusals: ONNX node index -> why a kernel refused it although its pattern matches
    lowered: the program that TVM's build made of it, None before the first compile; each compile changes a copy
    """

    mod: tvm.IRModule
    calls: Dict[str, Call] = field(default_factory=dict)
    parameters: Dict[str, List[int]] = field(default_factory=dict)
    refusals: Dict[int, str] = field(default_factory=dict)
    lowered: Optional[Program] = None


class _OwnDequantize(CallRewriter):
    """A separate dequantize for every reader: a shared one would not match any pattern."""

    def rewrite(self, call: relay.Call, args: List[relay.Expr]) -> relay.Expr:
        return with_args(call, [self._own(arg) for arg in args])

    def visit_tuple(self, tuple_: relay.Tuple) -> relay.Expr:
        return relay.Tuple([self._own(self.visit(item)) for item in tuple_.fields], tuple_.span)

    @staticmethod
    def _own(expr: relay.Expr) -> relay.Expr:
        return with_args(expr, expr.args) if is_call(expr, "qnn.dequantize") else expr


def _calls_in(expr: relay.Expr) -> List[relay.Call]:
    found: List[relay.Call] = []
    relay.analysis.post_order_visit(expr, lambda e: found.append(e) if isinstance(e, relay.Call) else None)
    return found


def pattern_table(refusals: Dict[int, str]) -> List[Tuple[str, DFPattern, Callable[[Node], bool]]]:
    """(operator, pattern, check) of every operator, in order; the checks add to `refusals`."""

    def check_of(operator: Operator) -> Callable[[Node], bool]:
        def check(root: Node) -> bool:
            try:
                operator.parse(root.expr)
            except Refusal as refusal:
                if str(refusal):
                    refusals.setdefault(_main_node(root), str(refusal))
                return False
            return True

        return check

    return [(operator.name, pattern, check_of(operator)) for operator, pattern in _patterns()]


@functools.lru_cache(maxsize=None)
def _patterns() -> List[Tuple[Operator, DFPattern]]:
    return [(operator, pattern) for operator in OPERATORS.values() for pattern in operator.patterns()]


_MINOR = ("qnn.quantize", "qnn.dequantize", "nn.relu", "clip", "add", "nn.bias_add")


def _main_node(root: Node) -> int:
    """The main ONNX node of a match: the first operator in it that is neither a quantization nor fused into another;
    -1 where another kernel has it."""
    nodes, before = [root], []
    while nodes or before:
        # What is quantized before comes last: it belongs to other matches.
        node = (nodes or before).pop(0)
        if not isinstance(node.expr, relay.Call):
            continue
        if node.taken:
            return -1
        if node.op not in _MINOR or not any(isinstance(part.expr, relay.Call) for part in node.parts):
            return next(iter(node_indices(node.expr)), -1)
        (before if node.op == "qnn.dequantize" else nodes).extend(node.parts)
    return next(iter(node_indices(root.expr)), -1)


def prepare(mod: tvm.IRModule) -> tvm.IRModule:
    """Convert to layout NHWC and to the normal form that the patterns expect."""
    mod = relay.transform.InferType()(mod)
    mod = rewrite_main(mod, Canonicalize())
    mod = convert_layout(before_layout(quantize_directions(mod)))
    mod = bytes_for_truths(settle(simplify_layout(after_layout(mod))))
    return rewrite_main(rewrite_main(mod, PadsOfConvolutions()), _OwnDequantize())


@without_tvm_log()
def partition(imported: Imported) -> Partitioned:
    """Assign every expression that a kernel can compute to that kernel."""
    refusals: Dict[int, str] = {}
    mod = merge_composites(compose(prepare(imported.mod)), pattern_table(refusals))
    mod = _number_by_call_order(unroll(as_global_functions(mod)))
    result = Partitioned(mod, refusals=refusals)
    for symbol, function in kernel_functions(mod).items():
        call, parameters = read_kernel_call(symbol, function, imported)
        result.calls[symbol], result.parameters[symbol] = call, parameters
    _name_tensors(result, imported)
    taken = {index for call in result.calls.values() for index in call.node_indices}
    result.refusals = {index: why for index, why in refusals.items() if index not in taken}
    return result


def kernel_functions(mod: tvm.IRModule) -> Dict[str, relay.Function]:
    """The functions of `mod` that kernels compute, by symbol."""
    return {
        var.name_hint: function
        for var, function in mod.functions.items()
        if function.attrs and function.attrs.get("Compiler") == COMPILER
    }


def _number_by_call_order(mod: tvm.IRModule) -> tvm.IRModule:
    """Rename the kernel functions so that N of `esp_main_N` counts up in the order of the calls."""
    order: List[str] = []
    for call in _calls_in(mod["main"].body):
        if isinstance(call.op, relay.GlobalVar) and call.op.name_hint not in order:
            order.append(call.op.name_hint)
    new_names = {old: f"tvmgen_default_{COMPILER}_main_{number}" for number, old in enumerate(order)}
    variables = {old: relay.GlobalVar(new) for old, new in new_names.items()}

    class Rename(relay.ExprMutator):
        def visit_global_var(self, gvar):
            return variables.get(gvar.name_hint, gvar)

    functions = {}
    for var, function in mod.functions.items():
        if var.name_hint == "main":
            body = Rename().visit(function.body)
            functions[var] = relay.Function(function.params, body, None, function.type_params, function.attrs)
        elif var.name_hint in variables:
            functions[variables[var.name_hint]] = function.with_attr("global_symbol", new_names[var.name_hint])
        else:
            functions[var] = function
    return relay.transform.InferType()(tvm.IRModule(functions, mod.type_definitions))


def read_kernel_call(symbol: str, function: relay.Function, imported: Imported) -> Tuple[Call, List[int]]:
    """(kernel call, parameter index of each of its inputs) of a partitioned function."""
    outer = function.body
    composite = outer.op
    operator = OPERATORS[composite.attrs["Composite"].split(".", 1)[1]]
    parsed = operator.parse(composite.body)
    parameters = []
    for operand in parsed.inputs:
        inner = next(i for i, p in enumerate(composite.params) if p.same_as(operand.expr))
        parameters.append(next(i for i, p in enumerate(function.params) if p.same_as(outer.args[inner])))

    def tensor(operand: Operand) -> Tensor:
        return Tensor("", operand.shape, operand.dtype, operand.exponent)

    indices: List[int] = []
    for call in _calls_in(composite.body):
        indices += [index for index in node_indices(call) if index not in indices]
    call = Call(
        symbol,
        operator.name,
        [tensor(operand) for operand in parsed.inputs],
        [tensor(parsed.output)],
        parsed.attributes,
    )
    call.node_indices = _essential(sorted(indices), imported)
    call.nodes = [str(imported.nodes[index]) for index in call.node_indices]
    last = node_indices(composite.body)
    call.output_node = last[0] if last else None
    return call, parameters


def _essential(indices: List[int], imported: Imported) -> List[int]:
    """Without QuantizeLinear and DequantizeLinear, unless there are no other nodes; a Pad, which became another node's
    padding, behind it: the first one gives the layer its name."""
    real = [i for i in indices if imported.nodes[i].op_type not in ("QuantizeLinear", "DequantizeLinear")]
    return sorted(real, key=lambda i: imported.nodes[i].op_type == "Pad") or indices


def _name_tensors(result: Partitioned, imported: Imported) -> None:
    """Give the kernels' tensors their ONNX names and the exponents that moves inherit."""
    known: Dict[object, Tensor] = {}
    makers: Dict[object, Call] = {}
    ports = {port.c_name: port for port in imported.inputs}
    for param in result.mod["main"].params:
        port = ports[param.name_hint]
        known[param] = Tensor(port.name, port.shape, port.dtype)
    for expr in _calls_in(result.mod["main"].body):
        if not isinstance(expr.op, relay.GlobalVar):
            continue
        call = result.calls[expr.op.name_hint]
        arguments = [expr.args[index] for index in result.parameters[call.symbol]]
        for position, argument in enumerate(arguments):
            source = known.get(argument)
            own = call.inputs[position]
            if source is not None:
                exponent = own.exponent if own.exponent is not None else source.exponent
                call.inputs[position] = Tensor(source.name, own.shape, own.dtype, exponent)
        output = call.output
        exponent = output.exponent
        if exponent is None and output.dtype in ("int8", "int16"):
            exponent = call.inputs[0].exponent
        place = OPERATORS[call.operator].output_place
        name = imported.tensor_of(call.output_node, place) if call.output_node is not None else ""
        call.outputs = [Tensor(name, output.shape, output.dtype, exponent)]
        known[expr], makers[expr] = call.output, call
    # Of what is taken from a table the exponent is that by which it is read; moves hand it on.
    for expr, call in reversed(list(makers.items())):
        if call.inputs[0].exponent is None and call.inputs[0].dtype in ("int8", "int16"):
            call.inputs[0].exponent = call.output.exponent
        for tensor, index in zip(call.inputs, result.parameters[call.symbol]):
            maker = makers.get(expr.args[index])
            if maker is not None and maker.output.exponent is None and maker.output.dtype in ("int8", "int16"):
                maker.output.exponent = tensor.exponent
