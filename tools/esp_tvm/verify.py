"""The program against ONNX Runtime's run of the same quantized model, tensor by tensor.

Both references of the program are made of what TVM's importer understood; ONNX Runtime read the model itself. Every
tensor of the program that is a tensor of the ONNX model too is given to ONNX Runtime where the model reads it. So each
piece between two such tensors is judged on the very values that the program computes with: differences do not add up
over the layers, and what lies outside its bound is wrong itself.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Set, Tuple

import numpy as np
import onnx
from onnx import helper

from .convert.int16 import collapse
from .convert.qdq_form import as_it_is
from .errors import UserError
from .model import run_session, session
from .naming import shown
from .program.form import Call, Program, Tensor
from .quantize.calibrate import with_outputs

# The largest difference in float, relative to the tensor's largest value. Float32 rounds each operation by up to 2^-24
# of its result: a sum of n values in another order differs by up to n 2^-24 of the largest partial sum. 2^-14 covers a
# thousand of them, and is a 64th of a step of int8 over the same range.
FLOAT_BOUND = 2.0**-14
# Steps by which an integer result may differ. Rules round half up, ONNX Runtime half to even: one step.
STEP_BOUND = 1
# Rules that round several times on the way (docs/arithmetic.md), by the beginning of their names.
_SEVERAL_STEPS = ("gru", "lstm", "normalize", "softmax", "log_softmax", "resize_linear")
SEVERAL_STEPS_BOUND = 3
# Random inputs for a program of so many multiply-accumulates: the reference takes seconds for the large ones.
_RANDOM_INPUTS = ((20_000_000, 3), (100_000_000, 1))


@dataclass(frozen=True)
class Difference:
    """A tensor of the program beside ONNX Runtime's.

    tensor: its ONNX name; node: what computes it, as people read it; kernel: the operator's name, "" for TVM's float C
    worst, bound: the largest difference and what is allowed, in steps of an integer tensor (in_steps), else relative to
        the tensor's largest value
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
    """What came of the comparison: on how many samples, and the worst `Difference` of every tensor, in graph order."""

    samples: int = 0
    tensors: List[Difference] = field(default_factory=list)

    def add(self, found: Sequence[Difference]) -> None:
        """The differences on one more sample."""
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
        """What the export prints."""
        floats = (
            "no tensor in float"
            if all(one.in_steps for one in self.tensors)
            else (
                f"float within {self.worst(in_steps=False):.1e} of a tensor's largest value (allowed {FLOAT_BOUND:.1e})"
            )
        )
        return (
            f"ONNX Runtime computes the same: {len(self.tensors)} tensors on {self.samples} inputs, integers within "
            f"{self.worst(in_steps=True):.0f} steps (allowed {STEP_BOUND}, in rules of several {SEVERAL_STEPS_BOUND}), "
            f"{floats}"
        )

    def describe(self) -> Dict[str, float]:
        """For metadata.json (program/schema.py) and the report."""
        return {
            "samples": self.samples,
            "tensors": len(self.tensors),
            "worst_steps": self.worst(in_steps=True),
            "worst_float": self.worst(in_steps=False),
            "step_bound": float(STEP_BOUND),
            "several_steps_bound": float(SEVERAL_STEPS_BOUND),
            "float_bound": FLOAT_BOUND,
        }


@dataclass(frozen=True)
class Border:
    """A tensor that the program and the ONNX model share.

    key: what the caller knows it by
    exponent: of an integer tensor of the program; dtype, shape: as ONNX Runtime has it
    order: axes of the ONNX tensor (those of size 1 left out) as they lie in memory
    """

    tensor: str
    node: str
    kernel: str
    key: Any
    exponent: Optional[int]
    dtype: np.dtype = np.dtype(np.float32)
    shape: Tuple[int, ...] = ()
    order: Tuple[int, ...] = ()


