"""The program in the order of its calls: by TVM's AOT compiler, with its C, where operators have no kernel."""

from __future__ import annotations

import re
from typing import Dict, List, Sequence, Set, Tuple

import numpy as np
import tvm
from tvm import relay, tir

from ..c_text import C_TYPES, SCRATCH_PARAMETER
from ..errors import UserError
from ..naming import shown
from ..program import Call, Constant, Place, Program, Scratch, Tensor
from ..tvm_errors import without_tvm_log
from .importing.import_onnx import Imported, node_indices
from .main_calls import MainCalls, program_of_kernels
from .partition import COMPILER, Partitioned
from .results import Results
from .uncompilable import refusal_of_one


def _kernel_module(function: relay.Function):
    """`relay.ext.esp`: the C of kernels is written with the rest of the program, TVM only needs the symbol."""
    symbol = str(function.attrs["global_symbol"])
    return tvm.runtime._ffi_api.CSourceModuleCreate(f"/* {symbol}: see default_lib1.c */\n", "c", [symbol], None)


# TVM's C code generator has no absolute value of floats, and writes max(x, -x) instead.
tvm.ir.register_intrin_lowering(
    "tir.fabs", "default", f=lambda call: tir.call_pure_extern(call.dtype, "fabsf", *call.args), level=11
)


@tvm.instrument.pass_instrument
class _Optimized:
    """Keeps what TVM's optimizer makes of main, as `relay.optimize` would return it, before operators become loops."""

    def run_before_pass(self, mod: tvm.IRModule, info: tvm.transform.PassInfo) -> None:
        # The first pass behind the optimizer.
        if info.name == "LabelOps":
            self.body = mod["main"].body


@without_tvm_log()
def lower(partitioned: Partitioned, imported: Imported) -> Program:
    """The program of a model; what has no kernel by TVM's AOT compiler, which also says the order of the calls then."""
    results = Results(partitioned.mod)
    program = program_of_kernels(results, partitioned, imported) or _compiled(results, partitioned, imported)
    # Without those of operators that TVM created itself.
    program.refusals = {node: why for node, why in partitioned.refusals.items() if node >= 0}
    results.copy(program, imported)
    _say_exponents(program)
    return program


def _compiled(results: Results, partitioned: Partitioned, imported: Imported) -> Program:
    """Run TVM's AOT compiler (C target, unpacked interface) and read the program out of the TIR of its main."""
    tvm._ffi.register_func(f"relay.ext.{COMPILER}", _kernel_module, override=True)
    executor = relay.backend.Executor(
        "aot",
        {
            "workspace-byte-alignment": 16,
            "constant-byte-alignment": 16,
            "interface-api": "c",
            "unpacked-api": True,
        },
    )
    target = tvm.target.Target("c")
    config = {"tir.disable_vectorize": True, "tir.disable_storage_rewrite": True, "tir.usmp.enable": False}
    # AlterOpLayout would turn fallback operators to layouts blocked for x86 caches. ToBasicBlockNormalForm is for
    # control flow, which no model here has, and loses the spans that refer to the ONNX nodes.
    # FoldScaleAxis would change the rounding of floats, and multiply weights at run time.
    disabled = ["AlterOpLayout", "ToBasicBlockNormalForm", "FoldScaleAxis"]
    optimized = _Optimized()
    with tvm.transform.PassContext(3, config=config, disabled_pass=disabled, instruments=[optimized]):
        try:
            library = relay.build(
                results.mod,
                target=target,
                runtime=relay.backend.Runtime("crt"),
                executor=executor,
                mod_name="default",
            )
        except Exception as error:  # TVM raises many kinds of exceptions; the user's model causes them.
            raise refusal_of_one(results.mod, imported, target, error)
    functions = {
        var.name_hint: function for mod in library.lowered_ir_mods.values() for var, function in mod.functions.items()
    }
    program = _MainReader(functions, partitioned, imported, results.computed).read()
    source, program.fallback_constant_bytes = _fallback_source(library.lib, _floats(functions))
    _describe_fallbacks(program, optimized.body, partitioned, imported)
    _refuse_packed(program, source)
    program.fallback_source = _with_own_scratch(source)
    for call in program.fallbacks:
        # Small buffers are on the stack.
        if SCRATCH_PARAMETER in _signature(program.fallback_source, call.symbol):
            call.scratch = Scratch(_scratch(functions[call.symbol]))
    return program


