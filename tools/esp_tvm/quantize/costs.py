"""What the layers of a network cost before it is compiled: instructions, and bytes of activations.

Instructions are those that the bench counted for each kernel (`esp_tvm.estimate`). A quantized model is for every chip,
so they are counted for each family of chips.
"""

from __future__ import annotations

from typing import Dict, FrozenSet, Iterable, List, Tuple

import numpy as np

from ..estimate.costs import costs
from ..estimate.work import LANES, Work
from .graph import Layer, Network
from .rules import attribute

# Kernels of int8 by kind of layer. The first name that a family has is taken.
_INT8: Dict[str, Dict[str, Tuple[str, ...]]] = {
    "plain": {
        "conv": ("esp_dl_conv2d_s8_6x2",),
        "grouped": ("esp_dl_conv2d_s8",),
        "depthwise": ("esp_dl_depthwise_conv2d_s8_3x3",),
        "dense": ("esp_dl_dense_s8_8",),
        "max_pool": ("esp_dl_max_pool2d_s8",),
        "average_pool": ("esp_dl_average_pool2d_s8",),
        "global_pool": ("esp_dl_average_pool2d_s8_global",),
        "binary": ("esp_dl_add_s8",),
        "clamp": ("esp_dl_requantize_s8",),
        "input": ("esp_dl_quantize_s8",),
        "output": ("esp_dl_dequantize_s8",),
        "other": ("esp_dl_copy",),
    },
    "esp32s3": {
        "conv": ("Conv2dLanes conv2d",),
        "grouped": ("C conv2d",),
        "depthwise": ("DepthwiseLanes depthwise_conv2d",),
        "dense": ("Dense dense",),
        "max_pool": ("Pool max_pool2d", "Pool any"),
        "average_pool": ("Average any",),
        "global_pool": ("Average average_pool2d",),
        "binary": ("Elementwise add", "Elementwise any"),
        "clamp": ("Elementwise any",),
        "input": ("QuantizeFpu quantize",),
        "output": ("DequantizeFpu any",),
        "other": ("Move any",),
    },
}
# Instructions of an int16 kernel that the bench has not counted, in those of the plain int8 kernel: a convolution has
# no form for two pixels at a time, and a value of a window may lie in the padding.
_CONV_S16 = 2.5
# The vector unit's own, by kind of layer.
_VECTORS_S16 = {
    "conv": "Conv2dS16 any",
    "depthwise": "DepthwiseS16 any",
    "max_pool": "PoolS16 any",
    "binary": "ElementwiseS16 any",
    "clamp": "ElementwiseS16 any",
    "output": "DequantizeS16Fpu dequantize_s16",
}
# Values of int16 in a vector: channels are multiples of it where a convolution adds a tensor, and of an average.
_EIGHT = LANES // 2
# Of a kind of layer that the bench has not counted, a value of its output.
_UNKNOWN = 20.0
# The families with kernels in plain C; the ESP32-S3 with those for its vector unit.
PLAIN = ("riscv", "xtensa")
FAMILIES = (*PLAIN, "esp32s3")


