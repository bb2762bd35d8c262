"""In which form convolutions and dense layers will run, and what that takes, before the network is compiled.

A kernel that adds products in narrow lanes must know that no sum leaves them, for any input that its tensor can hold:
what a layer reads decides how it runs. The layers are made calls as the compiler makes them, the compiler's own choice
picks their kernels, and the estimate says what these take.
"""

from __future__ import annotations

from typing import Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from ..compile.kernels import esp32s3
from ..compile.kernels.portable import VARIANTS
from ..estimate.costs import instructions
from ..operators import OPERATORS
from ..operators.base import requantize_shift
from ..program import INT8, Call, Tensor
from .costs import in_c, memory_by_layer
from .graph import Layer, Network
from .padding import padding_of
from .rules import attribute
from .simulate import Simulator
from .weights import Weights

# The families of chips with forms. On the classic ESP32 other kernels, for its MAC16 unit, have no narrow lanes.
WITH_FORMS = ("riscv", "esp32s3")


def ranges_of(network: Network, exponents: Mapping[str, int]) -> Dict[str, Tuple[int, int]]:
    """{tensor: the smallest and largest int8 value that it can hold}, by the bounds of the layers that make them."""
    found: Dict[str, Tuple[int, int]] = {}
    for layer in network.layers:
        if layer.rule is None or layer.output not in exponents or layer.output in network.wide:
            continue
        low, high = (int(bound) for bound in network.bounds_of(layer, exponents[layer.output]))
        if layer.kind in ("move", "max_pool"):
            inner = found.get(layer.inputs[0], INT8)
            low, high = (min(max(bound, low), high) for bound in inner)
        found[layer.output] = low, high
    return found


def call_of(
    network: Network, layer: Layer, weights: Weights, exponents: Mapping[str, int], reads: Tuple[int, int] = INT8
) -> Optional[Call]:
    """A Conv or Gemm of int8 as the compiler has it; None for others, which bound no sums. reads: range of its input"""
    x, y = layer.inputs[0], layer.output
    tensors = {*layer.inputs, y}
    if layer.kind not in ("conv", "dense") or not tensors <= exponents.keys() or tensors & network.wide:
        return None
    shift = exponents[y] - exponents[x] - weights.exponents
    values, bias, shift = requantize_shift(weights.values, weights.bias, shift)
    low, high = network.bounds_of(layer, exponents[y])
    attributes = {"weights": values, "bias": bias, "shift": shift, "clamp": (int(low), int(high))}
    shapes = [tuple(network.shapes[name]) for name in (x, y)]
    operator = "dense"
    if layer.kind == "conv":
        operator, shapes = _as_image(network, layer, attributes, shapes, exponents[x])
    inputs, output = [Tensor(x, shapes[0], "int8")], Tensor(y, shapes[1], "int8")
    if layer.addend is not None:
        operator, left = "conv2d_add", exponents[layer.addend] - exponents[x] - weights.exponents
        # Exponents that are only tried may not allow it.
        attributes["addend_shift"] = np.clip(left, 0, 24)
        inputs.append(Tensor(layer.addend, shapes[1], "int8"))
    call = Call("", operator, inputs, [output], attributes, input_range=reads)
    call.macs = OPERATORS[operator].macs(call)
    return call


def _as_image(network: Network, layer: Layer, attributes: Dict, shapes, exponent: int) -> Tuple[str, list]:
    """(operator, shapes NHWC) of a Conv over N, C, [H,] W; adds to its attributes."""
    node = network.model.graph.node[layer.nodes[0]]
    kernel, images = layer.weights.shape[2:], [shape[2:] for shape in shapes]
    before, after = padding_of(node, kernel, *images)
    if layer.padding is not None:
        before, after = layer.padding.before, layer.padding.after
        attributes["pad_value"] = network.filling(layer, exponent)
    rank, one = len(kernel), (1,) * (2 - len(kernel))
    attributes["strides"] = (*one, *(attribute(node, "strides") or [1] * rank))
    attributes["dilation"] = (*one, *(attribute(node, "dilations") or [1] * rank))
    attributes["padding"] = (*(0 for _ in one), *before, *(0 for _ in one), *after)
    values = attributes["weights"]
    values = values.reshape(*values.shape[:2], *one, *kernel).transpose(0, 2, 3, 1)
    groups, channels = int(attribute(node, "group", 1)), shapes[0][1]
    shapes = [(shape[0], *one, *image, shape[1]) for shape, image in zip(shapes, images)]
    if groups == channels and groups > 1:
        attributes["weights"] = np.ascontiguousarray(values[..., 0].transpose(1, 2, 0))
        return "depthwise_conv2d", shapes
    attributes.update(weights=np.ascontiguousarray(values), groups=groups)
    return "conv2d", shapes


