"""What the program must compute: two references with independent implementations of the rules.

- `evaluate_onnx_for_esp` rewrites the Relay module so that TVM on the host computes exactly what the chip computes;
  `debug_onnx_model` runs it through TVM's GraphModuleDebug.
- `evaluate_numpy` evaluates the same calls with the NumPy rules of `esp_tvm.arithmetic`.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, Dict, List, Optional, Tuple

import numpy as np

from . import arithmetic
from .compile import Imported, Partitioned
from .compile.importing.import_onnx import Port, import_onnx, relay, tvm
from .compile.partition import partition
from .compile.rewriting.toolbox import is_call
from .compile.uncompilable import refusal
from .data import load_sample
from .errors import UserError
from .files import write_text
from .model import load_model
from .operators import OPERATORS
from .states import states_of
from .tvm_errors import tvm_reason, without_tvm_log


def _imported_module(mod: tvm.IRModule, params: Optional[Dict]) -> Imported:
    """A module that the caller imported: its ports are the parameters and results of main."""
    if params:
        mod["main"] = relay.build_module.bind_params_by_name(mod["main"], params)
    mod = relay.transform.InferType()(mod)
    main = mod["main"]

    def port(name: str, type_) -> Port:
        return Port(name, name, tuple(int(dim) for dim in type_.shape), type_.dtype)

    inputs = [port(param.name_hint, param.checked_type) for param in main.params]
    result = main.ret_type
    results = list(result.fields) if isinstance(result, tvm.ir.TupleType) else [result]
    outputs = [port("output" if len(results) == 1 else f"output{i}", t) for i, t in enumerate(results)]
    return Imported(mod, {}, inputs, outputs)


def preprocess_onnx_for_esp(mod: tvm.IRModule, params: Optional[Dict] = None) -> tvm.IRModule:
    """`mod` (from `relay.frontend.from_onnx`) with one global function per kernel call, ready for AOT compilation."""
    return partition(_imported_module(mod, params)).mod


def evaluate_onnx_for_esp(mod: tvm.IRModule, params: Optional[Dict] = None) -> tvm.IRModule:
    """`mod` (from `relay.frontend.from_onnx`) rewritten to the integer arithmetic of the chip.

    The result is plain Relay for the host: build it for "llvm" and run it in any executor.
    """
    return reference_module(partition(_imported_module(mod, params)))[0]


def reference_module(partitioned: Partitioned, all_tensors: bool = False) -> Tuple[tvm.IRModule, List[str]]:
    """(module of Relay integer operators, symbols of the kernel calls whose outputs it returns after its own results).

    With `all_tensors` the module returns a tuple: its own results, then the output of every kernel call.
    """
    outputs: Dict[str, relay.Expr] = {}

    class Replace(relay.ExprMutator):
        def visit_call(self, call: relay.Call) -> relay.Expr:
            args = [self.visit(arg) for arg in call.args]
            if not isinstance(call.op, relay.GlobalVar):
                return relay.Call(call.op, args, call.attrs, call.type_args, call.span)
            symbol = call.op.name_hint
            kernel = partitioned.calls[symbol]
            inputs = [args[index] for index in partitioned.parameters[symbol]]
            outputs[symbol] = OPERATORS[kernel.operator].reference(kernel, *inputs)
            return outputs[symbol]

    main = partitioned.mod["main"]
    body = Replace().visit(main.body)
    symbols = list(outputs)
    if all_tensors:
        own = list(body.fields) if isinstance(body, relay.Tuple) else [body]
        body = relay.Tuple(own + [outputs[symbol] for symbol in symbols])
    mod = tvm.IRModule.from_expr(relay.Function(main.params, body))
    return _canonical(mod), symbols


def _canonical(mod: tvm.IRModule) -> tvm.IRModule:
    """Quantize and dequantize that no kernel computes, in plain Relay."""
    return relay.transform.InferType()(relay.qnn.transform.CanonicalizeOps()(relay.transform.InferType()(mod)))


# --- NumPy ------------------------------------------------------------------------------------------------


@dataclass
class Evaluation:
    """outputs: ONNX output name -> array; tensors: symbol of a kernel call -> its output (as in memory).

    arguments: symbol -> the inputs of the kernel call, if the evaluator knows them
    floats: Relay call without a kernel -> what TVM computes for it
    """

    outputs: Dict[str, np.ndarray]
    tensors: Dict[str, np.ndarray]
    arguments: Dict[str, List[np.ndarray]] = field(default_factory=dict)
    floats: Dict[relay.Expr, np.ndarray] = field(default_factory=dict)


class NumpyEvaluator:
    """Evaluates a partitioned model: kernels by the NumPy rules, everything else with TVM on this computer."""

    def __init__(self, imported: Imported, partitioned: Partitioned):
        self.imported, self.partitioned = imported, partitioned
        self._fallbacks: Dict[relay.Call, Callable] = {}
        self._functions: Dict[int, List[Tuple[relay.Function, Callable]]] = {}

    def run(self, sample: Dict[str, np.ndarray]) -> Evaluation:
        """`sample`: ONNX input name -> array of the input's shape."""
        main = self.partitioned.mod["main"]
        values: Dict[object, object] = {}
        for param, port in zip(main.params, self.imported.inputs):
            values[param] = np.asarray(sample[port.name], dtype=port.dtype).reshape(port.shape)
        tensors: Dict[str, np.ndarray] = {}
        inputs: Dict[str, List[np.ndarray]] = {}
        floats: Dict[relay.Expr, np.ndarray] = {}

        def visit(expr) -> None:
            if isinstance(expr, relay.Constant):
                values[expr] = expr.data.numpy()
            elif isinstance(expr, relay.Tuple):
                values[expr] = [values[item] for item in expr.fields]
            elif isinstance(expr, relay.TupleGetItem):
                values[expr] = floats[expr] = values[expr.tuple_value][expr.index]
            elif isinstance(expr, relay.Call) and isinstance(expr.op, relay.GlobalVar):
                symbol = expr.op.name_hint
                kernel = self.partitioned.calls[symbol]
                arguments = [values[expr.args[i]] for i in self.partitioned.parameters[symbol]]
                inputs[symbol] = arguments
                rule = arithmetic.rule(kernel.operator)
                # For a tensor without axes some rules return a NumPy scalar.
                values[expr] = tensors[symbol] = np.asarray(rule(*arguments, **kernel.attributes))
            elif isinstance(expr, relay.Call):
                values[expr] = floats[expr] = self._fallback(expr, [values[arg] for arg in expr.args])

        relay.analysis.post_order_visit(main.body, visit)
        result = values[main.body]
        results = result if isinstance(result, list) else [result]
        return Evaluation({port.name: r for port, r in zip(self.imported.outputs, results)}, tensors, inputs, floats)

    def _fallback(self, call: relay.Call, arguments: List):
        if call not in self._fallbacks:
            variables: List[relay.Var] = []
            own_args = [_like(arg.checked_type, variables) for arg in call.args]
            function = relay.Function(variables, relay.Call(call.op, own_args, call.attrs, call.type_args))
            try:
                self._fallbacks[call] = self._built(function)
            except Exception as error:  # TVM raises anything.
                raise refusal(call, self.imported, error)
        flat = [item for arg in arguments for item in (arg if isinstance(arg, list) else [arg])]
        result = self._fallbacks[call](*flat)
        return [r.numpy() for r in result] if isinstance(result, (list, tuple)) else result.numpy()

    def _built(self, function: relay.Function) -> Callable:
        """The function for this computer; the same ones (of unrolled steps) are built once."""
        alike = self._functions.setdefault(tvm.ir.structural_hash(function), [])
        for other, built in alike:
            if tvm.ir.structural_equal(function, other):
                return built
        mod = _canonical(tvm.IRModule.from_expr(function))
        with without_tvm_log(), _pass_context(mod["main"].body):
            built = relay.create_executor("graph", mod, tvm.cpu(), "llvm").evaluate()
        alike.append((function, built))
        return built


