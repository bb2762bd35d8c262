"""TVM's AOT compiler: the order of the calls, and C for the operators that have no kernel."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Dict, List, Set, Tuple

import numpy as np
import tvm
from tvm import relay, tir

from ..errors import UserError
from ..tvm_errors import tvm_reason, without_tvm_log
from .importing.import_onnx import Imported, node_indices
from .partition import COMPILER, Partitioned


@dataclass(frozen=True)
class Value:
    """One value that main computes or is given.

    kind: "input" and "output" (`index` counts the model's), "value" (`index` counts what calls compute),
    "constant" (`index` counts `Lowered.constants`)
    """

    kind: str
    index: int


@dataclass
class Step:
    """One call in main: `symbol(*arguments, *results)`."""

    symbol: str
    arguments: List[Value]
    results: List[Value]


@dataclass
class Lowered:
    """What main does, and the C functions of TVM that it calls besides kernels.

    bytes: size of every value
    fallback_source: C of TVM's functions and constants (fallback_constant_bytes of them);
        scratch_bytes: what they allocate at most at a time
    fallbacks: step index -> what a step without a kernel computes
    """

    steps: List[Step]
    bytes: Dict[Value, int]
    constants: List[np.ndarray] = field(default_factory=list)
    fallback_source: str = ""
    fallback_constant_bytes: int = 0
    scratch_bytes: int = 0
    fallbacks: Dict[int, Fallback] = field(default_factory=dict)


@dataclass
class Fallback:
    """A step without a kernel: the Relay operators in it and the ONNX nodes they come from.

    operations: what it costs, the values that its operators compute plus their multiply-accumulates
    """

    symbol: str
    operators: List[str]
    node_indices: List[int]
    operations: int = 0


def _kernel_module(function: relay.Function):
    """`relay.ext.esp`: the C of kernels is written with the rest of the program, TVM only needs the symbol."""
    symbol = str(function.attrs["global_symbol"])
    return tvm.runtime._ffi_api.CSourceModuleCreate(f"/* {symbol}: see default_lib1.c */\n", "c", [symbol], None)


# TVM's C code generator knows no absolute value of floats, and makes one of max(x, -x).
tvm.ir.register_intrin_lowering(
    "tir.fabs", "default", f=lambda call: tir.call_pure_extern(call.dtype, "fabsf", *call.args), level=11
)


@without_tvm_log()
def lower(partitioned: Partitioned, imported: Imported) -> Lowered:
    """Run TVM's AOT compiler (C target, unpacked interface) and read the plan of main out of its TIR."""
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
    # control flow, which no model here has, and loses the spans that lead back to the ONNX nodes.
    # FoldScaleAxis would change how floats are rounded, and multiply weights while the model runs.
    disabled = ["AlterOpLayout", "ToBasicBlockNormalForm", "FoldScaleAxis"]
    context = {"opt_level": 3, "config": config, "disabled_pass": disabled}
    with tvm.transform.PassContext(**context):
        try:
            library = relay.build(
                partitioned.mod,
                target=target,
                runtime=relay.backend.Runtime("crt"),
                executor=executor,
                mod_name="default",
            )
        except Exception as error:  # TVM raises anything; what it stumbles on is the user's model.
            raise UserError(f"TVM cannot compile what has no kernel in this model: {tvm_reason(error)}")
    functions = {
        var.name_hint: function for mod in library.lowered_ir_mods.values() for var, function in mod.functions.items()
    }
    lowered = _read_main(functions, partitioned, imported)
    lowered.fallbacks = _fallbacks(lowered, partitioned, target, context)
    lowered.fallback_source, lowered.fallback_constant_bytes = _fallback_source(library.lib, _floats(functions))
    packed = re.search(r"TVMBackendGetFuncFromEnv|TVMFuncCall|tvm_contrib_\w+", lowered.fallback_source)
    if packed:
        named = [
            o for f in lowered.fallbacks.values() for o in f.operators if f.symbol in _callers(lowered.fallback_source)
        ]
        raise UserError(
            f"no kernel computes {', '.join(dict.fromkeys(named)) or 'an operator of this model'}, "
            "and TVM's C for it needs TVM's runtime library, which the chip does not have"
        )
    if "TVMBackendAllocWorkspace" in lowered.fallback_source:  # what is small lies on the stack
        own = [_scratch(f) for name, f in functions.items() if name != "__tvm_main__"]
        lowered.scratch_bytes = max(own, default=0)
    return lowered


def _read_main(functions: Dict[str, tir.PrimFunc], partitioned: Partitioned, imported: Imported) -> Lowered:
    main = functions["__tvm_main__"]
    inputs, outputs = len(imported.inputs), len(imported.outputs)
    current: Dict[object, Value] = {}
    sizes: Dict[Value, int] = {}
    constants: List[np.ndarray] = []
    for position, param in enumerate(main.params[: inputs + outputs]):
        kind, index = ("input", position) if position < inputs else ("output", position - inputs)
        port = imported.inputs[index] if kind == "input" else imported.outputs[index]
        value = Value(kind, index)
        sizes[value] = int(np.prod(port.shape, dtype=np.int64)) * np.dtype(port.dtype).itemsize
        current[main.buffer_map[param].data] = current[param] = value
    steps: List[Step] = []
    made = 0

    def visit(node) -> None:
        nonlocal made
        if isinstance(node, tir.AllocateConst):
            value = Value("constant", len(constants))
            constants.append(node.data.numpy())
            sizes[value] = constants[-1].nbytes
            current[node.buffer_var] = value
            return
        if not (isinstance(node, tir.Call) and node.op.name in ("tir.call_extern", "tir.call_unpacked")):
            return
        symbol = node.args[0].value
        arguments = [argument for argument in node.args[1:] if not _is_null(argument)]
        results = _result_count(symbol, functions, partitioned)
        split = len(arguments) - results
        read = [current[_variable(a)] for a in arguments[:split]]
        written = []
        for argument, size in zip(arguments[split:], _result_bytes(symbol, functions, partitioned)):
            variable = _variable(argument)
            value = current.get(variable)
            if value is None or value.kind != "output":
                value, made = Value("value", made), made + 1
                current[variable] = value
                sizes[value] = size
            written.append(value)
        steps.append(Step(symbol, read, written))

    _walk(main.body, visit)
    return Lowered(steps, sizes, constants)


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
        # TVM copies where a result is an input, or two results are one.
        raise UserError("an output of this model is only a copy of an input or of another output; remove it")


def _calls(value, visit) -> None:
    if isinstance(value, tir.Call):
        if value.op.name == "tir.tvm_check_return":
            _calls(value.args[2], visit)
        else:
            visit(value)


def _variable(argument):
    """The buffer a call's argument stands for."""
    if isinstance(argument, tir.Call) and argument.op.name == "tir.address_of":
        return argument.args[0].buffer.data
    return argument


def _is_null(argument) -> bool:
    return isinstance(argument, tir.Call) and argument.op.name in ("tir.reinterpret", "tir.tvm_stack_make_array")


def _buffers(function: tir.PrimFunc) -> List[tir.Buffer]:
    return [function.buffer_map[p] for p in function.params if p in function.buffer_map]


def _result_count(symbol: str, functions, partitioned: Partitioned) -> int:
    return len(_result_bytes(symbol, functions, partitioned))


def _result_bytes(symbol: str, functions, partitioned: Partitioned) -> List[int]:
    if symbol in partitioned.calls:
        return [partitioned.calls[symbol].output.bytes]
    buffers = _buffers(functions[symbol])
    written = _written(functions[symbol])
    sizes = []
    for buffer in buffers:
        if buffer.data in written:
            elements = int(np.prod([int(d) for d in buffer.shape], dtype=np.int64))
            sizes.append(elements * np.dtype(buffer.dtype).itemsize)
    return sizes


def _written(function: tir.PrimFunc) -> set:
    variables = set()

    def visit(node):
        if isinstance(node, tir.BufferStore):
            variables.add(node.buffer.data)

    tir.stmt_functor.post_order_visit(function.body, visit)
    return variables


def _scratch(function: tir.PrimFunc) -> int:
    """Bytes that a fallback function allocates for itself (all of its allocations, each aligned to 16)."""
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

    def is_step(self, step: Step) -> bool:
        """Whether `step` may call this function, by its name."""
        return step.symbol == self.symbol if self.symbol else step.symbol.startswith(self.prefix)


def _fallbacks(lowered: Lowered, partitioned: Partitioned, target, context: dict) -> Dict[int, Fallback]:
    """What each step without a kernel computes: TVM's optimizer runs once more, its calls are laid beside the steps."""
    if all(step.symbol in partitioned.calls for step in lowered.steps):
        return {}
    with tvm.transform.PassContext(**context):
        optimized, _ = relay.optimize(partitioned.mod, target=target)
    visitor = _MainCalls()
    visitor.visit(optimized["main"].body)
    calls = [_Called(call) for call in visitor.calls if isinstance(call.op, relay.Function)]
    found: Dict[int, Fallback] = {}
    place = 0
    for index, step in enumerate(lowered.steps):
        # Reshapes of what TVM allocated itself are no steps.
        next_place = next((i for i in range(place, len(calls)) if calls[i].is_step(step)), None)
        place = place if next_place is None else next_place + 1
        if step.symbol in partitioned.calls:
            continue
        inner = calls[next_place].inner if next_place is not None else []
        nodes = sorted({node for one in inner for node in node_indices(one)})
        operations = sum(_operations(one) for one in inner)
        found[index] = Fallback(step.symbol, [one.op.name for one in inner] or [step.symbol], nodes, operations)
    return found


def _floats(functions: Dict[str, tir.PrimFunc]) -> Dict[str, str]:
    """Floats in TIR that TVM prints too short: as it prints them, with 7 digits -> with as many as float32 has.

    Two that TVM prints alike keep their 7 digits: which of them a text means cannot be told.
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
    # TVM prints infinity as no C compiler knows it.
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
    """What one operator costs: a step per value it computes, or per multiply-accumulate."""
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
