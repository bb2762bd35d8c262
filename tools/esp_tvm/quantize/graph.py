"""A float model for quantization: layers, the tensors between them, and which of them run in integers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Container, Dict, FrozenSet, List, Optional, Set, Tuple

import numpy as np
import onnx

from ..errors import UserError
from ..model import inputs_of, outputs_of
from ..naming import shown
from ..onnx_graph import Graph, copied, inferred_values, make_node_names_unique
from ..states import states_of
from .clusters import channelwise, normalization
from .composed import compose
from .folding import fold_factors, means_as_pooling
from .normal_form import (
    batch_normalizations,
    one_output_each,
    pairs_and_slices,
    places_of_maxima,
    products_as_gemm,
    zeros_as_padding,
)
from .padding import Padding
from .rules import ELEMENTWISE, INPUT, NO_RULE, RULES, TESTS, Facts, Rule, attribute, rule_of

# By how many steps an input may be lowered.
MOST_STEPS = 128


@dataclass
class Layer:
    """One operator with everything that its kernel computes along with it.

    nodes: indices of its nodes in the graph: the operator, then an added bias, then fused relu and clip
    inputs, output: tensors at its border (activations only)
    weights: float [O, ...] with the output channel first (Gemm, MatMul: [O, I]); bias: float [O]. A second input is
        added to the sums of products, which are rounded once
    low, high: bounds of its output (fused relu and clip)
    padding: of a Conv whose padding is not 0
    rule: None where it stays in float, for the reason `why`
    """

    nodes: List[int]
    op_type: str
    inputs: List[str]
    output: str
    rule: Optional[Rule] = None
    why: str = ""
    weights: Optional[np.ndarray] = None
    bias: Optional[np.ndarray] = None
    low: float = -np.inf
    high: float = np.inf
    padding: Optional[Padding] = None

    @property
    def kind(self) -> str:
        return self.rule.kind if self.rule else "float"

    @property
    def addend(self) -> Optional[str]:
        """What is added to the sums of a Conv, None if nothing is."""
        return self.inputs[1] if self.weights is not None and len(self.inputs) > 1 else None


@dataclass
class Network:
    """model: the float model in normal form; layers in order of computation.

    types: the known types and shapes of tensors
    integers: tensors that are int8 in the result, or int16 those in `wide`; ties: tensor -> the tensor whose exponent
    it shares
    centres: {input: the constant that is taken from it first}; `model` and all layers read what is left
    spent: {family of chips: what centering costs there, as a share of all instructions}
    uncentred: {output of a Conv or Gemm: {family: its instructions before centering}}; empty: nothing was centred
    lowered: {tensor: by how much less `model` makes it than before any was centred}
    """

    model: onnx.ModelProto
    layers: List[Layer]
    constants: Dict[str, np.ndarray]
    shapes: Dict[str, Tuple[int, ...]]
    inputs: List[str]
    outputs: List[str]
    types: List[onnx.ValueInfoProto] = field(default_factory=list)
    integers: List[str] = field(default_factory=list)
    ties: Dict[str, str] = field(default_factory=dict)
    wide: FrozenSet[str] = frozenset()
    centres: Dict[str, float] = field(default_factory=dict)
    spent: Dict[str, float] = field(default_factory=dict)
    uncentred: Dict[str, Dict[str, float]] = field(default_factory=dict)
    lowered: Dict[str, float] = field(default_factory=dict)

    def entered(self, sample: Dict[str, np.ndarray]) -> Dict[str, np.ndarray]:
        """A sample {input: array} as `model` reads it: minus the constants of `centres`."""
        return {name: x - np.float32(self.centres[name]) if name in self.centres else x for name, x in sample.items()}

    def allows(self, tensor: str, exponent: int) -> bool:
        """Whether a tensor may have this exponent: the constant of a centred input is up to 128 whole steps."""
        steps = self.centres.get(self.root(tensor), 0.0) * 2.0**-exponent
        return abs(steps) <= MOST_STEPS and steps == np.round(steps)

    def range_of(self, tensor: str) -> Tuple[int, int]:
        """The smallest and largest integer that a tensor holds."""
        return (-32768, 32767) if tensor in self.wide else (-128, 127)

    def bounds_of(self, layer: Layer, exponent: int) -> Tuple[float, float]:
        """Bounds of a layer's result in steps of 2^exponent: saturation and fused activations."""
        least, most = (float(bound) for bound in self.range_of(layer.output))
        low, high = least, most
        if layer.kind != "lookup":
            if layer.low > -np.inf:
                low = max(low, min(float(np.floor(layer.low * 2.0**-exponent + 0.5)), most))
            if layer.high < np.inf:
                high = min(high, max(float(np.floor(layer.high * 2.0**-exponent + 0.5)), least))
        return low, high

    def filling(self, layer: Layer, exponent: int) -> int:
        """The whole number that a layer's padding is for an input of this exponent."""
        low, high = self.range_of(layer.inputs[0])
        return int(np.clip(np.floor(layer.padding.value * 2.0**-exponent + 0.5), low, high))

    def consumers(self, tensor: str) -> List[Layer]:
        return [layer for layer in self.layers if tensor in layer.inputs]

    def producer(self, tensor: str) -> Optional[Layer]:
        return next((layer for layer in self.layers if layer.output == tensor), None)

    def before_softmax(self, output: str) -> str:
        """The input of the softmax that computes this output; the output itself if none does."""
        producer = self.producer(output)
        return producer.inputs[0] if producer is not None and producer.kind == "softmax" else output

    def root(self, tensor: str) -> str:
        """The tensor that decides the exponent of `tensor`."""
        while tensor in self.ties:
            tensor = self.ties[tensor]
        return tensor


