"""Models quantized by other tools: kept if all scales are powers of two, otherwise converted.

To convert means to dequantize the weights and to choose exponents from samples as for a float model, or without
samples, exponents that cover the ranges that the model had. The loss is measured against the given model.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Container, Dict, Iterable, List, Optional, Sequence, Set, Tuple

import numpy as np
import onnx

from ..convert.qdq import OURS, Qdq, Scale
from ..convert.qdq_float import strip
from ..convert.qdq_form import bring_into_form, quantized_exponent, target_exponents, why_not_as_it_is
from ..errors import UserError
from ..model import inputs_of, run_session, session
from ..naming import shown
from ..onnx_graph import attribute, known_shapes, with_outputs
from ..states import states_of
from ..terminal import Part, lines_of
from .calibrate import Histogram, choose_exponent, covering_exponent, samples_of
from .graph import Network, describe_layer, read_network
from .judge import judge
from .passes import Passes, State, impossible_sums
from .rules import INPUT, RULES, Facts
from .weights import Weights, quantize_weights, quantized, weight_exponents
from .write import write_qdq

# The number of random inputs for measuring the loss if there are no samples.
RANDOM_SAMPLES = 32
# A tensor with values this many steps beyond its range in one of so many samples is cut off there on purpose.
BEYOND, LOOKED_AT = 4, 16


@dataclass
class Adopted:
    """model: in this project's form; notes: what was done, for users; state: None if the model was kept."""

    model: onnx.ModelProto
    notes: List[Part] = field(default_factory=list)
    state: Optional[State] = None

    def table(self) -> str:
        """The lines for users."""
        return "\n".join(lines_of(self.notes))

    def parts(self) -> List[Part]:
        """Lines and tables, for `show`."""
        return self.notes


def adopt(model: onnx.ModelProto, samples: Optional[Dict], passes: Passes, path="model") -> Adopted:
    """`model` (QDQ, from `load_model`) in this project's form; samples {input: [N, *shape]} for tensors without a
    scale, or None."""
    if model.producer_name == OURS:
        raise UserError(f"{path}: is quantized already, by this tool; give the float model")
    qdq = Qdq(model, path)
    why = why_not_as_it_is(qdq)
    if why is None:
        return _taken(model, qdq, samples, passes)
    saturated = _saturated(qdq, samples)
    notes: List[Part] = [f"{path}: {why}: converted to power-of-two scales"]
    if samples is None:
        # Nobody knows what else the inputs hold: all of them are cut off as the given model does it.
        cut = _ranges_of_inputs(qdq, states_of(model))
        saturated.update(cut)
        notes += [
            f"input '{shown(name, 40)}' is cut off at {low:.6g} and {high:.6g}, as in the given model; with "
            "--calibrate_dataset only where the samples have values beyond"
            for name, (low, high) in cut.items()
        ]
    real, scales = strip(qdq, saturated)
    if samples is not None:
        from . import quantize_model

        result = quantize_model(real, samples, passes, path)
        notes += result.parts()
        which = "the samples held back" if result.held and not result.again else "the calibration samples"
        return _judged(Adopted(result.model, notes, result.state), model, real, result.held or samples, which)
    state = _from_ranges(real, scales, passes.per_channel, notes)
    samples = random_samples(model, scales)
    adopted = Adopted(write_qdq(state.network, state.exponents, state.weights), notes, state)
    return _judged(adopted, model, real, samples, "random inputs in the range of the input's scale")


