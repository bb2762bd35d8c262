"""Compares the program with ONNX Runtime's run of the same quantized model, tensor by tensor.

The rules and the C depend on how the compiler understood the model; ONNX Runtime reads the model itself. For every
tensor that exists both in the program and in the ONNX model, ONNX Runtime gets the program's values where the model
reads the tensor. So each part between two such tensors is checked with exactly the values that the program computes
with: differences do not accumulate over the layers, and a difference beyond its bound is an error of that part,
including parts that TVM's own C computes.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple, TypeVar

import numpy as np
import onnx
from onnx import helper

from .convert.int16 import reals_of_steps
from .convert.qdq_form import as_it_is
from .model import run_session, session
from .naming import shown
from .onnx_graph import with_outputs
from .onnx_quantizers import QuantizedLater, quantizers_of
from .operators.lookup_wide import MOST_OFF
from .program.evaluate import Evaluation, in_model_order, output_tensors, read
from .program.form import Call, Program, Tensor
from .program.ports import all_to_onnx

_Key = TypeVar("_Key")

# The largest difference in float, relative to the tensor's largest value. Float32 rounds each operation by up to 2^-24
# of its result: a sum of n values in another order differs by up to n 2^-24 of the largest partial sum. 2^-14 covers a
# thousand of them, and is a 64th of a step of int8 over the same range.
FLOAT_BOUND = 2.0**-14
# Steps by which an integer result may differ. Rules round half up, ONNX Runtime half to even: one step.
STEP_BOUND = 1
# Rules that round several times (docs/arithmetic.md), by the beginning of their names.
_PASSED_ON = ("dequantize", "strided_slice", "reshape", "transpose")
_RECURRENT = ("gru", "lstm", "rnn")
_SEVERAL_STEPS = (*_RECURRENT, "normalize", "softmax", "log_softmax", "resize_linear")
SEVERAL_STEPS_BOUND = 3
# Recurrent layers compute in int16 whatever they give: gates in units of 2^-11, states of a relu in units of four steps
# of int16. Of a result that is as fine, that is many steps.
RECURRENT_BOUND, RECURRENT_S16_BOUND = 2.0**-9, 64
# Functions of int16 are lines between 513 values.
_LINES, LINES_BOUND = "lookup_s16", float(1 + max(MOST_OFF.values()))


@dataclass(frozen=True)
class Difference:
    """The difference between a tensor of the program and ONNX Runtime's.

    tensor: its ONNX name; node: a description of the node that computes it; kernel: the operator's name, "" for TVM's
    float C
    worst, bound: the largest difference and the allowed one, in steps of an integer tensor (in_steps), otherwise
    relative to the tensor's largest value
    """

    tensor: str
    node: str
    kernel: str
    worst: float
    bound: float
    in_steps: bool

    @property
    def text(self) -> str:
        """`3 steps, at most 1 allowed`."""
        unit = "steps" if self.in_steps else "of its largest value"
        return f"{self.worst:.3g} {unit}, at most {self.bound:.3g} allowed"


@dataclass
class Verification:
    """The result of the comparison: the number of samples, and the largest `Difference` of every tensor, in graph
    order."""

    samples: int = 0
    tensors: List[Difference] = field(default_factory=list)

    def add(self, found: Sequence[Difference]) -> None:
        """Add the differences on one more sample."""
        if self.tensors:
            found = [max(pair, key=lambda one: one.worst) for pair in zip(self.tensors, found)]
        self.tensors, self.samples = list(found), self.samples + 1

    def worst(self, in_steps: bool) -> float:
        """The largest difference of integer tensors in steps, or of float tensors relative to their largest value."""
        return max((one.worst for one in self.tensors if one.in_steps == in_steps), default=0.0)

    @property
    def first_wrong(self) -> Optional[Difference]:
        """The first tensor outside its bound, None when all are right."""
        return next((one for one in self.tensors if not one.worst <= one.bound), None)

    @property
    def line(self) -> str:
        """The line printed for a program within its bounds."""
        steps = self.worst(in_steps=True)
        # What is finer than the rule of a recurrent layer, or of a function of int16, may differ by more.
        fine = ", more of the finer steps of recurrent layers and functions in int16" * (steps > SEVERAL_STEPS_BOUND)
        parts = [
            f"integers differ by at most {steps:.0f} step{'s' * (steps != 1)} (allowed {STEP_BOUND}, or "
            f"{SEVERAL_STEPS_BOUND} where a rule rounds several times{fine})"
        ]
        if not all(one.in_steps for one in self.tensors):
            worst = self.worst(in_steps=False)
            parts.append(f"floats by at most {worst:.1e} of a tensor's largest value (allowed {FLOAT_BOUND:.1e})")
        inputs = f"{self.samples} input{'s' * (self.samples != 1)}"
        return f"ONNX Runtime computes the same: {len(self.tensors)} tensors on {inputs}; {', '.join(parts)}"

    def describe(self) -> Dict[str, float]:
        """For metadata.json (program/schema.py) and the report: what holds, not by how much. How far ONNX Runtime's
        floats are from ours depends on the processor's vector instructions, and a project should not."""
        return {
            "samples": self.samples,
            "tensors": len(self.tensors),
            "step_bound": float(STEP_BOUND),
            "several_steps_bound": float(SEVERAL_STEPS_BOUND),
            "float_bound": FLOAT_BOUND,
        }