_NORMAL_FORM = (
    pairs_and_slices, batch_normalizations, one_output_each, places_of_maxima, zeros_as_padding,
    products_as_gemm, fold_factors, means_as_pooling,
)  # fmt: skip


def read_network(model: onnx.ModelProto, apart: Container[str] = ()) -> Network:
    """The layers of a float model (from `load_model`); the model is not changed.

    apart: sums of a Conv and another tensor that are to be layers of their own, by what their Add makes
    """
    copy = copied(model)
    make_node_names_unique(copy.graph)
    editor = Graph(copy)
    editor.fold_constant_nodes()
    editor.write()
    try:
        compose(copy)
        editor = Graph(copy)
        shapes = editor.shapes
    except Exception as error:
        raise UserError(f"the shapes of this model's tensors cannot be inferred: {error}")
    for step in _NORMAL_FORM:
        step(editor)
    editor.write()
    graph, constants = copy.graph, dict(editor.constants)
    del graph.value_info[:]
    types = list(inferred_values(copy).values())
    floats = _float_tensors(graph, types)
    facts = Facts(constants, shapes)
    network = Network(
        copy,
        _group(editor, facts, floats, apart),
        constants,
        shapes,
        [name for name, _, dtype in inputs_of(copy) if dtype == "float32"],
        [name for name, _, _ in outputs_of(copy)],
        types,
    )
    _choose_integers(network, floats)
    return network


def _float_tensors(graph: onnx.GraphProto, types: List[onnx.ValueInfoProto]) -> Set[str]:
    float32 = onnx.TensorProto.FLOAT
    names = {tensor.name for tensor in graph.initializer if tensor.data_type == float32}
    return names | {value.name for value in types if value.type.tensor_type.elem_type == float32}


# --- layers -----------------------------------------------------------------------------------------------