class _MainReader:
    """Reads a program out of the TIR of TVM's main."""

    def __init__(
        self,
        functions: Dict[str, tir.PrimFunc],
        partitioned: Partitioned,
        imported: Imported,
        computed: Sequence[int],
    ):
        """computed: the places of main's results among the model's outputs."""
        self.functions, self.calls, self.computed = functions, MainCalls(partitioned, imported), computed
        self.program = self.calls.program
        # The tensor that a TIR variable holds now; the output that a variable is.
        self.current: Dict[object, Tensor] = {}
        self.output_of: Dict[object, int] = {}

    def read(self) -> Program:
        main = self.functions["__tvm_main__"]
        ports = [*self.program.inputs, *(self.program.outputs[place] for place in self.computed)]
        for param, port in zip(main.params, ports):
            for variable in (param, main.buffer_map[param].data):
                if port.place.kind == "input":
                    self.current[variable] = port
                else:
                    self.output_of[variable] = port.place.index
        _walk(main.body, self._visit)
        return self.program

    def _visit(self, node) -> None:
        if isinstance(node, tir.AllocateConst):
            self._constant(node)
        elif isinstance(node, tir.Call) and node.op.name in ("tir.call_extern", "tir.call_unpacked"):
            arguments = [_variable(argument) for argument in node.args[1:] if not _is_null(argument)]
            self._call(node.args[0].value, arguments)

    def _constant(self, node: tir.AllocateConst) -> None:
        array, index = node.data.numpy(), len(self.program.constants)
        name = f"tvmgen_default_constant_{index}"
        self.program.constants.append(Constant(C_TYPES[array.dtype.name], name, array, "TVM's constant"))
        self.current[node.buffer_var] = Tensor("", array.shape, array.dtype.name, place=Place("constant", index=index))

    def _call(self, symbol: str, variables: list) -> None:
        if symbol in self.calls.partitioned.calls:
            *read, written = variables
            place = self.output_of.get(written)
            self.current[written] = self.calls.add_kernel(symbol, [self.current[v] for v in read], place)
            return
        made = self._results(symbol)
        read, written = variables[: len(variables) - len(made)], variables[len(variables) - len(made) :]
        call = Call(symbol, "", [self.current[v] for v in read], [])
        self.current.update(zip(written, self.calls.add(call, made, [self.output_of.get(v) for v in written])))

    def _results(self, symbol: str) -> List[Tensor]:
        """The tensors that a TVM function writes."""
        function = self.functions[symbol]
        written = _written(function)
        buffers = [function.buffer_map[p] for p in function.params if p in function.buffer_map]
        return [Tensor("", tuple(map(int, b.shape)), str(b.dtype)) for b in buffers if b.data in written]


def _say_exponents(program: Program) -> None:
    """Record the inner type, exponent and zero point of float ports.

    They are those of the quantize that reads an input, or of the dequantize that writes an output.
    """
    for port in program.inputs:
        same = {port}  # and tensors that are only moved from it
        for call in program.kernels:
            # Indices and conditions have no exponent, and what they choose is not moved from them.
            if not same.intersection(x.root for x in call.inputs if x.dtype not in ("int32", "int64", "bool")):
                continue
            read = call.inputs[0] if call.kind != "quantize" else call.output
            if read.exponent is not None:
                port.exponent, port.inside = read.exponent, read.dtype
                if call.kind == "quantize":
                    port.zero_point = call.attributes.get("zero_point", 0)
                break
            same.update(call.outputs)
    for call in program.kernels:
        for output in call.outputs:
            if output.place is not None:
                inside = output if call.kind != "dequantize" else call.inputs[0]
                port = program.outputs[output.place.index]
                port.exponent, port.inside = inside.exponent, inside.dtype if inside.exponent is not None else None


def _walk(body: tir.Stmt, visit) -> None:
    """Visit statements and calls in the order in which they are executed."""
    if isinstance(body, tir.SeqStmt):
        for statement in body.seq:
            _walk(statement, visit)
    elif isinstance(body, (tir.Allocate, tir.AttrStmt, tir.DeclBuffer, tir.LetStmt)):
        _walk(body.body, visit)
    elif isinstance(body, tir.AllocateConst):
        visit(body)
        _walk(body.body, visit)
    elif isinstance(body, tir.Evaluate):
        _calls(body.value, visit)
    else:
        # TVM's own copy of an input, of operators that it finds to change nothing (x * 1), is a loop in main.
        raise UserError(
            "an output is a copy of an input behind operators that change nothing; remove these from the model"
        )


def _calls(value, visit) -> None:
    if isinstance(value, tir.Call):
        if value.op.name == "tir.tvm_check_return":
            _calls(value.args[2], visit)
        else:
            visit(value)


def _variable(argument):
    """The buffer that a call's argument refers to."""
    if isinstance(argument, tir.Call) and argument.op.name == "tir.address_of":
        return argument.args[0].buffer.data
    return argument


def _is_null(argument) -> bool:
    return isinstance(argument, tir.Call) and argument.op.name in ("tir.reinterpret", "tir.tvm_stack_make_array")