class Instructions:
    """Instructions of the layers of a network, {family: number}, with tensors of int8 and int16.

    A layer that stays in float counts nothing: what it takes is not known.
    """

    def __init__(self, network: Network):
        self.network = network
        self.total = self._sum(network.layers, frozenset())

    def shares(self, wide: Iterable[str]) -> Dict[str, float]:
        """{family: what int16 for the tensors `wide` costs, as a share of the int8 network}."""
        wide = frozenset(wide)
        touched = [one for one in self.network.layers if one.output in wide or not wide.isdisjoint(one.inputs)]
        before, after = self._sum(touched, frozenset(), wide), self._sum(touched, wide, wide)
        return {family: (after[family] - before[family]) / max(self.total[family], 1.0) for family in FAMILIES}

    def _sum(self, layers: List[Layer], wide: FrozenSet[str], ports: FrozenSet[str] = frozenset()) -> Dict[str, float]:
        """ports: the tensors whose change from and to float counts, where they are inputs and outputs; none: all"""
        network = self.network
        total = dict.fromkeys(FAMILIES, 0.0)
        for family in FAMILIES:
            total[family] += sum(self._layer(family, layer, wide) for layer in layers if layer.rule is not None)
            for kind, names in (("input", network.inputs), ("output", network.outputs)):
                for name in names:
                    if name in network.integers and (not ports or name in ports):
                        total[family] += self._port(family, kind, name, name in wide)
        return total

    def _port(self, family: str, kind: str, name: str, s16: bool) -> float:
        work = Work(int(np.prod(self.network.shapes.get(name, ()))), 1, 0, 1)
        if s16 and family == "esp32s3" and kind in _VECTORS_S16:
            return _terms(costs()["families"][family][_VECTORS_S16[kind]], work)
        return _count(in_c(family) if s16 else family, kind, work)

    def _layer(self, family: str, layer: Layer, wide: FrozenSet[str]) -> float:
        shape = self.network.shapes.get(layer.output, ())
        kind, is_wide = self._kind(layer), layer.output in wide or not wide.isdisjoint(layer.inputs)
        if kind == "view":
            return 0.0
        macs = macs_of(self.network, layer)
        channels = shape[1] if layer.kind in ("conv", "max_pool", "average_pool") else shape[-1] if shape else 1
        values = int(np.prod(shape))
        inputs = self.network.shapes.get(layer.inputs[0], ()) if layer.inputs else ()
        in_channels = inputs[1] if layer.kind == "conv" and len(inputs) > 1 else inputs[-1] if inputs else 1
        work = Work(values, channels, macs, in_channels, taps=self._taps(layer, kind))
        if not is_wide:
            return _count(family, kind, work) + (_count(family, "binary", work) if layer.addend is not None else 0.0)
        if kind == "dense":
            return _dense_s16(family, work, layer.inputs[0] in wide, layer.output in wide)
        vectors = _vectors_s16(kind, work, layer.addend is not None, layer.inputs[0] in wide)
        if family == "esp32s3" and vectors:
            return _terms(costs()["families"][family][vectors], work)
        if kind in ("average_pool", "global_pool"):
            return _s16(family, "average_pool2d_s16", work, "")
        if family == "esp32s3" and kind == "other":
            return 2.0 * _count(family, kind, work)  # Copies, of twice the bytes.
        return _count(in_c(family), kind, work) * (_CONV_S16 if kind in ("conv", "depthwise") else 1.0)

    def _taps(self, layer: Layer, kind: str) -> int:
        """Of a pooling window; 1 of another layer."""
        if kind == "global_pool":
            return int(np.prod(self.network.shapes[layer.inputs[0]][2:]))
        if kind in ("average_pool", "max_pool"):
            return int(np.prod(attribute(self.network.model.graph.node[layer.nodes[0]], "kernel_shape", [1])))
        return 1

    def _kind(self, layer: Layer) -> str:
        node = self.network.model.graph.node[layer.nodes[0]]
        if layer.kind == "conv":
            groups = int(attribute(node, "group", 1))
            if groups == 1:
                return "conv"
            return "depthwise" if groups == self.network.shapes[layer.inputs[0]][1] else "grouped"
        if layer.kind == "average_pool" and node.op_type == "GlobalAveragePool":
            return "global_pool"
        if layer.kind == "move":
            # Most transposes are part of a change of layout and vanish; the rest are views.
            return "view"
        return layer.kind if layer.kind in _INT8["plain"] else "other"


def in_c(family: str) -> str:
    """The family whose counts are those of a family's kernels in C."""
    return "xtensa" if family == "esp32s3" else family


def _vectors_s16(kind: str, work: Work, added: bool, wide_input: bool) -> str:
    """What the bench calls the vector kernel of a layer from or to int16; "" where plain C computes it.

    added: whether a tensor is added to its sums
    """
    if added:
        in_eights = work.channels % _EIGHT == work.in_channels % _EIGHT == 0
        return "Conv2dAddS16 any" if kind == "conv" and in_eights else ""
    if kind == "global_pool":
        if wide_input:
            return "AverageWide any" if work.channels % _EIGHT == 0 else ""
        return "AverageS16 average_pool2d_s16" if work.channels % LANES == 0 else ""
    return _VECTORS_S16.get(kind, "")


def _dense_s16(family: str, work: Work, wide_input: bool, wide_output: bool) -> float:
    """Instructions of a dense layer with int16."""
    if family == "esp32s3" and not (wide_input and wide_output):
        return _terms(costs()["families"][family]["DenseS16Rows any" if wide_input else "DenseS16 any"], work)
    return _s16(family, "dense_s16", work, "DenseS16Wide" if wide_output else "")