def _saturated(qdq: Qdq, samples: Optional[Dict]) -> Set[str]:
    """The tensors, of the given model's inputs too, with values beyond the range in which they are quantized."""
    scales = {node.input[0]: qdq.scale_of(node) for node in qdq.quantizers()}
    scales = {name: scale for name, scale in scales.items() if scale is not None}
    names = [name for name in scales if qdq.producer(name) is not None]
    inputs = [name for name in scales if name in qdq.inputs]
    if not [*names, *inputs]:
        return set()
    relus = {name: _relus_behind(qdq, name) for name in [*names, *inputs]}
    given, found = qdq.finished(), set()
    run = session(with_outputs(given, names)) if names else None
    for sample in itertools.islice(samples_of(samples or random_samples(given, scales)), LOOKED_AT):
        computed = run_session(run, names, sample) if run else []
        for name, values in [*zip(names, computed), *((name, sample[name]) for name in inputs)]:
            (low, high), more = scales[name].range, BEYOND * scales[name].scale
            # What is computed gets a Relu for a range from 0 on; an input has nothing else.
            below = (low < 0.0 or name in inputs) and not relus[name] and np.min(values, initial=low) < low - more
            if below or np.max(values, initial=high) > high + more:
                # Kernels compute a Relu before a Clip, and not after one.
                found.update(relus[name] or [name])
    return found


def _ranges_of_inputs(qdq: Qdq, states: Container[str]) -> Dict[str, Tuple[float, float]]:
    """The least and the largest value of each input that is quantized with one scale; not of states, which the model
    cuts off where it computes them."""
    read = [node for node in qdq.quantizers() if node.input[0] in qdq.inputs and node.input[0] not in states]
    scales = {node.input[0]: qdq.scale_of(node) for node in read}
    return {name: scale.range for name, scale in scales.items() if scale is not None}


def _relus_behind(qdq: Qdq, name: str) -> List[str]:
    """The results of the Relus that read a tensor, behind its quantizers; none where anything else reads it."""
    reals = [real for whole in qdq.consumers(name) for real in qdq.consumers(whole.output[0])]
    readers = [reader for real in reals for reader in qdq.consumers(real.output[0])]
    return [reader.output[0] for reader in readers] if {reader.op_type for reader in readers} == {"Relu"} else []


def _judged(adopted: Adopted, given, real, samples: Dict, which: str) -> Adopted:
    samples = {name: array[: min(len(array), 64)] for name, array in samples.items()}
    ours, lost = judge(given, adopted.model, samples), judge(real, adopted.model, samples)
    before = _noise_of_given(real, given, samples)
    adopted.notes += [
        f"loss, on {ours.samples} of {which}: the result differs from the given model by {ours.decibels:.1f} dB "
        f"(signal to noise), same top-1 {ours.agreement * 100:.1f} %",
        f"against the given model's own weights in float: the given model {before:.1f} dB, the result "
        f"{lost.decibels:.1f} dB",
    ]
    return adopted


def _noise_of_given(real: onnx.ModelProto, given: onnx.ModelProto, samples: Dict) -> float:
    from .judge import without_softmax
    from .report import Noise

    noise, runs = Noise(), []
    for model in (without_softmax(real), without_softmax(given)):
        runs.append((session(model), [v.name for v in model.graph.output]))
    for sample in samples_of(samples):
        for a, b in zip(*(run_session(run, names, sample) for run, names in runs)):
            noise.add(np.asarray(a, np.float32), np.asarray(b, np.float32))
    return noise.decibels


def random_samples(model: onnx.ModelProto, scales: Dict[str, Scale]) -> Dict[str, np.ndarray]:
    """Uniform in the range that each input was quantized for; 0 to 1 if that is not known."""
    random = np.random.RandomState(0)
    made = {}
    for name, shape, dtype in inputs_of(model):
        low, high = scales[name].range if name in scales else (0.0, 1.0)
        made[name] = random.uniform(low, high, (RANDOM_SAMPLES, *shape)).astype(dtype)
    return made


# --- exponents from ranges --------------------------------------------------------------------------------