class _Grouper:
    """The nodes of `graph` by index, and which of them are part of a layer already."""

    def __init__(self, graph: Graph, facts: Facts, floats: Set[str]):
        self.graph, self.facts, self.floats = graph, facts, floats
        self.nodes, self.outputs = graph.nodes, graph.outputs
        self.taken: Set[int] = set()

    def producer(self, tensor: str) -> Optional[int]:
        """The node that computes `tensor`; None for inputs and constants."""
        node = self.graph.producer(tensor)
        return None if node is None else self.graph.place(node)

    def users(self, tensor: str) -> List[int]:
        """The nodes that read `tensor`."""
        return [self.graph.place(node) for node in self.graph.consumers(tensor)]

    def only_user(self, tensor: str) -> Optional[int]:
        """The one node that reads `tensor`, when nothing else needs it."""
        node = self.graph.only_consumer(tensor)
        index = None if node is None else self.graph.place(node)
        return None if index in self.taken else index

    def is_closed(self, cluster: Set[int], last: int) -> bool:
        """Whether only nodes of `cluster` read what its nodes compute, the result of the node `last` aside."""
        inner = {self.nodes[i].output[0] for i in cluster} - {self.nodes[last].output[0]}
        return all(name not in self.outputs and set(self.users(name)) <= cluster for name in inner)

    def activations(self, node: onnx.NodeProto) -> List[str]:
        return [name for name in node.input if name and name not in self.facts.constants]

    def layer(self, index: int) -> Layer:
        node = self.nodes[index]
        output = next((name for name in node.output if name), "")
        layer = Layer([index], node.op_type, self.activations(node), output)
        if node.op_type not in RULES:
            layer.why = NO_RULE
            return layer
        # Of a MaxPool what gives the places.
        compares = RULES[node.op_type].kind == "compare" or (node.op_type == "MaxPool" and len(node.output) > 1)
        names = layer.inputs + [layer.output] * (not compares)
        names = [name for name in names if name != self._whole_input(node)]
        if any(name not in self.floats or name not in self.facts.shapes for name in names) or (
            len([o for o in node.output if o]) != 1 and not compares
        ):
            layer.why = "not all its tensors are float32 of known shape"
            return layer
        if any(0 in self.facts.shapes[name] for name in names):
            layer.why = "a tensor of it has no values"
            return layer
        rule, why = rule_of(self.facts, node)
        if rule is None:
            layer.why = why
            return layer
        if rule.kind == "binary" and not self._is_plain_pair(layer):
            rule = Rule("real", rule.exponent, rule.check)
        rank = self.facts.rank(node.input[0]) if node.input else 0
        if rule.kind == "softmax" and attribute(node, "axis", -1) % max(rank, 1) != rank - 1:
            # It gets a transpose on both sides, which is cheap for int8 values only: so its result is never float.
            rule = Rule("real", rule.exponent, rule.check)
        if rule.kind in ("max_pool", "average_pool") and self.facts.rank(node.input[0]) not in (3, 4):
            rule = Rule("real", rule.exponent, rule.check)
        layer.rule = rule
        if rule.kind in ("conv", "dense"):
            self._read_weights(layer, node)
        if rule.kind == "clamp":
            layer.low, layer.high = self._bounds(node)
        elif rule.kind not in ("move", "softmax", "lookup", "shape", "compare"):
            self._fuse_activations(layer)
        return layer

    @staticmethod
    def _whole_input(node: onnx.NodeProto) -> Optional[str]:
        """The input that holds other values than real numbers."""
        place = RULES[node.op_type].whole
        return None if place is None else node.input[place]

    def _is_plain_pair(self, layer: Layer) -> bool:
        """Whether a sum or product has two activations of one shape."""
        shapes = [self.facts.shapes[name] for name in layer.inputs]
        return layer.op_type in ("Add", "Sub", "Mul") and len(shapes) == 2 and shapes[0] == shapes[1]

    def _read_weights(self, layer: Layer, node: onnx.NodeProto) -> None:
        constants = self.facts.constants
        weights = constants[node.input[1]].astype(np.float32)
        layer.weights = weights.T if node.op_type == "MatMul" else weights
        layer.inputs = [node.input[0]]
        layer.bias = np.zeros(len(layer.weights), np.float32)
        if len(node.input) > 2 and node.input[2]:
            layer.bias = constants[node.input[2]].astype(np.float32).reshape(-1)
        elif node.op_type == "MatMul":
            index = self.only_user(node.output[0])
            add = self.nodes[index] if index is not None else None
            if add is not None and add.op_type == "Add":
                bias = next((constants[name] for name in add.input if name in constants), None)
                if bias is not None and bias.size == len(layer.weights) == bias.shape[-1]:
                    layer.bias = bias.astype(np.float32).reshape(-1)
                    self._append(layer, index)

    def _append(self, layer: Layer, index: int) -> None:
        layer.nodes.append(index)
        layer.output = self.nodes[index].output[0]
        self.taken.add(index)

    def _bounds(self, node: onnx.NodeProto) -> Tuple[float, float]:
        if node.op_type == "Relu":
            return 0.0, np.inf
        bounds = [-np.inf, np.inf]
        for position in (1, 2):
            if len(node.input) > position and node.input[position]:
                bounds[position - 1] = float(self.facts.constants[node.input[position]].reshape(-1)[0])
        return bounds[0], bounds[1]

    def _fuse_activations(self, layer: Layer) -> None:
        # The order in which a kernel and its pattern accept them: relu, then clip.
        for kind in ("Relu", "Clip"):
            index = self.only_user(layer.output)
            if index is None or self.nodes[index].op_type != kind:
                continue
            node = self.nodes[index]
            if RULES[kind].check and RULES[kind].check(self.facts, node):
                continue
            low, high = self._bounds(node)
            if max(layer.low, low) > min(layer.high, high):
                continue
            layer.low, layer.high = max(layer.low, low), min(layer.high, high)
            self._append(layer, index)

    def take_sum(self, index: int, makers: Dict[str, Layer], apart: Container[str]) -> None:
        """Let a Conv whose result is only read by the Add `index` of two activations compute that, too; of two the
        larger one. makers: the layers of Convs and Gemms by their output; apart: as of `read_network`"""
        node = self.nodes[index]
        if node.output[0] in apart or len(set(node.input)) != 2 or rule_of(self.facts, node)[0] is None:
            return
        layers = [makers[name] for name in node.input if name in makers and self._can_add(makers[name], node)]
        if not layers:
            return
        # The other one is done before, and what both read is needed no more.
        layer = max(layers, key=lambda one: (one.weights.size, one.nodes[0]))
        layer.inputs.append(next(name for name in node.input if name != layer.output))
        self._append(layer, index)
        self._fuse_activations(layer)

    def _can_add(self, layer: Layer, node: onnx.NodeProto) -> bool:
        shapes = [self.facts.shapes.get(name) for name in (*node.input, node.output[0])]
        if layer.kind != "conv" or len(self.activations(node)) != 2 or len(set(shapes)) != 1:
            return False
        if any(name not in self.floats for name in node.input):
            return False
        if self.only_user(layer.output) is None or layer.low != -np.inf or layer.high != np.inf:
            return False
        return int(attribute(self.nodes[layer.nodes[0]], "group", 1)) == 1 and int(np.prod(shapes[0][2:])) > 1

    # --- functions of one tensor, written as several nodes ---

    def is_elementwise(self, index: int) -> bool:
        node = self.nodes[index]
        if node.op_type not in ELEMENTWISE | TESTS or index in self.taken or len(node.output) != 1:
            return False
        if node.op_type == "Cast" and node.input[0] in self.floats:
            return False
        constants = [self.facts.constants[name] for name in node.input if name in self.facts.constants]
        real = node.output[0] in self.floats or node.op_type in TESTS
        return real and all(c.size == 1 and c.dtype in (np.float32, np.bool_) for c in constants)

    def unary_cluster(self, index: int) -> Optional[Layer]:
        """The largest function of one tensor that ends in the node `index`, as a lookup layer."""
        if self.nodes[index].op_type in TESTS:
            return None
        best: Optional[Tuple[Set[int], str]] = None
        cluster: Set[int] = {index}
        while True:
            border = {name for i in cluster for name in self.activations(self.nodes[i])}
            border -= {self.nodes[i].output[0] for i in cluster}
            if len(border) == 1:
                source = next(iter(border))
                same = self.facts.shapes.get(source) == self.facts.shapes.get(self.nodes[index].output[0])
                if self.is_closed(cluster, index) and same and source in self.floats:
                    best = (set(cluster), source)
            makers = [self.producer(name) for name in border]
            grown = [maker for maker in makers if maker is not None and self.is_elementwise(maker)]
            # The last one first: nodes before it may be needed for another path.
            if not grown or len(cluster) > 64:
                break
            cluster.add(max(grown))
        if best is None:
            return None
        nodes, source = best
        if len(nodes) == 1 and self.nodes[index].op_type not in ("Div", "Pow", "Min", "Max", "Add", "Sub", "Mul"):
            return None
        layer = Layer(sorted(nodes), self.nodes[index].op_type, [source], self.nodes[index].output[0])
        layer.rule = RULES["LeakyRelu"]
        self.taken |= nodes
        return layer

    def cluster(self, kind: str, found: Optional[Tuple[List[int], str]]) -> Optional[Layer]:
        """The layer of a group of nodes that one kernel computes (see `clusters`), with the activations fused into
        it."""
        if found is None:
            return None
        nodes, source = found
        last = self.nodes[nodes[-1]]
        layer = Layer(list(nodes), last.op_type, [source], last.output[0], Rule(kind))
        self.taken |= set(nodes)
        self._fuse_activations(layer)
        return layer