def wrong_line(wrong: Difference) -> str:
    """The line about the first node with a different result, and the difference."""
    by = f"the kernel {wrong.kernel}" if wrong.kernel else "TVM's C"
    return (
        f"node {shown(wrong.node, 100)}: {by} computes tensor '{shown(wrong.tensor)}' otherwise than ONNX Runtime: "
        f"{wrong.text}"
    )


@dataclass(frozen=True)
class Border:
    """A tensor that the program and the ONNX model share.

    name: of the ONNX tensor; node: the node that computes it; kernel: the operator, "" for TVM's float C
    key: its identifier for the caller; exponent: of an integer tensor of the program
    dtype, shape: as ONNX Runtime has it; order: axes of the ONNX tensor (without those of size 1) as they lie in memory
    saturates: it has the exponent to which the model quantizes it behind moves, and so no larger values
    """

    name: str
    node: str
    kernel: str
    key: Any
    exponent: Optional[int]
    dtype: np.dtype = np.dtype(np.float32)
    shape: Tuple[int, ...] = ()
    order: Tuple[int, ...] = ()
    saturates: bool = False


class BordersCheck:
    """Compares what a program computes with ONNX Runtime.

    model: what it was compiled from, as `load_model` gives it; borders: of the program, order and type not yet known
    written: output name -> (operator of the kernel that writes it, "" for TVM's; the exponent of the integers that a
        float output is made of, None where there is none), see `written_outputs`
    """

    def __init__(
        self, model: onnx.ModelProto, borders: Sequence[Border], written: Mapping[str, Tuple[str, Optional[int]]]
    ):
        self._model, self._written = as_it_is(model), written
        self._outputs = [value.name for value in self._model.graph.output]
        self._place = {name: i for i, node in enumerate(self._model.graph.node) for name in node.output if name}
        quantizers, later = quantizers_of(self._model), QuantizedLater(self._model)
        # int16 is spelled out in float: where a border is its steps, their real values are compared.
        reals = reals_of_steps(self._model)
        self._borders: List[Border] = []
        for border in borders:
            # What a move leaves at the exponent of its input is compared before the model quantizes it.
            name = quantizers.get((border.name, border.exponent), border.name)
            is_steps, name = name in reals, reals.get(name, name)
            if name in self._place and (is_steps or name not in self._outputs):
                saturates = name == border.name and border.exponent in later.exponents(name)
                self._borders.append(replace(border, name=name, saturates=saturates))
        self._session = None
        self._sources: Dict[str, str] = {}

    def compare(
        self, sample: Mapping[str, np.ndarray], value: Callable[[Any], object], outputs: Mapping[str, np.ndarray]
    ) -> List[Difference]:
        """How far the program is from ONNX Runtime on one sample, in the order of the graph.

        value: what the program computed for the key of a border, as in memory; outputs: of the program, by ONNX name
        """
        if self._session is None:
            self._prepare(sample, value)
        given = {border.name: _as_onnx(border, np.asarray(value(border.key))) for border in self._borders}
        names = list(dict.fromkeys([*given, *self._outputs, *self._sources.values()]))
        feeds = {**sample, **{_given(name): values for name, values in given.items()}}
        theirs = dict(zip(names, run_session(self._session, names, feeds)))
        for name, source in self._sources.items():
            # Where ONNX Runtime quantizes a NaN, its result is undefined: the rule's value is accepted.
            theirs[name] = np.where(np.isnan(theirs[source]), given[name], theirs[name])
        found = [_difference(b, given[b.name], theirs[b.name]) for b in self._borders]
        for name in self._outputs:
            kernel, exponent = self._written.get(name, ("", None))
            border = Border(name, self._node_of(name), kernel, None, exponent)
            found.append(_difference(border, np.asarray(outputs[name]), theirs[name]))
        return sorted(found, key=lambda difference: self._place[difference.tensor])

    def _node_of(self, name: str) -> str:
        node = self._model.graph.node[self._place[name]]
        return f'{node.op_type} "{node.name}"'

    def _prepare(self, sample: Mapping[str, np.ndarray], value: Callable[[Any], object]) -> None:
        """Find types and the order of axes in memory, and a session in which borders are inputs where they are read."""
        names = list(dict.fromkeys(border.name for border in self._borders))
        found = run_session(session(with_outputs(self._model, names)), names, sample) if names else []
        theirs = dict(zip(names, found))
        placed = [_placed(border, value(border.key), theirs[border.name]) for border in self._borders]
        # Of several tensors of the program that are one of the ONNX model (a layout change behind it), the first.
        self._borders = list({b.name: b for b in reversed(placed) if b is not None}.values())[::-1]
        self._sources = self._quantized()
        outputs = list(dict.fromkeys([*self._outputs, *self._sources.values()]))
        self._session = session(_with_borders_given(self._model, self._borders, outputs))

    def _quantized(self) -> Dict[str, str]:
        """{a border that is the output of a QuantizeLinear: the float tensor it quantizes}, if the model computes that
        tensor."""
        found = {}
        for border in self._borders:
            node = self._model.graph.node[self._place[border.name]]
            if node.op_type == "QuantizeLinear" and node.input[0] in self._place:
                found[border.name] = node.input[0]
        return found