class OnnxRuntimeCheck:
    """Compares what the program computes with ONNX Runtime.

    model: as `load_model` gives it; borders: of the program that was made of it
    """

    def __init__(self, model: onnx.ModelProto, borders: Sequence[Border]):
        self._model = as_it_is(model)
        self._outputs = [value.name for value in self._model.graph.output]
        self._place = {name: i for i, node in enumerate(self._model.graph.node) for name in node.output if name}
        self._borders = [b for b in borders if b.tensor in self._place and b.tensor not in self._outputs]
        self._session = None
        self._sources: Dict[str, str] = {}

    def check(
        self, sample: Mapping[str, np.ndarray], value: Callable[[Border], object], outputs: Mapping[str, np.ndarray]
    ) -> List[Difference]:
        """How far the program is from ONNX Runtime on one sample, in the order of the graph.

        value: what the program computed for a border, as it lies in memory; outputs: of the program, by ONNX name
        """
        if self._session is None:
            self._prepare(sample, value)
        given = {border.tensor: _as_onnx(border, np.asarray(value(border))) for border in self._borders}
        names = list(dict.fromkeys([*given, *self._outputs, *self._sources.values()]))
        feeds = {**sample, **{_given(name): values for name, values in given.items()}}
        theirs = dict(zip(names, run_session(self._session, names, feeds)))
        for name, source in self._sources.items():
            # What ONNX Runtime quantizes is no number: the rule is free to say what becomes of it.
            theirs[name] = np.where(np.isnan(theirs[source]), given[name], theirs[name])
        found = [_difference(b, given[b.tensor], theirs[b.tensor]) for b in self._borders]
        for name in self._outputs:
            border = Border(name, self._node_of(name), "", None, None)
            found.append(_difference(border, np.asarray(outputs[name]), theirs[name]))
        return sorted(found, key=lambda difference: self._place[difference.tensor])

    def _node_of(self, tensor: str) -> str:
        node = self._model.graph.node[self._place[tensor]]
        return f'{node.op_type} "{node.name}"'

    def _prepare(self, sample: Mapping[str, np.ndarray], value: Callable[[Border], object]) -> None:
        """Find types and the order of axes in memory, and a session in which borders are inputs where they are read."""
        names = [border.tensor for border in self._borders]
        theirs = run_session(session(with_outputs(self._model, names)), names, sample) if names else []
        placed = [_placed(border, value(border), array) for border, array in zip(self._borders, theirs)]
        self._borders = list({b.tensor: b for b in reversed(placed) if b is not None}.values())[::-1]
        self._sources = self._quantized()
        outputs = list(dict.fromkeys([*self._outputs, *self._sources.values()]))
        self._session = session(_with_borders_given(self._model, self._borders, outputs))

    def _quantized(self) -> Dict[str, str]:
        """{a border that a QuantizeLinear makes: the float tensor it quantizes}, where the model computes that."""
        found = {}
        for border in self._borders:
            node = self._model.graph.node[self._place[border.tensor]]
            if node.op_type == "QuantizeLinear" and node.input[0] in self._place:
                found[border.tensor] = node.input[0]
        return found


def _given(name: str) -> str:
    return f"{name}/given"


def _with_borders_given(model: onnx.ModelProto, borders: Sequence[Border], outputs: Sequence[str]) -> onnx.ModelProto:
    """`model`, in which every border is computed as before but read from an input `<name>/given`."""
    copy = with_outputs(model, list(dict.fromkeys([*(border.tensor for border in borders), *outputs])))
    known = {border.tensor: border for border in borders}
    for node in copy.graph.node:
        node.input[:] = [_given(name) if name in known else name for name in node.input]
    for name, border in known.items():
        element = onnx.mapping.NP_TYPE_TO_TENSOR_TYPE[border.dtype]
        copy.graph.input.append(helper.make_tensor_value_info(_given(name), element, border.shape))
    del copy.graph.value_info[:]
    return copy


# --- which tensors ----------------------------------------------------------------------------------------


def program_borders(program: Program, nodes: Sequence[onnx.NodeProto]) -> List[Border]:
    """Of a program (their keys are its tensors) made of a model with these nodes."""
    calls = [one for call in program.calls() for one in (call, *call.followers)]
    readers: Dict[Tensor, List[Call]] = {}
    for call in calls:
        for tensor in call.inputs:
            readers.setdefault(tensor.root, []).append(call)

    def computed(call: Call) -> Set[Optional[int]]:
        return {*call.node_indices, call.output_node}

    found = []
    for call in calls:
        node, tensor = call.output_node, call.outputs[0]
        if node is None or len(call.outputs) != 1 or node >= len(nodes):
            continue
        # A view has its reader's bytes: what reads them may be on the way into the node or between its steps.
        if any(node in computed(reader) for reader in readers.get(tensor.root, []) if reader is not call):
            continue
        outputs = [name for name in nodes[node].output if name]
        if len(outputs) == 1:
            label = ", ".join(call.nodes) or program.nodes[node]
            found.append(Border(outputs[0], label, call.operator, tensor, tensor.exponent))
    return found