def _group(graph: Graph, facts: Facts, floats: Set[str], apart: Container[str]) -> List[Layer]:
    grouper = _Grouper(graph, facts, floats)
    layers: List[Layer] = []
    # First operators that fuse others; then whole functions of one tensor, starting from their ends; then single nodes.
    for index, node in enumerate(grouper.nodes):
        if index not in grouper.taken and node.op_type in ("Conv", "Gemm", "MatMul", "MaxPool", "AveragePool"):
            layers.append(grouper.layer(index))
            grouper.taken.add(index)
    makers = {layer.output: layer for layer in layers}
    for index, node in enumerate(grouper.nodes):
        if node.op_type == "Add" and index not in grouper.taken:
            grouper.take_sum(index, makers, apart)
    for index in reversed(range(len(grouper.nodes))):
        layer = grouper.cluster("cluster", normalization(grouper, index))
        if layer is not None:
            layers.append(layer)
    for index in range(len(grouper.nodes)):
        layer = grouper.cluster("channelwise", channelwise(grouper, index))
        if layer is not None:
            layers.append(layer)
    for index in reversed(range(len(grouper.nodes))):
        if index not in grouper.taken and grouper.is_elementwise(index):
            layer = grouper.unary_cluster(index)
            if layer is not None:
                layers.append(layer)
    for index in range(len(grouper.nodes)):
        if index not in grouper.taken:
            layers.append(grouper.layer(index))
            grouper.taken.add(index)
    return sorted(layers, key=lambda layer: layer.nodes[-1])