def _like(type_, variables: List[relay.Var]) -> relay.Expr:
    """An expression of this type made of new variables, which are appended: one for each tensor, also in a tuple."""
    if isinstance(type_, tvm.ir.TupleType):
        return relay.Tuple([_like(field, variables) for field in type_.fields])
    variables.append(relay.var(f"x{len(variables)}", type_annotation=type_))
    return variables[-1]


# --- TVM on the host --------------------------------------------------------------------------------------


class TvmEvaluator:
    """The reference module, built once for the host."""

    def __init__(self, imported: Imported, partitioned: Partitioned):
        from tvm.contrib import graph_executor

        self.imported = imported
        mod, self.symbols = reference_module(partitioned, all_tensors=True)
        self._module = graph_executor.GraphModule(build_for_host(mod)["default"](tvm.cpu()))

    def run(self, sample: Dict[str, np.ndarray]) -> Evaluation:
        """`sample`: ONNX input name -> array of the input's shape."""
        for port in self.imported.inputs:
            self._module.set_input(port.c_name, np.asarray(sample[port.name], dtype=port.dtype).reshape(port.shape))
        self._module.run()
        results = [self._module.get_output(i).numpy() for i in range(self._module.get_num_outputs())]
        own = len(self.imported.outputs)
        outputs = {port.name: result for port, result in zip(self.imported.outputs, results)}
        return Evaluation(outputs, dict(zip(self.symbols, results[own:])))


@without_tvm_log()
def build_for_host(mod: tvm.IRModule):
    """Build for this machine, without rewrites that could change float results.

    LLVM optimizes nothing if it can be helped: that would take longer than the few runs of the program do.
    """
    main = mod["main"].body
    level = int(_compares_with_itself(main))
    try:
        with _pass_context(main):
            return relay.build(mod, f"llvm -opt-level={level}")
    except Exception as error:  # TVM raises many kinds of exceptions; only the part without a kernel can cause them.
        raise UserError(f"TVM cannot compute the part that has no kernel on this computer: {tvm_reason(error)}")


