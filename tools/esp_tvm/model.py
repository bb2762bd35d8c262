"""Load, check and describe ONNX models; all errors about a user's model are raised here."""

from __future__ import annotations

import functools
import os
import pickle
import re
import warnings
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import AttributeProto, TensorProto
from onnx.shape_inference import InferenceError

from .convert.cubic import cubic_as_products
from .convert.data import check_data
from .convert.ends import end_at
from .convert.floats import to_float32
from .convert.folding import fold_constants
from .convert.fourier import as_products
from .convert.functions import inline_functions
from .convert.fused import spell_out
from .convert.int4 import widen_int4
from .convert.loops import straighten
from .convert.lower import TARGET_IR, TARGET_OPSET, is_new_element, lower
from .convert.plain_nodes import outputs_by_nodes, plain_nodes
from .convert.qoperator import to_qdq
from .convert.quantizers import check_quantizers
from .convert.resizing import whole_scales
from .convert.sizes import set_sizes, symbol_of
from .convert.volumes import volumes_as_images
from .convert.windows import Evaluate, declared_sizes, explicit_windows, pads_of_max_pools
from .errors import UserError
from .first_reading import first_reading, try_inference
from .model_file import check_names, load_external_data
from .model_values import check_attributes, check_constants, node_label, settle_indices
from .model_wiring import settle_wiring
from .naming import one_line, shown
from .native import Died, run_apart, silent_stderr
from .onnx_graph import copied, make_node_names_unique, opset_of

# The newest opset that the pinned onnx 1.12 and onnxruntime 1.14 read; newer models are lowered (convert/lower.py).
MAX_OPSET = TARGET_OPSET
_STANDARD_DOMAINS = ("", "ai.onnx")
_ELEMENTS = {
    TensorProto.FLOAT16: "float16",
    TensorProto.BFLOAT16: "bfloat16",
    TensorProto.DOUBLE: "float64",
    TensorProto.COMPLEX64: "complex64",
    TensorProto.COMPLEX128: "complex128",
    TensorProto.STRING: "string",
}
# Files of other frameworks that users sometimes give instead of ONNX.
_CONVERT = "make ONNX of it with: python tools/tvm/onnx_from.py FILE --output model.onnx"
_OTHER_FRAMEWORKS = {
    ".h5": "of Keras",
    ".keras": "of Keras",
    ".tflite": "of TensorFlow Lite",
    ".pt": "of PyTorch",
    ".pth": "of PyTorch",
    ".pt2": "of PyTorch",
    ".pkl": "a Python pickle",
    ".joblib": "a Python pickle",
    ".espdl": "of ESP-DL",
}


def load_model(
    path: str | os.PathLike, sizes: Optional[Dict[str, List[int]]] = None, ends: Sequence[str] = ()
) -> onnx.ModelProto:
    """The model in `path`, checked, in opset 13 to 17, all inputs and outputs of fixed shape, node names unique.

    A free batch axis (the first one) becomes 1; other free axes take their sizes from `sizes` {input name: shape}.
    ends: tensors that the model shall end with in place of its outputs.
    Functions, constant control flow and constant sub-graphs are expanded, inner float16 and float64 tensors become
    float32. Raises `UserError` for everything else that is wrong with it.
    """
    try:
        return _loaded(Path(path), sizes, ends)
    except InferenceError as error:
        raise UserError(
            f"{path}: its declared shapes contradict what its nodes compute: {_first_line(error)}; correct the model "
            "and export it again"
        )