# --- what becomes int8 ------------------------------------------------------------------------------------


def _choose_integers(network: Network, floats: Set[str]) -> None:
    """Remove the rule from layers that gain nothing by it; find the int8 tensors and the tensors whose exponent they
    share."""
    layers = network.layers
    producer = {layer.output: layer for layer in layers}
    # Moves are integer where their input is int8 anyway, or where a later layer needs int8.
    wanted = {id(layer): layer.kind not in ("move", "float") for layer in layers}
    for layer in layers:
        source = producer.get(layer.inputs[0]) if layer.inputs else None
        if layer.kind == "move" and source is not None and wanted[id(source)] and source.kind != "softmax":
            wanted[id(layer)] = True
    for layer in reversed(layers):
        if layer.kind == "move" and any(wanted[id(user)] for user in network.consumers(layer.output)):
            wanted[id(layer)] = True
    for layer in layers:
        source = producer.get(layer.inputs[0]) if layer.inputs else None
        if layer.rule is not None and layer.rule.compares and source is not None and source.kind == "softmax":
            # In int8 the small values of a softmax would become equal.
            layer.rule, layer.why = None, "it compares the float values of a softmax"
    for layer in layers:
        if layer.rule is not None and not wanted[id(layer)]:
            layer.rule, layer.why = None, "only moves float values"
    integers: List[str] = []
    for layer in layers:
        if layer.rule is None:
            continue
        for name in layer.inputs:
            if name not in integers and name in floats:
                integers.append(name)
        ends = not any(user.rule for user in network.consumers(layer.output))
        if layer.kind == "compare" or (layer.kind == "softmax" and ends):
            continue
        if layer.output not in integers:
            integers.append(layer.output)
        if layer.rule.exponent == INPUT:
            network.ties[layer.output] = layer.inputs[0]
    network.integers = integers
    for before, after in states_of(network.model).items():
        # The chip passes on the integers themselves.
        if {before, after} <= set(integers) and network.root(after) != before:
            network.ties[before] = network.root(after)


def describe_layer(network: Network, layer: Layer) -> str:
    """The name of a layer in tables: that of its first node."""
    return shown(network.model.graph.node[layer.nodes[0]].name, 40)