def _written(function: tir.PrimFunc) -> set:
    variables = set()

    def visit(node):
        if isinstance(node, tir.BufferStore):
            variables.add(node.buffer.data)

    tir.stmt_functor.post_order_visit(function.body, visit)
    return variables


def _scratch(function: tir.PrimFunc) -> int:
    """Bytes that a fallback function allocates (the sum of its allocations, each aligned to 16)."""
    total = 0

    def visit(node):
        nonlocal total
        if isinstance(node, tir.Allocate):
            elements = int(np.prod([int(e) for e in node.extents], dtype=np.int64))
            total += (elements * np.dtype(node.dtype).itemsize + 15) // 16 * 16

    tir.stmt_functor.post_order_visit(function.body, visit)
    return total


class _MainCalls(relay.ExprVisitor):
    """The calls of main in order, without those inside the functions it calls."""

    def __init__(self):
        super().__init__()
        self.calls: List[relay.Call] = []

    def visit_function(self, function):
        pass

    def visit_call(self, call):
        for argument in call.args:
            self.visit(argument)
        self.calls.append(call)


class _Called:
    """A function of TVM's optimized main, and the operators in it in order."""

    def __init__(self, call: relay.Call):
        visitor = _MainCalls()
        visitor.visit(call.op.body)
        attributes = dict(call.op.attrs.items())
        self.symbol = str(attributes.get("global_symbol", "")) if "Compiler" in attributes else ""
        self.inner: List[relay.Call] = [] if self.symbol else visitor.calls
        names = "_".join(one.op.name for one in self.inner).replace(".", "_")
        # TVM shortens names beyond some 80 characters.
        self.prefix = f"tvmgen_default_fused_{names}"[:60]

    def is_call(self, call: Call) -> bool:
        """Whether `call` may be a call of this function, by its name."""
        return call.symbol == self.symbol if self.symbol else call.symbol.startswith(self.prefix)


def _describe_fallbacks(program: Program, optimized: relay.Expr, partitioned: Partitioned, imported: Imported) -> None:
    """The operators of each step without a kernel: the calls of what TVM's optimizer made are matched with the steps.

    optimized: the body of main
    """
    if not program.fallbacks:
        return
    visitor = _MainCalls()
    visitor.visit(optimized)
    functions = [_Called(call) for call in visitor.calls if isinstance(call.op, relay.Function)]
    place = 0
    for call in program.calls():
        # Reshapes of tensors that TVM allocated itself are not steps.
        next_place = next((i for i in range(place, len(functions)) if functions[i].is_call(call)), None)
        place = place if next_place is None else next_place + 1
        if not call.is_fallback:
            continue
        inner = functions[next_place].inner if next_place is not None else []
        call.node_indices = sorted({node for one in inner for node in node_indices(one)})
        call.nodes = [str(imported.nodes[index]) for index in call.node_indices]
        call.operations = sum(_operations(one) for one in inner)
        call.relay = [one.op.name for one in inner] or [call.symbol]
        call.reason = _reason(call, partitioned.refusals)
        _name_output(call, inner, imported)


def _name_output(fallback: Call, inner: List[relay.Call], imported: Imported) -> None:
    """Record the ONNX tensor that a step computes: that of its last operator, or of its last node."""
    made_by = (node_indices(inner[-1]) if inner else []) or fallback.node_indices[-1:]
    if made_by and len(fallback.outputs) == len(imported.nodes[made_by[0]].outputs) == 1:
        fallback.output_node = made_by[0]
        fallback.output.name = imported.tensor_of(made_by[0])


def _reason(fallback: Call, refusals: Dict[int, str]) -> str:
    """Why a step has no kernel: the reason of a kernel that refused it, or that there is no integer rule."""
    given = [refusals[index] for index in fallback.node_indices if index in refusals]
    if given:
        return "; ".join(dict.fromkeys(given))
    return f"no integer rule for {', '.join(dict.fromkeys(fallback.relay))} on these tensors"


def _refuse_packed(program: Program, source: str) -> None:
    """Refuse operators for which TVM's C would call its runtime library."""
    if not re.search(r"TVMBackendGetFuncFromEnv|TVMFuncCall|tvm_contrib_\w+", source):
        return
    callers = _callers(source)
    calls = [call for call in program.fallbacks if call.symbol in callers]
    named = [shown(program.nodes[index]) for call in calls for index in call.node_indices]
    named = named or [name for call in calls for name in call.relay]
    raise UserError(
        f"no kernel computes {', '.join(dict.fromkeys(named)) or 'an operator of this model'}, "
        "and TVM's C for it needs TVM's runtime library, which the chip does not have"
    )


