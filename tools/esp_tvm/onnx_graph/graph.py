"""An editor of one ONNX graph."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any, Dict, Iterator, List, Optional, Sequence, Set, Tuple

import numpy as np
import onnx
from onnx import helper, numpy_helper

from ..naming import fresh_name
from .model import copied, known_shapes
from .nodes import constant_value, copied_node, names_within, reads


class _Constants(Mapping):
    """Constant tensors as arrays, converted on first use."""

    def __init__(self) -> None:
        self.sources: Dict[str, object] = {}
        self.arrays: Dict[str, np.ndarray] = {}

    def __contains__(self, name: object) -> bool:
        return name in self.sources

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self.arrays:
            source = self.sources[name]
            node = isinstance(source, onnx.NodeProto)
            self.arrays[name] = constant_value(source) if node else numpy_helper.to_array(source)
        return self.arrays[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.sources)

    def __len__(self) -> int:
        return len(self.sources)


class Graph:
    """An editable copy of the nodes of `model`'s graph, in order.

    Change inputs and outputs of nodes by methods only, so that producers, consumers and the names in use stay correct.
    Constants are written to the model immediately, nodes by `write` (or at the end of `with edited(model)`).
    """

    def __init__(self, model: onnx.ModelProto):
        self.model, self.proto = model, model.graph
        self._nodes: List[onnx.NodeProto] = [copied_node(node) for node in model.graph.node]
        self._places: Optional[Dict[int, int]] = None
        self._producers: Dict[str, onnx.NodeProto] = {}
        self._consumers: Dict[str, List[onnx.NodeProto]] = {}
        self._shapes: Optional[Dict[str, Tuple[int, ...]]] = None
        # Whether anything was changed since this editor was made (may be reset).
        self.changed = False
        self.inputs: Set[str] = {value.name for value in self.proto.input}
        self.outputs: Set[str] = {value.name for value in self.proto.output}
        self.constants = _Constants()
        for tensor in self.proto.initializer:
            self.constants.sources[tensor.name] = tensor
        self.names: Set[str] = self.inputs | self.outputs | set(self.constants) | set(names_within(self._nodes))
        self.node_names: Set[str] = {node.name for node in self._nodes}
        for node in self._nodes:
            self._enter(node)

    # --- reading ---

    @property
    def nodes(self) -> List[onnx.NodeProto]:
        """The nodes in order; a new list, so that the graph may be changed during iteration."""
        return list(self._nodes)

    @property
    def shapes(self) -> Dict[str, Tuple[int, ...]]:
        """The shapes that are known, constants included; inferred once; shapes of new tensors can be added."""
        if self._shapes is None:
            self.write()
            self._shapes = known_shapes(self.model)
        return self._shapes

    def rank(self, name: str) -> Optional[int]:
        """The number of axes of a tensor, None if its shape is not known."""
        shape = self.shapes.get(name)
        return None if shape is None else len(shape)

    def producer(self, name: str) -> Optional[onnx.NodeProto]:
        """The node that computes a tensor; None for inputs and initializers."""
        return self._producers.get(name)

    def consumers(self, name: str) -> List[onnx.NodeProto]:
        """The nodes that read a tensor, themselves or in their bodies; in order, each once."""
        found = self._consumers.get(name, [])
        return sorted(found, key=self.place) if len(found) > 1 else list(found)

    def only_consumer(self, name: str) -> Optional[onnx.NodeProto]:
        """The node that reads a tensor, if it is the only one and the tensor is not an output of the graph."""
        found = self._consumers.get(name, [])
        return found[0] if len(found) == 1 and name not in self.outputs else None

    def is_used(self, name: str) -> bool:
        """Whether anything reads a tensor, or it is an output of the graph."""
        return name in self.outputs or bool(self._consumers.get(name))

    def constant(self, name: str) -> Optional[np.ndarray]:
        """The value of a constant tensor; None if it is computed."""
        return self.constants[name] if name in self.constants else None

    def place(self, node: onnx.NodeProto) -> int:
        """The index of a node."""
        if self._places is None:
            self._places = {id(one): i for i, one in enumerate(self._nodes)}
        return self._places[id(node)]

    # --- names, constants, new nodes ---

    def fresh(self, base: str) -> str:
        """`base` as the name of a new tensor, with a number appended if it is already used."""
        name = fresh_name(base, self.names)
        self.names.add(name)
        return name

    def fresh_node(self, base: str) -> str:
        """The same for the name of a new node."""
        name = fresh_name(base, self.node_names)
        self.node_names.add(name)
        return name

    def add_constant(self, base: str, values: Any, dtype: Any = None) -> str:
        """A new initializer; returns its name."""
        name = self.fresh(base)
        self._note_constant(name, np.array(values, dtype, order="C"))
        return name

    def fold(self, node: onnx.NodeProto, *values: Optional[np.ndarray]) -> None:
        """Replace a node's outputs by constants of the same names; None for an output that is not needed."""
        self.remove(node)
        for name, array in zip(node.output, values):
            if name and array is not None:
                self._note_constant(name, np.array(array, order="C"))

    def fold_constant_nodes(self) -> None:
        """Turn Constant nodes into initializers, after the existing ones."""
        for node in self.nodes:
            value = constant_value(node)
            if value is not None:
                self.fold(node, value)

    def adopt_constant(self, tensor: onnx.TensorProto, base: str) -> str:
        """A copy of a constant of another graph (a body's) as a new initializer; returns its name."""
        name = self.fresh(base)
        self.proto.initializer.add().CopyFrom(tensor)
        self.proto.initializer[-1].name = name
        self.constants.sources[name] = self.proto.initializer[-1]
        return name

    def make(
        self, op_type: str, inputs: Sequence[str], outputs: Sequence[str], name: str = "", **attributes: Any
    ) -> onnx.NodeProto:
        """A new node, not yet in the graph; its name is derived from `name`, otherwise from its first output."""
        name = self.fresh_node(name or f"{outputs[0]}_{op_type}")
        return helper.make_node(op_type, list(inputs), list(outputs), name, **attributes)

    def make_like(
        self, node: onnx.NodeProto, inputs: Sequence[str], outputs: Sequence[str], name: str
    ) -> onnx.NodeProto:
        """A new node with the operator and the attributes of `node`, not yet in the graph; its name as in `make`."""
        made = copied_node(node)
        made.input[:], made.output[:], made.name = list(inputs), list(outputs), self.fresh_node(name)
        return made

    # --- changing ---

    def insert(self, place: int, *nodes: onnx.NodeProto) -> None:
        """Insert nodes at an index."""
        self.changed = True
        self._nodes[place:place] = nodes
        self._places = None
        for node in nodes:
            self._enter(node)

    def append(self, *nodes: onnx.NodeProto) -> None:
        """Append nodes at the end."""
        self.insert(len(self._nodes), *nodes)

    def insert_before(self, node: onnx.NodeProto, *nodes: onnx.NodeProto) -> None:
        """Insert nodes before a node."""
        self.insert(self.place(node), *nodes)

    def insert_after(self, node: onnx.NodeProto, *nodes: onnx.NodeProto) -> None:
        """Insert nodes after a node."""
        self.insert(self.place(node) + 1, *nodes)

    def remove(self, *nodes: onnx.NodeProto) -> None:
        """Remove nodes; the readers of their outputs are not changed."""
        for node in nodes:
            del self._nodes[self.place(node)]
            self._places = None
            self._leave(node)

    def replace(self, node: onnx.NodeProto, *nodes: onnx.NodeProto) -> None:
        """Replace a node by any number of nodes."""
        place = self.place(node)
        self.remove(node)
        self.insert(place, *nodes)

    def set_inputs(self, node: onnx.NodeProto, names: Sequence[str]) -> None:
        """Change the inputs of a node."""
        if list(names) == list(node.input):
            return
        self._leave(node)
        node.input[:] = list(names)
        self._enter(node)

    def set_input(self, node: onnx.NodeProto, position: int, name: str) -> None:
        """Change one input of a node; missing inputs before it become empty."""
        names = [*node.input, *[""] * (position + 1 - len(node.input))]
        names[position] = name
        self.set_inputs(node, names)

    def set_outputs(self, node: onnx.NodeProto, names: Sequence[str]) -> None:
        """Change the names of a node's outputs."""
        self._leave(node)
        node.output[:] = list(names)
        self._enter(node)

    def redirect(self, old: str, new: str, nodes: Optional[Sequence[onnx.NodeProto]] = None) -> None:
        """Let `nodes` (default: all readers) read `new` instead of `old`, in their bodies too; the graph's outputs are
        not changed."""
        for node in self.consumers(old) if nodes is None else nodes:
            self._leave(node)
            node.CopyFrom(_reading(node, old, new))
            self._enter(node)

    def rename(self, old: str, new: str) -> None:
        """Rename a tensor in its producer and all its consumers; the graph's outputs are not changed."""
        maker = self.producer(old)
        if maker is not None:
            self.set_outputs(maker, [new if name == old else name for name in maker.output])
        self.redirect(old, new)

    def rename_output(self, old: str, new: str) -> None:
        """Replace the graph's output `old` by `new`; its declared shape and type stay."""
        for value in self.proto.output:
            if value.name == old:
                value.name = new
        self.outputs = {value.name for value in self.proto.output}
        self.changed = True

    def remove_unused(self) -> None:
        """Remove nodes none of whose outputs is needed, then constants that nothing reads."""
        for node in reversed(self.nodes):
            if not any(self.is_used(name) for name in node.output if name):
                self.remove(node)
        kept = [tensor for tensor in self.proto.initializer if self.is_used(tensor.name)]
        if len(kept) < len(self.proto.initializer):
            del self.proto.initializer[:]
            self.proto.initializer.extend(kept)
            names = {tensor.name for tensor in kept}
            for name in [n for n, s in self.constants.sources.items() if not isinstance(s, onnx.NodeProto)]:
                if name not in names:
                    del self.constants.sources[name]
            self.constants.sources.update({tensor.name: tensor for tensor in self.proto.initializer})

    def inlined(
        self,
        nodes: Sequence[onnx.NodeProto],
        constants: Sequence[onnx.TensorProto],
        inputs: Dict[str, str],
        outputs: Sequence[Tuple[str, str]] = (),
    ) -> Tuple[List[onnx.NodeProto], Dict[str, str]]:
        """(copies of a body's nodes, {name in the body: name here}), not yet in the graph.

        inputs: the tensors here for the body's inputs; outputs: (name in the body, name here) of its results. All other
        tensors of the body get new names.
        """
        names = dict(inputs)
        for tensor in constants:
            names[tensor.name] = self.adopt_constant(tensor, tensor.name)
        made = {name for node in nodes for name in node.output if name}
        for inner, outer in outputs:
            if inner in made and inner not in names:
                names[inner] = outer
        names.update((name, self.fresh(name)) for node in nodes for name in node.output if name and name not in names)
        copies = [copied_node(node, names) for node in nodes]
        for copy in copies:
            copy.name = self.fresh_node(copy.name or copy.op_type)
        for inner, outer in outputs:
            if outer and names.get(inner, inner) != outer:
                copies.append(self.make("Identity", [names.get(inner, inner)], [outer]))
        return copies, names

    def part(self, nodes: Sequence[onnx.NodeProto], outputs: Sequence[str]) -> onnx.ModelProto:
        """A model of some of the nodes, in the graph's order, with all inputs and constants and these outputs."""
        part = copied(self.model)
        del part.graph.node[:], part.graph.output[:], part.graph.value_info[:]
        part.graph.node.extend(sorted(nodes, key=self.place))
        part.graph.output.extend(helper.make_value_info(name, onnx.TypeProto()) for name in outputs)
        return part

    def write(self) -> None:
        """Write the nodes into the model."""
        del self.proto.node[:]
        self.proto.node.extend(self._nodes)

    # --- inside ---

    def _note_constant(self, name: str, array: np.ndarray) -> None:
        self.changed = True
        self.proto.initializer.append(numpy_helper.from_array(array, name))
        self.constants.sources[name] = self.proto.initializer[-1]
        self.constants.arrays[name] = array
        if self._shapes is not None:
            self._shapes[name] = array.shape

    def _enter(self, node: onnx.NodeProto) -> None:
        for name in node.output:
            if name:
                self._producers[name] = node
                self.names.add(name)
        for name in set(reads(node)):
            self._consumers.setdefault(name, []).append(node)
        if node.op_type == "Constant" and constant_value(node) is not None:
            self.constants.sources[node.output[0]] = node

    def _leave(self, node: onnx.NodeProto) -> None:
        self.changed = True
        for name in node.output:
            if self._producers.get(name) is node:
                del self._producers[name]
            if self.constants.sources.get(name) is node:
                del self.constants.sources[name]
                self.constants.arrays.pop(name, None)
        for name in set(reads(node)):
            self._consumers[name] = [one for one in self._consumers[name] if one is not node]