def _compares_with_itself(expr: relay.Expr) -> bool:
    """Whether a tensor is compared with itself, which finds NaN: not at LLVM's level 0, where it equals itself too."""
    found: List[bool] = []
    comparisons = ("equal", "not_equal", "less", "less_equal", "greater", "greater_equal")
    relay.analysis.post_order_visit(
        expr, lambda e: found.append(is_call(e, *comparisons) and e.args[0].same_as(e.args[1]))
    )
    return any(found)


# TVM's LLVM code computes these with its own formulas; its C code, on the chip too, calls the C library.
_OF_THE_C_LIBRARY = ("tanh", "tan", "sinh", "cosh")
for _name in _OF_THE_C_LIBRARY:
    tvm.ir.register_intrin_lowering(
        f"tir.{_name}",
        "llvm",
        f=lambda call, name=_name: tvm.tir.call_pure_extern(call.dtype, f"{name}f", *call.args),
        level=99,
    )


def _pass_context(expr: relay.Expr) -> tvm.transform.PassContext:
    """Without rewrites that could change float results, and without vectors if the C library must be called.

    Without assertions on the shapes of arguments either: the executor passes what it allocated for the same graph, and
    LLVM spends half of its time on them.
    """
    found: List[bool] = []
    relay.analysis.post_order_visit(expr, lambda e: found.append(is_call(e, *_OF_THE_C_LIBRARY)))
    # Level 1 would fuse operators, and TVM then computes the rounded division behind a sum wrongly. SimplifyExpr
    # searches long graphs again after each of its rewrites.
    return tvm.transform.PassContext(
        opt_level=0,
        config={"tir.disable_assert": True, "tir.disable_vectorize": any(found)},
        disabled_pass=["Legalize", "SimplifyExpr", "SimplifyExprPostAlterOp"],
    )


def debug_onnx_model(target_chip: str, model_path: str, img_path: str, dump_root: Optional[str] = None):
    """Run the quantized model's reference on one sample through TVM's GraphModuleDebug.

    The dump (tvmdbg_graph_dump.json, the tensors of every node, execution times) is written to `tvmdbg/` beside the
    model, or to `dump_root`, with `names.json`: it relates ONNX tensors to TVM nodes and calls in the C.
    Returns the debug module: `get_output(i)`, `debug_get_output(name)` (of TVM's node, or any other in names.json),
    `names` (the entries of names.json).
    """
    from tvm.contrib.debugger.debug_executor import GraphModuleDebug

    from .chips import check_chip
    from .compile import functions_of
    from .run.names import FILE_NAME, find_layer, name_map

    class OwnOutputs(GraphModuleDebug):
        """Without the outputs that were added only to give the kernels' tensors names."""

        def get_num_outputs(self) -> int:
            return len(imported.outputs)

        def debug_get_output(self, node, out=None):
            known = not isinstance(node, str) or any(node == one["name"] for one in self.debug_datum.get_graph_nodes())
            return super().debug_get_output(node if known else find_layer(self.names, node)[0]["tvm_index"], out)

    chip = check_chip(target_chip).name
    model = load_model(model_path)
    imported = import_onnx(model)
    ports = {p.name: (p.shape, p.dtype) for p in imported.inputs}
    states = {name: np.zeros(*ports[name]) for name in states_of(model, f"{model_path}: ")}
    sample = {**load_sample(img_path, [(n, *p) for n, p in ports.items() if n not in states]), **states}
    partitioned = partition(imported)
    mod, symbols = reference_module(partitioned, all_tensors=True)
    library = build_for_host(mod)
    root = Path(dump_root) if dump_root else Path(model_path).resolve().parent / "tvmdbg"
    if root.exists() and not root.is_dir():
        raise UserError(f"{root}: is a file; TVM's debug dump needs this place for a folder")
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(root / "_tvmdbg_device_CPU_0")
    try:
        root.mkdir(parents=True, exist_ok=True)
        module = OwnOutputs(
            library["debug_create"]("default", tvm.cpu()), [tvm.cpu()], library.graph_json, dump_root=str(root)
        )
        module.names = name_map(library.graph_json, partitioned, symbols, functions_of(imported, partitioned, chip))
        write_text(root / FILE_NAME, json.dumps(module.names, indent=1) + "\n")
    except OSError as error:
        raise UserError(f"{root}: cannot write TVM's debug dump here ({error.strerror})")
    for port in imported.inputs:
        module.set_input(port.c_name, tvm.nd.array(np.ascontiguousarray(sample[port.name])))
    with _silent_tvm():
        module.run()
    return module


@contextlib.contextmanager
def _silent_tvm():
    """Suppress the debug executor's two lines per operator and its table of times; the dump contains them."""
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        # TVM's library writes to the file descriptor, not through Python.
        os.dup2(nowhere, 2)
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


__all__ = [
    "Evaluation",
    "NumpyEvaluator",
    "TvmEvaluator",
    "debug_onnx_model",
    "evaluate_onnx_for_esp",
    "preprocess_onnx_for_esp",
    "reference_module",
]