def _from_ranges(real: onnx.ModelProto, scales: Dict[str, Scale], per_channel: bool, notes: List[Part]) -> State:
    """Exponents that cover the ranges that tensors had; layers without them stay float."""
    apart: Set[str] = set()
    while True:
        found: List[Part] = []
        state = _covering(read_network(real, apart), scales, per_channel, found)
        more = impossible_sums(state.network, state.exponents, state.weights)
        if not more:
            notes += found
            return state
        apart.update(more)


def _covering(network: Network, scales: Dict[str, Scale], per_channel: bool, notes: List[Part]) -> State:
    known: Dict[str, int] = {}
    for name in network.integers:
        if name in scales:
            exponent = covering_exponent(*scales[name].range)
            root = network.root(name)
            known[root] = max(known.get(root, exponent), exponent)
    for layer in network.layers:
        if layer.rule is not None and isinstance(layer.rule.exponent, int):
            known.setdefault(network.root(layer.output), layer.rule.exponent)
    for layer in network.layers:
        needed = [n for n in [*layer.inputs, layer.output] if n in network.integers]
        missing = [n for n in needed if network.root(n) not in known]
        if layer.rule is not None and missing:
            layer.rule, layer.why = None, "the given model has no scale for it; give --calibrate_dataset"
            notes.append(f"stays float: {describe_layer(network, layer)} ({layer.op_type}): {layer.why}")
    touched = {n for layer in network.layers if layer.rule is not None for n in [*layer.inputs, layer.output]}
    network.integers = [name for name in network.integers if name in touched and network.root(name) in known]
    exponents = {name: known[network.root(name)] for name in network.integers}
    if not exponents:
        raise UserError("nothing in this model has a scale that an integer kernel could use; give --calibrate_dataset")
    weights: Dict[str, Weights] = {}
    for layer in network.layers:
        if layer.rule is not None and layer.weights is not None:
            e_x = exponents[layer.inputs[0]]
            label = describe_layer(network, layer)
            left = None if layer.addend is None else exponents[layer.addend] - e_x
            weights[layer.output] = quantize_weights(layer.weights, layer.bias, e_x, per_channel, label, left=left)
    return State(network, exponents, weights)


# --- kept, and completed --------- ------------------------------------------------------------------------


def _taken(model: onnx.ModelProto, qdq: Qdq, samples: Optional[Dict], passes: Passes) -> Adopted:
    notes: List[Part] = ["all scales are powers of two: exponents and weights are taken as they are"]
    bring_into_form(qdq)
    open_ends = _open_ends(qdq)
    # What a convolution only adds to another tensor needs none: both are one kernel's.
    facts = _facts(qdq)
    added = {name: _added_to(qdq, facts, name) for name in open_ends}
    told = [name for name, other in added.items() if other is None or quantized_exponent(qdq, other) is None]
    if told and samples is None:
        listed = ", ".join(f"'{shown(name, 40)}'" for name in told[:5]) + (", ..." if len(told) > 5 else "")
        notes.append(
            f"no scale for {len(told)} tensor(s) ({listed}): what reads or makes them stays float; "
            "give --calibrate_dataset to have them completed"
        )
    if open_ends and samples is not None:
        _quantize_weights(qdq, passes.per_channel)
        exponents = _calibrated(qdq, open_ends, samples, passes)

        def complete(names: Iterable[str]) -> None:
            for name in names:
                _complete(qdq, name, exponents[name])
                notes.append(f"completed: tensor '{shown(name, 40)}' at 2^{exponents[name]}")
            bring_into_form(qdq)

        complete(name for name in open_ends if added[name] is None)
        # With the exponents of all others it is known which of these sums one kernel can compute.
        complete([name for name, other in added.items() if other is not None and not _can_add(qdq, name, other)])
    made = qdq.finished()
    made.producer_name = OURS
    ours = judge(model, made, samples) if samples is not None else None
    if ours is not None:
        notes.append(f"against the given model on {ours.samples} samples: {ours.decibels:.1f} dB")
    return Adopted(made, notes)


