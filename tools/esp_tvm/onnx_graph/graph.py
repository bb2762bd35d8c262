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
    """Constant tensors as arrays, read when they are asked for."""

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
    """Copies of the nodes of `model`'s graph, in order, while they are read and changed.

    Inputs and outputs of nodes are changed by methods only: producers, consumers and the names in use stay true then.
    Constants are written to the model at once, nodes by `write` (or at the end of `with edited(model)`).
    """

    def __init__(self, model: onnx.ModelProto):
        self.model, self.proto = model, model.graph
        self._nodes: List[onnx.NodeProto] = [copied_node(node) for node in model.graph.node]
        self._places: Optional[Dict[int, int]] = None
        self._producers: Dict[str, onnx.NodeProto] = {}
        self._consumers: Dict[str, List[onnx.NodeProto]] = {}
        self._shapes: Optional[Dict[str, Tuple[int, ...]]] = None
        # Whether anything was changed since this editor was made (it may be set back).
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
        """The nodes in order; a list of its own, so that the graph may be changed while one goes through it."""
        return list(self._nodes)

    @property
    def shapes(self) -> Dict[str, Tuple[int, ...]]:
        """The shapes that are known, constants included; inferred once, then what is noted here is added."""
        if self._shapes is None:
            self.write()
            self._shapes = known_shapes(self.model)
        return self._shapes

    def rank(self, name: str) -> Optional[int]:
        """The number of axes of a tensor, None where its shape is not known."""
        shape = self.shapes.get(name)
        return None if shape is None else len(shape)

    def producer(self, name: str) -> Optional[onnx.NodeProto]:
        """The node that makes a tensor; None for inputs and initializers."""
        return self._producers.get(name)

    def consumers(self, name: str) -> List[onnx.NodeProto]:
        """The nodes that read a tensor, in order, each once; those whose bodies read it too."""
        found = self._consumers.get(name, [])
        return sorted(found, key=self.place) if len(found) > 1 else list(found)

    def only_consumer(self, name: str) -> Optional[onnx.NodeProto]:
        """The one node that reads a tensor, where it is no output of the graph besides."""
        found = self._consumers.get(name, [])
        return found[0] if len(found) == 1 and name not in self.outputs else None

    def is_used(self, name: str) -> bool:
        """Whether anything reads a tensor, or it is an output of the graph."""
        return name in self.outputs or bool(self._consumers.get(name))

    def constant(self, name: str) -> Optional[np.ndarray]:
        """The value of a constant tensor; None where it is computed."""
        return self.constants[name] if name in self.constants else None

    def place(self, node: onnx.NodeProto) -> int:
        """The index of a node."""
        if self._places is None:
            self._places = {id(one): i for i, one in enumerate(self._nodes)}
        return self._places[id(node)]

    # --- names and new things ---

    def fresh(self, base: str) -> str:
        """`base` as the name of a new tensor, with a number behind it where it is taken."""
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
        """Put constants of the same names in the place of a node's outputs; None for one that nothing needs."""
        self.remove(node)
        for name, array in zip(node.output, values):
            if name and array is not None:
                self._note_constant(name, np.array(array, order="C"))

    def fold_constant_nodes(self) -> None:
        """Constant nodes as initializers, behind those that are there."""
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
        """A new node, not yet in the graph; its name is made of `name`, else of its first output."""
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
        """Put nodes at an index."""
        self.changed = True
        self._nodes[place:place] = nodes
        self._places = None
        for node in nodes:
            self._enter(node)

    def append(self, *nodes: onnx.NodeProto) -> None:
        """Put nodes at the end."""
        self.insert(len(self._nodes), *nodes)

    def insert_before(self, node: onnx.NodeProto, *nodes: onnx.NodeProto) -> None:
        """Put nodes in front of a node."""
        self.insert(self.place(node), *nodes)

    def insert_after(self, node: onnx.NodeProto, *nodes: onnx.NodeProto) -> None:
        """Put nodes behind a node."""
        self.insert(self.place(node) + 1, *nodes)

    def remove(self, *nodes: onnx.NodeProto) -> None:
        """Take nodes out; what read their outputs still does."""
        for node in nodes:
            del self._nodes[self.place(node)]
            self._places = None
            self._leave(node)

    def replace(self, node: onnx.NodeProto, *nodes: onnx.NodeProto) -> None:
        """Put nodes (any number) in the place of one."""
        place = self.place(node)
        self.remove(node)
        self.insert(place, *nodes)

    def set_inputs(self, node: onnx.NodeProto, names: Sequence[str]) -> None:
        """Have a node read other tensors."""
        if list(names) == list(node.input):
            return
        self._leave(node)
        node.input[:] = list(names)
        self._enter(node)

    def set_input(self, node: onnx.NodeProto, position: int, name: str) -> None:
        """Have a node read another tensor at one position; positions before it that are not given become empty."""
        names = [*node.input, *[""] * (position + 1 - len(node.input))]
        names[position] = name
        self.set_inputs(node, names)

    def set_outputs(self, node: onnx.NodeProto, names: Sequence[str]) -> None:
        """Have a node make tensors of other names."""
        self._leave(node)
        node.output[:] = list(names)
        self._enter(node)

    def redirect(self, old: str, new: str, nodes: Optional[Sequence[onnx.NodeProto]] = None) -> None:
        """Have `nodes` (all that do) read `new` in place of `old`, inside of bodies too; not the graph's outputs."""
        for node in self.consumers(old) if nodes is None else nodes:
            self._leave(node)
            node.CopyFrom(_reading(node, old, new))
            self._enter(node)

    def rename(self, old: str, new: str) -> None:
        """Give a tensor another name in its producer and all its consumers; not among the graph's outputs."""
        maker = self.producer(old)
        if maker is not None:
            self.set_outputs(maker, [new if name == old else name for name in maker.output])
        self.redirect(old, new)

    def rename_output(self, old: str, new: str) -> None:
        """Have the graph give the tensor `new` in the place of `old`; shape and type stay as they are declared."""
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

        inputs: what the body's inputs are here; outputs: (name in the body, name here) of what it gives. All else that
        the body makes gets a name that nothing has.
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
        """Put the nodes into the model."""
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
    """New nodes one after the other, in the place of `node` or beside it; named after its first output."""

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
        """One more node; returns its output, a new tensor where none is named."""
        output = output or self.graph.fresh(f"{self.node.output[0]}_{op_type.lower()}")
        name = f"{self.node.name}/{op_type}{len(self.nodes)}"
        self.nodes.append(self.graph.make(op_type, inputs, [output], name, **attributes))
        return output

    def end(self, op_type: str, *inputs: str, **attributes: Any) -> List[onnx.NodeProto]:
        """The last node, which makes the output of `node` and has its name; returns all."""
        last = helper.make_node(op_type, list(inputs), [self.node.output[0]], self.node.name, **attributes)
        return [*self.nodes, last]


@contextlib.contextmanager
def edited(model: onnx.ModelProto) -> Iterator[Graph]:
    """Yields the editor of `model`'s graph; writes the nodes where the block ends without an exception."""
    graph = Graph(model)
    yield graph
    graph.write()