def choose_form(call: Call, family: str, room: int) -> None:
    """Give a call the kernel that it will get on a family of chips; room: bytes of scratch memory for which the arena
    does not grow."""
    call.variant = None
    if family == "esp32s3":
        call.variant = esp32s3.choose_vector(call, *call.input_range)
    if call.variant is None:
        fitting = [one for one in VARIANTS.get(call.operator, ()) if one.fits(call)]
        lean = min(fitting, key=lambda one: one.scratch(call), default=None)
        call.variant = next((one for one in fitting if one.scratch(call) <= room), lean)
    call.kernel = f"esp_dl_{call.operator}_s8" if call.variant is None else call.variant.name(call)


def _held(simulator: Simulator, name: str, exponents: Mapping[str, int]) -> Tuple[np.ndarray, np.ndarray]:
    """([C] mean, [C] deviation) of the whole numbers of a tensor N, C, [H,] W."""
    values = simulator.quantize(name, exponents)
    samples = values.reshape(-1, values.shape[2], int(np.prod(values.shape[3:])))
    # Sums of whole numbers are exact.
    sums, squares = np.zeros((2, samples.shape[1]))
    for one in samples:
        sums += one.sum(axis=1, dtype=np.float64)
        squares += np.einsum("ci,ci->c", one, one, dtype=np.float64)
    count = samples.shape[0] * samples.shape[2]
    mean = sums / count
    return mean, np.sqrt(np.maximum(squares / count - mean * mean, 0.0))


class Forms:
    """What the layers of a network take in the forms that they get; their shapes are those of `network`."""

    def __init__(self, network: Network):
        alive = memory_by_layer(network, ())
        most = max(alive.values(), default=0)
        self._room = {name: most - size for name, size in alive.items()}

    def room(self, call: Call) -> int:
        """Bytes of scratch memory for a call for which the arena does not grow."""
        return self._room[call.output.name]

    def calls(
        self, network: Network, exponents: Mapping[str, int], weights: Mapping[str, Weights], outputs: Iterable[str]
    ) -> Iterator[Call]:
        """The layers with these outputs that bound sums."""
        ranges, wanted = ranges_of(network, exponents), set(outputs)
        for layer in network.layers:
            if layer.output in wanted and layer.output in weights:
                reads = ranges.get(layer.inputs[0], INT8)
                call = call_of(network, layer, weights[layer.output], exponents, reads)
                if call is not None:
                    yield call

    def instructions(
        self,
        network: Network,
        exponents: Mapping[str, int],
        weights: Mapping[str, Weights],
        outputs: Iterable[str],
        wider: Sequence[float] = (0.0,),
        simulator: Optional[Simulator] = None,
        families: Sequence[str] = WITH_FORMS,
    ) -> List[Dict[str, float]]:
        """{family: instructions of the layers with these outputs}; those that bound no sums, and kernels that nobody
        has counted, count nothing.

        wider: for the lanes of the ESP32-S3, whose forms are far apart, as if inputs held this part more; for each
        simulator: of the network; what its samples hold says which checked sums do not fit. None: all do
        """
        totals = {family: np.zeros(len(wider) if family == "esp32s3" else 1) for family in families}
        for call in self.calls(network, exponents, weights, outputs):
            (low, high), held = call.input_range, None
            for family, total in totals.items():
                for index in range(len(total)):
                    more = 1.0 + wider[index] if family == "esp32s3" else 1.0
                    call.input_range = round(low * more), round(high * more)
                    count = self._instructions(call, family)
                    if simulator is not None and isinstance(call.variant, esp32s3.Conv2dChecked):
                        held = held or _held(simulator, call.inputs[0].name, exponents)
                        count *= call.variant.slowest(call) if call.variant.leaves(call, *held) else 1.0
                    total[index] += count
        return [{family: float(total[i % len(total)]) for family, total in totals.items()} for i in range(len(wider))]

    def _instructions(self, call: Call, family: str) -> float:
        choose_form(call, family, self.room(call))
        own = None if call.variant is None else call.variant.counted(call)
        if own is None:
            own = instructions(call, in_c(family), family == "esp32s3")
        return own or 0.0


__all__ = ["WITH_FORMS", "Forms", "call_of", "choose_form", "ranges_of"]