_FUSED_BEHIND = ("Conv", "Gemm", "MatMul", "Add", "Sub", "Mul", "AveragePool", "GlobalAveragePool", "ConvTranspose")


def _facts(qdq: Qdq) -> Facts:
    shapes = known_shapes(qdq.finished())
    # For the rules quantized weights are constants.
    constants = dict(qdq.constants)
    for node in qdq.dequantized_constants():
        values = qdq.constants[node.input[0]]
        constants[node.output[0]] = values.astype(np.float32)
        shapes[node.output[0]] = values.shape
    return Facts(constants, shapes)


def _open_ends(qdq: Qdq) -> List[str]:
    """Float tensors that operators with an integer rule read or compute, in order; not those inside one kernel."""
    facts = _facts(qdq)
    floats = {v.name for v in qdq.proto.input if v.type.tensor_type.elem_type == onnx.TensorProto.FLOAT}
    found: List[str] = []

    def note(name: str) -> None:
        if name not in found and quantized_exponent(qdq, name) is None and not target_exponents(qdq, name):
            found.append(name)

    inner = set()
    for node in qdq.nodes:
        rule = RULES.get(node.op_type)
        if rule is None or (rule.check and rule.check(facts, node)) or rule.exponent == INPUT:
            continue
        for name in node.input[:2]:
            produced = qdq.producer(name)
            if name and name not in facts.constants and name not in inner and (produced is not None or name in floats):
                note(name)
        end = _end(qdq, node)
        inner.update(_between(qdq, node, end))
        if rule.kind == "compare" or (rule.kind == "softmax" and end in qdq.outputs):
            continue
        note(end)
    return [name for name in found if name not in inner]


def _added_to(qdq: Qdq, facts: Facts, name: str) -> Optional[str]:
    """The tensor of its shape to which the result `name` of a Conv is only added, where one kernel may compute both;
    of two such results the first one stays a tensor. None where there is none."""
    made, readers = qdq.producer(name), qdq.consumers(name)
    if made is None or not _may_add(facts, made) or [reader.op_type for reader in readers] != ["Add"]:
        return None
    others = [other for other in readers[0].input if other != name]
    if name in qdq.outputs or len(others) != 1 or others[0] in facts.constants:
        return None
    shape = facts.shapes.get(name)
    if shape is None or shape != facts.shapes.get(others[0]):
        return None
    maker = qdq.producer(others[0])
    both = maker is not None and _may_add(facts, maker) and qdq.consumers(others[0]) == readers
    return None if both and qdq.place(maker) > qdq.place(made) else others[0]


def _may_add(facts: Facts, node: onnx.NodeProto) -> bool:
    """Whether kernels of a node can add a tensor to its sums: of a Conv that is not depthwise."""
    shape = facts.shapes.get(node.input[1]) if node.op_type == "Conv" else None
    return shape is not None and (shape[1] > 1 or int(attribute(node, "group", 1)) == 1)


def _can_add(qdq: Qdq, name: str, other: str) -> bool:
    """Whether the kernel of the Conv that makes `name` can add `other` to its sums, with their exponents."""
    made, e_other = qdq.producer(name), quantized_exponent(qdq, other)
    e_x, source = quantized_exponent(qdq, made.input[0]), qdq.producer(made.input[1])
    if e_other is None or e_x is None or source is None or source.input[0] not in qdq.constants:
        return False
    values, scale = qdq.constants[source.input[0]], qdq.parameters(source)[0]
    exponents = np.broadcast_to(np.frexp(scale.astype(np.float64))[1].reshape(-1) - 1, len(values))
    bias = np.zeros(len(values), np.int64)
    if len(made.input) > 2 and made.input[2]:
        holder = qdq.producer(made.input[2])
        if holder is None or holder.input[0] not in qdq.constants:
            return False
        bias = qdq.constants[holder.input[0]]
    return Weights(values, exponents, bias, bias).can_add(e_other - e_x)