def _reading(node: onnx.NodeProto, old: str, new: str) -> onnx.NodeProto:
    copy = copied_node(node, {old: new})
    copy.output[:] = node.output
    return copy


class Chain:
    """A sequence of new nodes that replaces `node` or accompanies it; named after its first output."""

    def __init__(self, graph: Graph, node: onnx.NodeProto):
        self.graph, self.node = graph, node
        self.nodes: List[onnx.NodeProto] = []

    def constant(self, values: Any, dtype: Any = np.float32) -> str:
        """A new constant."""
        return self.graph.add_constant(f"{self.node.output[0]}_c", values, dtype)

    def integers(self, values: Sequence[int]) -> str:
        """A new constant of sizes, axes or indices: int64."""
        return self.constant(values, np.int64)

    def add(self, op_type: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """Add a node; returns its output, a new tensor if none is named."""
        output = output or self.graph.fresh(f"{self.node.output[0]}_{op_type.lower()}")
        name = f"{self.node.name}/{op_type}{len(self.nodes)}"
        self.nodes.append(self.graph.make(op_type, inputs, [output], name, **attributes))
        return output

    def end(self, op_type: str, *inputs: str, **attributes: Any) -> List[onnx.NodeProto]:
        """Add the last node, with the output and the name of `node`; returns all nodes."""
        last = helper.make_node(op_type, list(inputs), [self.node.output[0]], self.node.name, **attributes)
        return [*self.nodes, last]


@contextlib.contextmanager
def edited(model: onnx.ModelProto) -> Iterator[Graph]:
    """Yields the editor of `model`'s graph; writes the nodes if the block ends without an exception."""
    graph = Graph(model)
    yield graph
    graph.write()