class OnnxRuntimeCheck(BordersCheck):
    """Compares a program with ONNX Runtime. model: what it was compiled from, as `load_model` gives it"""

    def __init__(self, model: onnx.ModelProto, program: Program):
        super().__init__(model, _borders(program), written_outputs(program))
        self._program = program

    def check(self, sample: Mapping[str, np.ndarray], evaluation: Evaluation) -> List[Difference]:
        """How far `evaluation` of `sample` is from ONNX Runtime, in the order of the graph."""
        inputs = all_to_onnx(self._program.inputs, sample)
        outputs = all_to_onnx(self._program.outputs, evaluation.outputs)
        return self.compare(inputs, lambda tensor: in_model_order(tensor, read(evaluation.values, tensor)), outputs)


def written_outputs(program: Program) -> Dict[str, Tuple[str, Optional[int]]]:
    """What writes each output, by its ONNX name: (operator of a kernel, exponent of the integers it dequantizes)."""
    written = {tensor: call for call in program.calls() for tensor in call.writes}
    found = {}
    for port, tensor in output_tensors(program).items():
        call = written[tensor]
        integer = call.kind == "dequantize" or port.dtype in ("int8", "int16")
        found[port.name] = (_computed_by(call, written), port.exponent if integer else None)
    return found


def _computed_by(call: Call, written: Mapping[Tensor, Call]) -> str:
    """The operator of the kernel that computed what `call` passes on: int16 is no tensor of the model before its
    output."""
    own = call.operator
    while call.operator.startswith(_PASSED_ON) and call.inputs[0].dtype == "int16":
        made = written.get(call.inputs[0], written.get(call.inputs[0].root))
        if made is None:
            break
        call = made
    return call.operator if call.operator.startswith((*_RECURRENT, _LINES)) else own


def _given(name: str) -> str:
    return f"{name}/given"


def _with_borders_given(model: onnx.ModelProto, borders: Sequence[Border], outputs: Sequence[str]) -> onnx.ModelProto:
    """`model`, in which every border is computed as before but read from an input `<name>/given`."""
    copy = with_outputs(model, list(dict.fromkeys([*(border.name for border in borders), *outputs])))
    known = {border.name: border for border in borders}
    for node in copy.graph.node:
        node.input[:] = [_given(name) if name in known else name for name in node.input]
    for name, border in known.items():
        element = onnx.mapping.NP_TYPE_TO_TENSOR_TYPE[border.dtype]
        copy.graph.input.append(helper.make_tensor_value_info(_given(name), element, border.shape))
    del copy.graph.value_info[:]
    return copy


# --- which tensors ----------------------------------------------------------------------------------------