def _end(qdq: Qdq, node: onnx.NodeProto) -> str:
    """The tensor after the operators that a kernel fuses: an added bias, relu and clip."""
    end = node.output[0]
    if node.op_type not in _FUSED_BEHIND:
        return end
    for kinds in (("Add",) if node.op_type == "MatMul" else (), ("Relu",), ("Clip",)):
        users = qdq.consumers(end)
        if len(users) != 1 or end in qdq.outputs or users[0].op_type not in kinds:
            continue
        if users[0].op_type == "Add":
            other = next(name for name in users[0].input if name != end)
            made = qdq.producer(other)
            if other not in qdq.constants and (made is None or made.input[0] not in qdq.constants):
                continue
        end = users[0].output[0]
    return end


def _between(qdq: Qdq, node: onnx.NodeProto, end: str) -> List[str]:
    names, name = [], node.output[0]
    while name != end:
        names.append(name)
        name = qdq.consumers(name)[0].output[0]
    return names


def _quantize_weights(qdq: Qdq, per_channel: bool) -> None:
    """Weights that the given model left in float."""
    for node in qdq.nodes:
        values = qdq.constants.get(node.input[1]) if node.op_type in ("Conv", "Gemm", "MatMul") else None
        if values is None or values.dtype != np.float32 or (node.op_type != "Conv" and values.ndim != 2):
            continue
        transposed = attribute(node, "transB")
        axis = 0 if node.op_type == "Conv" or transposed else 1
        rows = np.moveaxis(values, axis, 0)
        exponents = weight_exponents(rows, per_channel)
        whole = quantized(rows.reshape(len(rows), -1), exponents).reshape(rows.shape).astype(np.int8)
        step = np.exp2(exponents.astype(np.float64)).astype(np.float32)
        name = node.input[1]
        inputs = [
            qdq.add_constant(f"{name}_quantized", np.moveaxis(whole, 0, axis)),
            qdq.add_constant(f"{name}_scale", step),
            qdq.add_constant(f"{name}_zero_point", np.zeros(step.shape, np.int8)),
        ]
        real = qdq.fresh(f"{name}_dequantized")
        qdq.node("DequantizeLinear", inputs, real, 0, axis=axis)
        qdq.set_input(node, 1, real)


def _calibrated(qdq: Qdq, names: Sequence[str], samples: Dict, passes: Passes) -> Dict[str, int]:
    given = {v.name for v in qdq.proto.input}
    made = [name for name in names if name not in given]
    run = session(with_outputs(qdq.finished(), made)) if made else None
    histograms = {name: Histogram() for name in names}
    for sample in samples_of(samples):
        values = dict(zip(made, run_session(run, made, sample))) if run else {}
        values.update((name, sample[name]) for name in names if name in given)
        for name, value in values.items():
            histograms[name].add(value)
    chosen = {}
    for name, histogram in histograms.items():
        # What is clipped at an output cannot be recovered.
        method = "minmax" if name in qdq.outputs else passes.local_method
        chosen[name] = choose_exponent(histogram, method, passes.percentile)
        maker = qdq.producer(name)
        fixed = RULES[maker.op_type].exponent if maker is not None and maker.op_type in RULES else None
        if isinstance(fixed, int):
            chosen[name] = fixed
    return chosen


def _complete(qdq: Qdq, name: str, exponent: int) -> None:
    """Insert QuantizeLinear and DequantizeLinear after a float tensor for all its readers."""
    maker = qdq.producer(name)
    if maker is None:
        real = qdq.fresh(f"{name}_dequantized")
        qdq.redirect(name, real)
        qdq.pair(name, real, exponent, 0)
        return
    raw = qdq.fresh(f"{name}_float")
    qdq.set_outputs(maker, [raw if one == name else one for one in maker.output])
    qdq.pair(raw, name, exponent, qdq.place(maker) + 1)


__all__ = ["Adopted", "adopt", "random_samples"]