def _loaded(path: Path, sizes: Optional[Dict[str, List[int]]], ends: Sequence[str]) -> onnx.ModelProto:
    model = _read(path)
    check_names(model, path)
    # ONNX Runtime, which computes what is constant, takes no name twice.
    make_node_names_unique(model.graph, unnamed=False)
    settle_wiring(model, path)
    load_external_data(model, path)
    check_data(model, path)
    check_attributes(model, path)
    end_at(model, ends, path)
    if sizes:
        set_sizes(model, sizes, path)
    _check_inputs(model, path)
    declared = declared_sizes(model)
    widen_int4(model, path)
    inline_functions(model, path)
    try_inference(model, path)
    evaluate = functools.partial(_values_at_zero, path)
    straighten(model, evaluate)
    fold_constants(model, evaluate, shapes=False)
    lower(model, path)
    fold_constants(model, evaluate)
    spell_out(model, path)
    as_products(model)
    to_float32(model)
    to_qdq(model, path)
    _check_operators(model, path)
    _drop_initializers_from_inputs(model.graph)
    model = first_reading(model, path, session, MAX_OPSET)
    _put_right(model, evaluate)
    _check(model, path)
    _check_elements(model, path)
    check_quantizers(model, path)
    _fix_inputs(model, path)
    pads_of_max_pools(model)
    explicit_windows(model, declared, evaluate)
    volumes_as_images(model)
    cubic_as_products(model)
    whole_scales(model)
    plain_nodes(model)
    outputs_by_nodes(model)
    fix_shapes(model, path)
    make_node_names_unique(model.graph)
    _check_outputs(model.graph, path)
    check_constants(model, path)
    settle_indices(model, path)
    return model


def _read(path: Path) -> onnx.ModelProto:
    if path.is_dir():
        what = (
            f"a SavedModel: {_CONVERT}" if (path / "saved_model.pb").exists() else "a folder; give the .onnx file in it"
        )
        raise UserError(f"{path}: is {what}")
    if not path.exists():
        raise UserError(f"{path}: no such file; give the path of an ONNX model")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})")
    if not data:
        raise UserError(f"{path}: is empty; export the model again")
    if path.suffix.lower() in _OTHER_FRAMEWORKS:
        raise UserError(f"{path}: is not an ONNX model but {_OTHER_FRAMEWORKS[path.suffix.lower()]}; {_CONVERT}")
    model = onnx.ModelProto()
    try:
        # Some protobuf versions warn about what they could not read, others raise.
        with warnings.catch_warnings(record=True) as caught, silent_stderr():
            warnings.simplefilter("always")
            whole = model.ParseFromString(data) in (None, len(data)) and not caught
    except (DecodeError, ValueError):
        whole = False
    if not whole:
        raise UserError(f"{path}: is not an ONNX model, or is cut off; export it again as .onnx")
    if not model.ir_version or not model.HasField("graph") or not model.opset_import:
        raise UserError(f"{path}: is not an ONNX model; export it as .onnx")
    if not model.graph.output or not model.graph.node:
        raise UserError(f"{path}: the model has no operators or no outputs; export it again")
    return model


def is_quantized(model: onnx.ModelProto) -> bool:
    """Whether a tool, this one or another, has quantized the model."""
    kinds = {node.op_type for node in model.graph.node}
    return bool(kinds & {"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"}) or any(
        kind.startswith("QLinear") for kind in kinds
    )


def _check_operators(model: onnx.ModelProto, path: Path) -> None:
    for index, node in enumerate(model.graph.node):
        label = node_label(node, index)
        if node.domain == "com.microsoft.nchwc":
            raise UserError(
                f"{path}: {label}: ONNX Runtime has laid this model out for a computer's processor; give it as it was "
                "before, or let ONNX Runtime save it with graph_optimization_level ORT_ENABLE_EXTENDED"
            )
        if node.domain not in _STANDARD_DOMAINS:
            raise UserError(
                f"{path}: {label} is of the custom domain '{shown(node.domain)}', which nothing here computes; "
                "export the model with standard ONNX operators only"
            )
        if any(a.type in (AttributeProto.GRAPH, AttributeProto.GRAPHS) for a in node.attribute):
            raise UserError(
                f"{path}: {label} has a body of its own; control flow cannot run on the chip: "
                "export the model without it"
            )
        if not onnx.defs.has(node.op_type):
            raise UserError(f"{path}: {label}: ONNX has no operator of this name; export with standard operators")