def _borders(program: Program) -> List[Border]:
    """What leaves an ONNX node in the program, order and type not known yet."""
    calls = [one for call in program.calls() for one in (call, *call.followers)]
    readers: Dict[Tensor, List[Call]] = {}
    for call in calls:
        for tensor in call.inputs:
            readers.setdefault(tensor.root, []).append(call)
    place = {id(call): i for i, call in enumerate(calls)}
    later = {
        i: [place[id(r)] for t in call.outputs for r in readers.get(t.root, ()) if place[id(r)] > i]
        for i, call in enumerate(calls)
    }
    earliest = earliest_later({i: call.output_node for i, call in enumerate(calls)}, later)

    def is_step(call: Call, node: int) -> bool:
        """Whether a call is of a node, or changes a layout on the way to one that is."""
        own = _nodes(call)
        if own:
            return node in own
        behind = [one for tensor in call.outputs for one in readers.get(tensor.root, ()) if one is not call]
        return any(is_step(one, node) for one in behind)

    found = []
    for call in calls:
        # Made by the compiler, or something on the way into the node or between its steps.
        if call.output_node is None or (call.is_fallback and len(call.outputs) != 1):
            continue
        if earliest[place[id(call)]] <= call.output_node:
            continue
        label = program.nodes[call.output_node]
        if call.nodes and not call.is_fallback:
            label = ", ".join(call.nodes)
        for tensor in filter(lambda one: one.name, call.outputs):
            # A view reads the memory that its output is.
            others = [reader for reader in readers.get(tensor.root, ()) if reader is not call]
            if any(is_step(reader, call.output_node) for reader in others):
                continue
            exponent = tensor.exponent if tensor.dtype.startswith("int") else None
            found.append(Border(tensor.name, label, call.operator, tensor, exponent))
    return found


def earliest_later(owners: Mapping[_Key, Optional[int]], readers: Mapping[_Key, Sequence[_Key]]) -> Dict[_Key, float]:
    """{each: the first ONNX node of which anything is a result that is computed from it}, infinity where none is.

    owners: the node whose result each is, in the order of computation. Where that node or an earlier one follows, it
    is no tensor of the model: a step between others of its node, or what was quantized before the move (Gather,
    Transpose) that stands before its quantization in ONNX.
    """
    earliest: Dict[_Key, float] = {}
    for one in reversed(list(owners)):
        later = [owners[reader] for reader in readers[one]]
        nodes = [node for node in later if node is not None]
        earliest[one] = min([*nodes, *(earliest[reader] for reader in readers[one])], default=np.inf)
    return earliest


def _nodes(call: Call) -> List[int]:
    """Indices of the ONNX nodes that a call computes."""
    return [*call.node_indices, *([] if call.output_node is None else [call.output_node])]


def _placed(border: Border, ours: object, theirs: np.ndarray) -> Optional[Border]:
    """The border with type, shape and the order of axes; None where memory holds it in no order of its axes."""
    if not isinstance(ours, np.ndarray) or ours.size != theirs.size or ours.size == 0:
        return None
    if border.exponent is None and ours.dtype != theirs.dtype:
        return None
    inner = tuple(size for size in theirs.shape if size != 1)
    memory = tuple(size for size in ours.shape if size != 1)
    if len(inner) > 6:
        return None
    values = _real(ours, border.exponent).reshape(memory)
    wanted = _real(theirs, border.exponent if theirs.dtype.kind != "f" else None).reshape(inner)
    errors: Dict[Tuple[int, ...], float] = {}
    for order in itertools.permutations(range(len(inner))):
        if tuple(inner[axis] for axis in order) == memory:
            with np.errstate(all="ignore"):
                errors[order] = float(np.nansum(np.abs(wanted.transpose(order) - values)))
    best = min(errors, key=errors.get, default=None)
    # Where height and width are equal, and values nearly are, differences of earlier layers may favour another order by
    # chance: it has to be much nearer, and the usual one further away than rounding explains.
    usual, step = _channels_last(theirs.shape), 0.0 if border.exponent is None else 2.0**border.exponent
    if usual in errors and (errors[best] > errors[usual] / 2 or errors[usual] < values.size * step / 2):
        best = usual
    if best is None or (_may_be_flattened(border) and _in_another_order(values, wanted.transpose(best))):
        return None
    return replace(border, dtype=theirs.dtype, shape=theirs.shape, order=best)