def _s16(family: str, operator: str, work: Work, vectors: str) -> float:
    """Instructions of a kernel for int16. vectors: that of the ESP32-S3's vector unit, "" where it is plain C too"""
    known = costs()["families"]
    names = [(family, f"{vectors} {operator}"), (family, f"C {operator}"), (in_c(family), f"esp_dl_{operator}")]
    counted = next((known[one][name] for one, name in names if name in known[one]), None)
    return _UNKNOWN * work.values * work.taps if counted is None else _terms(counted, work)


def macs_of(network: Network, layer: Layer) -> int:
    """Multiply-accumulates of a Conv or Gemm; 0 for others."""
    if layer.rule is None or layer.weights is None:
        return 0
    return int(np.prod(network.shapes.get(layer.output, ()))) * int(np.prod(layer.weights.shape[1:]))


def _count(family: str, kind: str, work: Work) -> float:
    """Instructions of an int8 kernel."""
    known = costs()["families"]
    for name in _INT8["esp32s3" if family == "esp32s3" else "plain"][kind]:
        if name in known[family]:
            return _terms(known[family][name], work)
    for name in _INT8["plain"][kind]:
        if name in known["riscv"]:
            scale = costs()["scale"][in_c(family)]
            return scale * _terms(known["riscv"][name], work)
    return _UNKNOWN * work.values


def _terms(cost: Dict, work: Work) -> float:
    terms = work.terms()
    return sum(factor * terms[name] for name, factor in cost["terms"].items())


def largest_memory(network: Network, wide: Iterable[str]) -> int:
    """Bytes of activations that are alive together at most, those of `wide` with two bytes a value. The arena is
    planned later and may differ: shares of it are what this is for."""
    return max(memory_by_layer(network, wide).values(), default=0)


def memory_by_layer(network: Network, wide: Iterable[str]) -> Dict[str, int]:
    """{output of a layer, or input of the network: bytes of activations that are alive while it is made}; a reshape is
    in the memory of its input, and a sum in that of an operand that no other layer reads any more, also where a
    convolution computes it."""
    wide, network_outputs = frozenset(wide), set(network.outputs)
    layers = _in_turn(network)
    last = {name: index for index, layer in enumerate(layers) for name in layer.inputs}
    alive: Dict[str, int] = {}
    found: Dict[str, int] = {}

    def bytes_of(name: str) -> int:
        each = 2 if name in wide else 1 if name in network.integers else 4
        return each * int(np.prod(network.shapes.get(name, ())))

    for name in network.inputs:
        alive[name] = bytes_of(name)
        found[name] = sum(alive.values())
    for index, layer in enumerate(layers):
        added = layer.addend
        # What it reads itself stays until it is done.
        if added is not None and last[added] == index and added not in {*network_outputs, layer.inputs[0]}:
            alive.pop(added, None)
        if layer.kind == "binary":
            over = [n for n in layer.inputs if last[n] == index and n not in network_outputs and n in alive]
            if over and alive[over[0]] == bytes_of(layer.output):
                del alive[over[0]]
        alive[layer.output] = bytes_of(layer.output)
        if layer.kind == "move" and last.get(layer.inputs[0]) == index:
            alive.pop(layer.inputs[0], None)
        found[layer.output] = sum(alive.values())
        alive = {n: size for n, size in alive.items() if last.get(n, -1) > index or n in network_outputs}
    return found


def _in_turn(network: Network) -> List[Layer]:
    """The layers in the order in which the compiler visits them: all that the first input of one needs comes first."""
    makers = {layer.output: layer for layer in network.layers}
    found: Dict[str, Layer] = {}
    open_ones = [makers[name] for name in reversed(network.outputs) if name in makers]
    while open_ones:
        layer = open_ones[-1]
        missing = next((makers[name] for name in layer.inputs if name in makers and name not in found), None)
        if missing is not None:
            open_ones.append(missing)
            continue
        found[open_ones.pop().output] = layer
    return [*found.values(), *(layer for layer in network.layers if layer.output not in found)]


__all__ = ["FAMILIES", "PLAIN", "Instructions", "in_c", "largest_memory", "macs_of", "memory_by_layer"]