def _with_own_scratch(source: str) -> str:
    """`source` with a parameter for scratch memory in every function that allocates some.

    TVM's functions would take it from one stack of the program, which two tasks with separate arenas would share.
    """

    def add(match) -> str:
        name, parameters, body = match.groups()
        if "TVMBackendAllocWorkspace" not in body:
            return match.group()
        return f"static int32_t {name}({parameters}, uint8_t *{SCRATCH_PARAMETER}) {{\n{body}}}\n"

    return re.sub(r"(?ms)^static int32_t (\w+)\(([^)]*)\) \{\n(.*?)^\}\n", add, source)


def _signature(source: str, symbol: str) -> str:
    found = re.search(rf"(?m)^static int32_t {re.escape(symbol)}\(([^)]*)\)", source)
    return found.group(1) if found else ""


def _floats(functions: Dict[str, tir.PrimFunc]) -> Dict[str, str]:
    """Floats in TIR that TVM prints with too few digits: its text with 7 digits -> the text with as many as float32
    has.

    Two floats with the same printed text keep their 7 digits, since the text does not tell them apart.
    """
    exact: Dict[str, Set[str]] = {}

    def visit(node):
        if isinstance(node, tir.FloatImm) and np.isfinite(node.value):
            exact.setdefault(f"{node.value:e}", set()).add(f"{np.float32(node.value):.8e}")

    for function in functions.values():
        tir.stmt_functor.post_order_visit(function.body, visit)
    only = {short: next(iter(texts)) for short, texts in exact.items() if len(texts) == 1}
    return {s: t for s, t in only.items() if np.float32(s) != np.float32(t)}


def _fallback_source(library, floats: Dict[str, str]) -> Tuple[str, int]:
    """(the C functions that TVM generated and their constants, without includes and main; bytes of the constants).

    floats: see `_floats`
    """
    source = ""
    for module in [library, *library.imported_modules]:
        if module.type_key == "c" and "tvmgen_default_fused" in module.get_source():
            source += module.get_source()
    # No C compiler accepts TVM's text for infinity.
    source = re.sub(r"(?<![\w.])inff?(?![\w.])", "INFINITY", source)
    source = re.sub(r"\b\d\.\d{6}e[+-]\d+(?=f\b)", lambda found: floats.get(found.group(), found.group()), source)
    constants = re.findall(r"(?ms)^static const (\w+) __attribute__[^\n]*? (\w+)\[(\d+)\] = \{\n(.*?)\n\};$", source)
    blocks = re.findall(r"(?m)^TVM_DLL int32_t (tvmgen_default_(?!__)\w+)\(([^)]*)\) \{\n(.*?)^\}\n", source, re.S)
    parts = [
        f"static TVMGEN_DEFAULT_CONSTANT_ATTRIBUTE const {c_type} {name}[{size}] __attribute__((aligned(16))) = "
        f"{{\n{values}\n}};\n"
        for c_type, name, size, values in constants
    ]
    if parts:
        parts.insert(
            0, "#ifndef TVMGEN_DEFAULT_CONSTANT_ATTRIBUTE\n#define TVMGEN_DEFAULT_CONSTANT_ATTRIBUTE\n#endif\n"
        )
    parts += [f"static int32_t {name}({params}) {{\n{body}}}\n" for name, params, body in blocks]
    return "\n".join(parts), sum(_C_SIZES[c_type] * int(size) for c_type, _, size, _ in constants)


def _elements(type_) -> int:
    """Values in a tensor, or in all tensors of a tuple."""
    if isinstance(type_, tvm.ir.TupleType):
        return sum(_elements(field) for field in type_.fields)
    return int(np.prod([int(dim) for dim in type_.shape], dtype=np.int64))


def _operations(call: relay.Call) -> int:
    """The cost of one operator: one operation per value it computes, or per multiply-accumulate."""
    name, made = call.op.name, _elements(call.checked_type)
    if name in ("nn.dense", "nn.batch_matmul", "nn.matmul"):
        return made * int(call.args[0].checked_type.shape[-1])
    if "conv" in name and len(call.args) > 1:
        # Every weight of an output channel is used once per value (transposed: per value of the input).
        kernel = int(np.prod(call.attrs.kernel_size)) if call.attrs.kernel_size is not None else 1
        weights = _elements(call.args[1].checked_type)
        channels = int(call.attrs.channels) if call.attrs.channels is not None else max(weights // kernel, 1)
        return made * max(weights // channels, 1)
    return max([made] + [_elements(arg.checked_type) for arg in call.args])


def _callers(source: str) -> List[str]:
    """The functions in TVM's C that call functions of TVM's runtime library."""
    blocks = re.findall(r"(?ms)^static int32_t (\w+)\([^)]*\) \{\n(.*?)^\}\n", source)
    return [name for name, body in blocks if re.search(r"TVMBackendGetFuncFromEnv|TVMFuncCall", body)]


_C_SIZES = {"float": 4, "double": 8, "bool": 1, **{f"{u}int{b}_t": b // 8 for u in ("", "u") for b in (8, 16, 32, 64)}}