def _channels_last(shape: Sequence[int]) -> Tuple[int, ...]:
    """The order in which memory has the axes of an image [N, C, H, W], without those of size 1; else as they are."""
    axes = [axis for axis, size in enumerate(shape) if size != 1]
    order = [0, *range(2, len(shape)), 1] if len(shape) > 2 else range(len(shape))
    return tuple(axes.index(axis) for axis in order if axis in axes)


# What computes a channel from weights has its channels in their order; else the program is wrong.
_WITH_WEIGHTS = ("conv", "depthwise_conv", "dense", "matmul", "gemm", "gru", "lstm", "rnn", "channelwise")


def _may_be_flattened(border: Border) -> bool:
    """Whether a tensor may hold a flattened image in memory order: after moves and elementwise operators."""
    return not (border.kernel or border.node.lower()).startswith(_WITH_WEIGHTS)


def _in_another_order(values: np.ndarray, wanted: np.ndarray) -> bool:
    """Whether memory holds the same values in an order that no permutation of the axes gives, such as an NHWC image
    that was flattened: it is then checked together with the operator that reads it (a Gemm with permuted weights)."""
    shuffled = np.random.RandomState(0).permutation(values.reshape(-1)).reshape(values.shape)
    with np.errstate(all="ignore"):
        apart, apart_shuffled, apart_sorted = (
            float(np.nanmean(np.abs(one - other)))
            for one, other in (
                (values, wanted),
                (shuffled, wanted),
                (np.sort(values, axis=None), np.sort(wanted, axis=None)),
            )
        )
    # Differences of earlier layers are in both, and are a small part of what another order makes.
    return apart > apart_shuffled / 2 and apart_sorted < apart / 4


def _real(values: np.ndarray, exponent: Optional[int]) -> np.ndarray:
    return values.astype(np.float64) * (1.0 if exponent is None else 2.0**exponent)


def _as_onnx(border: Border, ours: np.ndarray) -> np.ndarray:
    """The program's tensor in the shape and type that ONNX Runtime has it in."""
    if border.dtype.kind == "f":
        ours = _real(ours, border.exponent)
    ours = ours.reshape([size for size in ours.shape if size != 1])
    return np.ascontiguousarray(ours.transpose(np.argsort(border.order)).reshape(border.shape).astype(border.dtype))


# --- how far apart ----------------------------------------------------------------------------------------


def _difference(border: Border, ours: np.ndarray, theirs: np.ndarray) -> Difference:
    def result(worst: float, bound: float, in_steps: bool) -> Difference:
        return Difference(border.name, border.node, border.kernel, float(worst), float(bound), in_steps)

    if border.exponent is not None:
        # Where ONNX has the float tensor and the program its integers, those of ONNX Runtime's values.
        a, b = (_steps(x, border.exponent) for x in (ours, theirs))
        b = np.clip(b, -128, 127) if border.saturates else b
        return result(np.abs(a - b).max(), _allowed_steps(border.kernel, border.exponent), True)
    if theirs.dtype.kind != "f":
        return result(np.count_nonzero(ours != theirs), 0, True)
    with np.errstate(all="ignore"):
        same = (ours == theirs) | (np.isnan(ours) & np.isnan(theirs))
        finite = np.abs(theirs[np.isfinite(theirs)])
        largest = float(finite.max()) if finite.size else 0.0
        worst = np.abs(ours[~same].astype(np.float64) - theirs[~same]).max() if not same.all() else 0.0
    if np.isnan(worst) or (worst and not largest):
        worst, largest = np.inf, 1.0
    # A softmax of long rows adds as many values as a row has.
    terms = max(theirs.shape, default=1) if border.kernel.startswith("softmax") else 1
    return result(worst / max(largest, 1e-300), max(FLOAT_BOUND, terms * 2.0**-24), False)


def _allowed_steps(kernel: str, exponent: int) -> float:
    if kernel.startswith(_RECURRENT):
        least = RECURRENT_S16_BOUND if kernel.endswith("_s16") else SEVERAL_STEPS_BOUND
        return max(least, RECURRENT_BOUND * 2.0**-exponent)
    if kernel.startswith(_LINES):
        return LINES_BOUND
    return SEVERAL_STEPS_BOUND if kernel.startswith(_SEVERAL_STEPS) else STEP_BOUND


def _steps(values: np.ndarray, exponent: int) -> np.ndarray:
    if values.dtype.kind != "f":
        return values.astype(np.float64)
    return np.floor(values.astype(np.float64) * 2.0**-exponent + 0.5)