def _values_at_zero(path: Path, part: onnx.ModelProto, names: Sequence[str]) -> Optional[List[np.ndarray]]:
    """The tensors `names` of a model for inputs of 0 and a free batch axis of 1; None if the model cannot be run."""
    for value in part.graph.input:
        for axis, dim in enumerate(value.type.tensor_type.shape.dim):
            if dim.dim_value < 1 and axis > 0:
                return None
            dim.dim_value = max(dim.dim_value, 1)
    part.ir_version = min(part.ir_version, TARGET_IR)
    for entry in part.opset_import:
        if entry.domain in _STANDARD_DOMAINS:
            entry.version = min(entry.version, TARGET_OPSET)
    try:
        feeds = {name: np.zeros(shape, dtype) for name, shape, dtype in inputs_of(part)}
        return pickle.loads(run_apart(lambda tell: pickle.dumps(run_session(session(part), names, feeds))))
    except Died as death:
        raise UserError(f"{path}: ONNX Runtime {death.how} on what is constant in this model; export it again")
    except (RuntimeError, UserError, KeyError, TypeError):  # errors in the model are reported later
        return None


def _drop_initializers_from_inputs(graph: onnx.GraphProto) -> None:
    """Before IR 4 every initializer was also declared as an input."""
    constants = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in constants]
    del graph.input[:]
    graph.input.extend(inputs)
    if not inputs:
        raise UserError("the model has no inputs; export it with its input as a graph input")


def _put_right(model: onnx.ModelProto, evaluate: Evaluate) -> None:
    """Remove what others refuse or warn about and nobody needs: shape hints and outputs without type or shape, unused
    constants.

    evaluate(model, names) -> values of tensors of a model, or None if it cannot be run
    """
    graph = model.graph
    used = {name for node in graph.node for name in node.input} | {value.name for value in graph.output}
    constants = [tensor for tensor in graph.initializer if tensor.name in used]
    if len(constants) < len(graph.initializer):
        del graph.initializer[:]
        graph.initializer.extend(constants)
    kept = [value for value in graph.value_info if value.type.WhichOneof("value")]
    if len(kept) < len(graph.value_info):
        del graph.value_info[:]
        graph.value_info.extend(kept)
    if all(_has_shape(value) for value in graph.output):
        return
    try:
        outputs = list(onnx.shape_inference.infer_shapes(model).graph.output)
    except Exception:  # The checker reports what is wrong.
        return
    unknown = [value.name for value in outputs if not _has_shape(value)]
    for name, result in zip(unknown, (evaluate(copied(model), unknown) or ()) if unknown else ()):
        if not isinstance(result, np.ndarray):
            continue
        element = onnx.mapping.NP_TYPE_TO_TENSOR_TYPE[result.dtype]
        made = onnx.helper.make_tensor_value_info(name, element, result.shape)
        outputs = [made if value.name == name else value for value in outputs]
    del graph.output[:]
    graph.output.extend(outputs)


def _has_shape(value: onnx.ValueInfoProto) -> bool:
    kind = value.type.WhichOneof("value")
    return bool(kind) and (kind != "tensor_type" or value.type.tensor_type.HasField("shape"))


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return one_line(lines[0] if lines else type(error).__name__, 200)


def _check_inputs(model: onnx.ModelProto, path: Path) -> None:
    for value in model.graph.input:
        if not _has_shape(value):
            raise UserError(
                f"{path}: input '{shown(value.name)}' has no shape; give it to preprocess_onnx.py, or in "
                f"PREPROCESS_OPTIONS to make (--shape '{shown(value.name)}=1,SIZE'), or export the model with one"
            )


def _check(model: onnx.ModelProto, path: Path) -> None:
    try:
        onnx.checker.check_model(model)
    except ValueError as error:
        raise UserError(f"{path}: the model is larger than ONNX allows in one file: {_first_line(error)}")
    except Exception as error:
        unknown = next((value.name for value in model.graph.output if not _has_shape(value)), None)
        if unknown is not None and "'shape'" in str(error):
            raise UserError(
                f"{path}: output '{shown(unknown)}' has no shape, and the nodes before it give none, one of which may "
                "be wrong (an axis, a size); correct them, or export the model with the shapes of its outputs"
            )
        raise UserError(f"{path}: not a valid ONNX model: {_first_line(error)}")