def nodes_of(model: onnx.ModelProto) -> List[onnx.NodeProto]:
    """The nodes that a program's `node_indices` count: those that the compiler imports."""
    return list(collapse(as_it_is(model)).graph.node)


# --- values -----------------------------------------------------------------------------------------------


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
    best, least = None, np.inf
    for order in itertools.permutations(range(len(inner))):
        if tuple(inner[axis] for axis in order) != memory:
            continue
        with np.errstate(all="ignore"):
            error = float(np.nansum(np.abs(wanted.transpose(order) - values)))
        if best is None or error < least:
            best, least = order, error
    if best is None:
        return None
    fields = (border.tensor, border.node, border.kernel, border.key, border.exponent)
    return Border(*fields, theirs.dtype, theirs.shape, best)


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
        return Difference(border.tensor, border.node, border.kernel, float(worst), float(bound), in_steps)

    if border.exponent is not None:
        # Where ONNX has the float tensor and the program its integers, those of ONNX Runtime's values.
        a, b = (_steps(x, border.exponent) for x in (ours, theirs))
        several = border.kernel.startswith(_SEVERAL_STEPS)
        return result(np.abs(a - b).max(), SEVERAL_STEPS_BOUND if several else STEP_BOUND, True)
    if theirs.dtype.kind != "f":
        return result(np.count_nonzero(ours != theirs), 0, True)
    with np.errstate(all="ignore"):
        same = (ours == theirs) | (np.isnan(ours) & np.isnan(theirs))
        finite = np.abs(theirs[np.isfinite(theirs)])
        largest = float(finite.max()) if finite.size else 0.0
        worst = np.abs(ours[~same].astype(np.float64) - theirs[~same]).max() if not same.all() else 0.0
    if np.isnan(worst) or (worst and not largest):
        worst, largest = np.inf, 1.0
    return result(worst / max(largest, 1e-300), FLOAT_BOUND, False)


def _steps(values: np.ndarray, exponent: int) -> np.ndarray:
    if values.dtype.kind != "f":
        return values.astype(np.float64)
    return np.floor(values.astype(np.float64) * 2.0**-exponent + 0.5)


# --- what export and run ask ------------------------------------------------------------------------------


def refuse_wrong(result: Verification) -> None:
    """Raise a `UserError` for a program that does not compute what ONNX Runtime does."""
    wrong = result.first_wrong
    if wrong is not None:
        by = f"the kernel {wrong.kernel}" if wrong.kernel else "TVM"
        raise UserError(
            f"node {shown(wrong.node, 100)}: {by} computes tensor '{shown(wrong.tensor)}' otherwise than ONNX Runtime: "
            f"{wrong.text}; nothing would be right behind it: end the model before this node, or write it otherwise"
        )


def random_sample(ports: Sequence, sample: Dict[str, np.ndarray], random: np.random.RandomState) -> Dict:
    """Inputs in the calibrated range of every port (`ModelPort`); where it has none, in the range of `sample`.

    Whole numbers, which are often indices, are those of the sample in another order.
    """
    made = {}
    for port in ports:
        given = np.asarray(sample[port.name])
        if given.dtype.kind in "fi" and port.exponent is not None:
            bounds = np.iinfo(port.inside)
            values = random.uniform(bounds.min, bounds.max, given.shape)
            values = values * 2.0**port.exponent if given.dtype.kind == "f" else np.round(values)
        elif given.dtype.kind == "f":
            values = random.uniform(given.min(initial=0), given.max(initial=1), given.shape)
        else:
            values = random.permutation(given.reshape(-1)).reshape(given.shape)
        made[port.name] = np.asarray(values).astype(given.dtype)
    return made


def random_inputs(macs: int) -> int:
    """How many random inputs a program of so many multiply-accumulates is compared on."""
    return next((count for limit, count in _RANDOM_INPUTS if macs <= limit), 0)