def _check_elements(model: onnx.ModelProto, path: Path) -> None:
    def refuse(what: str, name: str, element: int) -> None:
        if element in _ELEMENTS or is_new_element(element):
            kind = _ELEMENTS.get(element, "of an element type newer than IR 8")
            raise UserError(
                f"{path}: {what} '{shown(name)}' is {kind}; export the model in float32 (e.g. model.float() in PyTorch)"
            )

    for what, values in (("input", model.graph.input), ("output", model.graph.output)):
        for value in values:
            if not value.type.HasField("tensor_type"):
                raise UserError(f"{path}: {what} '{shown(value.name)}' is not a tensor; only tensors can be passed")
            refuse(what, value.name, value.type.tensor_type.elem_type)
    for tensor in model.graph.initializer:
        refuse("constant", tensor.name, tensor.data_type)


def _check_outputs(graph: onnx.GraphProto, path: Path) -> None:
    seen, inputs = set(), {value.name for value in graph.input}
    for value in graph.output:
        if value.name in inputs:
            raise UserError(f"{path}: '{shown(value.name)}' is an input and an output; give the output another name")
        if value.name in seen:
            raise UserError(f"{path}: output '{shown(value.name)}' stands twice in the list of outputs; remove one")
        seen.add(value.name)


# --- shapes -----------------------------------------------------------------------------------------------


def shape_of(value: onnx.ValueInfoProto) -> List[int]:
    """The declared shape; 0 for an axis without a fixed size."""
    return [dim.dim_value if dim.HasField("dim_value") else 0 for dim in value.type.tensor_type.shape.dim]


def fix_shapes(model: onnx.ModelProto, path: str | os.PathLike = "model") -> None:
    """Make all shapes fixed in place: a free first axis becomes 1, any other free axis is refused by name."""
    _fix_inputs(model, path)
    if any(0 in shape_of(v) or not v.type.tensor_type.HasField("shape") for v in model.graph.output):
        _fix_output_shapes(model, path)


def _fix_inputs(model: onnx.ModelProto, path: str | os.PathLike) -> None:
    graph = model.graph
    symbols = set()
    changed = False
    for value in graph.input:
        tensor = value.type.tensor_type
        if not tensor.HasField("shape"):
            raise UserError(f"{path}: input '{shown(value.name)}' has no shape; export the model with a fixed one")
        for axis, dim in enumerate(tensor.shape.dim):
            if dim.dim_value > 0:
                continue
            symbol = symbol_of(dim)
            if axis > 0 and symbol not in symbols:
                name = f" ('{shown(symbol)}')" if symbol else ""
                raise UserError(
                    f"{path}: input '{shown(value.name)}': axis {axis}{name} has no fixed size; "
                    "only a free batch axis becomes 1 by itself: give all sizes to preprocess_onnx.py, or in "
                    "PREPROCESS_OPTIONS to make "
                    f"(--shape '{shown(value.name)}={_sizes_to_give(tensor)}'), or export the model with fixed shapes"
                )
            if symbol:
                symbols.add(symbol)
            dim.Clear()
            dim.dim_value = 1
            changed = True
    if changed:
        # Shapes further down were declared for the free axis.
        del graph.value_info[:]
        for value in graph.output:
            value.type.tensor_type.ClearField("shape")


def _sizes_to_give(tensor: onnx.TypeProto.Tensor) -> str:
    """The shape of an input in the form of the option, with SIZE for a size that the model leaves free."""
    dims = tensor.shape.dim
    return ",".join(str(dim.dim_value) if dim.dim_value > 0 else "SIZE" if i else "1" for i, dim in enumerate(dims))


def _fix_output_shapes(model: onnx.ModelProto, path: str | os.PathLike) -> None:
    """Declare the real shapes of the outputs: by inference, otherwise by running the model once."""
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    for value in bare.graph.output:
        value.type.tensor_type.ClearField("shape")
    try:
        inferred = onnx.shape_inference.infer_shapes(bare, data_prop=True)
        shapes = {v.name: shape_of(v) for v in inferred.graph.output if v.type.tensor_type.HasField("shape")}
    except Exception:
        shapes = {}
    if any(v.name not in shapes or 0 in shapes[v.name] for v in model.graph.output):
        run = session(bare, path)
        feeds = {name: np.zeros(shape, dtype) for name, shape, dtype in inputs_of(model)}
        names = [value.name for value in model.graph.output]
        shapes = dict(zip(names, (np.shape(r) for r in run_session(run, names, feeds, path))))
    for value in model.graph.output:
        shape = value.type.tensor_type.shape
        del shape.dim[:]
        for size in shapes[value.name]:
            shape.dim.add().dim_value = int(size)


# --- description ------------------------------------------------------------------------------------------


def _ports(values: Sequence[onnx.ValueInfoProto]) -> List[Tuple[str, Tuple[int, ...], str]]:
    types = onnx.mapping.TENSOR_TYPE_TO_NP_TYPE
    return [(v.name, tuple(shape_of(v)), np.dtype(types[v.type.tensor_type.elem_type]).name) for v in values]


def inputs_of(model: onnx.ModelProto) -> List[Tuple[str, Tuple[int, ...], str]]:
    """(name, shape, NumPy dtype name) of every input, constants not counted."""
    constants = {tensor.name for tensor in model.graph.initializer}
    return [port for port in _ports(model.graph.input) if port[0] not in constants]


def outputs_of(model: onnx.ModelProto) -> List[Tuple[str, Tuple[int, ...], str]]:
    """(name, shape, NumPy dtype name) of every output."""
    return _ports(model.graph.output)


def describe(model: onnx.ModelProto) -> Dict:
    """A summary of a model for users: opset, inputs, outputs, count of each operator, parameters."""
    operators: Dict[str, int] = {}
    for node in model.graph.node:
        operators[node.op_type] = operators.get(node.op_type, 0) + 1
    return {
        "opset": opset_of(model),
        "ir_version": model.ir_version,
        "inputs": inputs_of(model),
        "outputs": outputs_of(model),
        "operators": dict(sorted(operators.items())),
        "parameters": sum(int(np.prod(t.dims, dtype=np.int64)) for t in model.graph.initializer),
    }


def session(model: onnx.ModelProto, path: str | os.PathLike = "model", optimize: bool = False, threads: int = 0):
    """A quiet onnxruntime session of `model` on the CPU; `UserError` if it cannot be created.

    threads: that one run of it takes; 0: one for each core
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    # Threads that spin while they wait would take the processor from everything else.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Each session would keep the memory that its largest run took: gigabytes, where each layer has one.
    options.enable_cpu_mem_arena = False
    # With them ONNX Runtime 1.14 lays tensors over each other from the second run on, where a result is not used.
    options.enable_mem_pattern = False
    level = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = level.ORT_ENABLE_ALL if optimize else level.ORT_DISABLE_ALL
    try:
        return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has its own exception classes without a common base.
        raise UserError(f"{path}: ONNX Runtime cannot run this model: {_first_line(error)}")


def run_session(run, names: Sequence[str], feeds: Dict[str, np.ndarray], path: str | os.PathLike = "model"):
    """The outputs `names` of an onnxruntime session; `UserError` if it fails."""
    try:
        # A sample of an input without axes is a NumPy scalar, which is no array.
        return run.run(list(names), {name: np.asarray(value) for name, value in feeds.items()})
    except Exception as error:
        raise UserError(_wrong_index(str(error), feeds) or f"{path}: {_FAILS}: {_first_line(error)}")


_FAILS = "ONNX Runtime fails to run this model"
_INDEX = re.compile(
    r"running (\w+) node\. Name:'([^']*)'.*out of data bounds, idx=(-?\d+).*range (\[-?\d+,-?\d+\])", re.S
)


def _wrong_index(error: str, feeds: Dict[str, np.ndarray]) -> str:
    """What is wrong with samples that hold an index outside of what a node takes from; empty for other errors of ONNX
    Runtime."""
    found = _INDEX.search(error)
    arrays = {name: np.asarray(value) for name, value in feeds.items()}
    holding = [shown(name) for name, x in arrays.items() if found and np.any(np.trunc(x) == float(found[3]))]
    if not holding:
        return ""
    operator, node, index, within = found.groups()
    return (
        f"input '{holding[0]}': a sample holds {index}, but node '{shown(node)}' ({operator}) takes indices in "
        f"{within}: correct the samples (CALIB, INPUT)"
    )


def save_model(model: onnx.ModelProto, path: str | os.PathLike) -> None:
    """Write `model` to `path`, completely or not at all; the same model gives the same bytes."""
    from .files import whole_file

    with whole_file(path) as temporary:
        temporary.write_bytes(model.SerializeToString(deterministic=True))
