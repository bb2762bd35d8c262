"""Expands Einsum into Transpose, ReduceSum, Reshape, MatMul and Mul, which have kernels.

Also rewrites nodes that have no kernel only because of their form: MatMul with a vector, Pow with an integer exponent,
tensors of one value.
"""

from __future__ import annotations

from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np
import onnx
from onnx import helper

from ..onnx_graph import Chain, Graph, copied, edited, is_standard, string_attribute

_BROADCASTING = frozenset(
    "Add Sub Mul Div Max Min Pow Where Equal Greater GreaterOrEqual Less LessOrEqual And Or Xor".split()
)


def spell_out_products(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of `model` (fixed shapes) without the Einsums that can be expanded.

    Products of stacked matrices and a vector are treated as Einsums too; integer exponents of Pow become float32;
    constant tensors of one value become that value.

    Not expanded: an operand with a repeated letter (a diagonal), and shapes that cannot be inferred.
    """
    # ONNX's inference gives no shape after an Einsum: the next one is expanded after this one.
    while True:
        before, model = model, _spelled_once(model)
        if _einsums(model) in (0, _einsums(before)):
            return model


def _einsums(model: onnx.ModelProto) -> int:
    return sum(node.op_type == "Einsum" for node in model.graph.node)


def _spelled_once(model: onnx.ModelProto) -> onnx.ModelProto:
    with edited(copied(model)) as graph:
        _whole_exponents(graph)
        _single_values(graph)
        for node in graph.nodes:
            terms = _terms(_as_einsum(node, graph.shapes), graph.shapes) if is_standard(node) else None
            if terms is not None:
                graph.replace(node, *_Spelling(graph, node, terms).nodes)
    return graph.model


def _as_einsum(node: onnx.NodeProto, shapes: Dict[str, Tuple[int, ...]]) -> onnx.NodeProto:
    """A MatMul of stacked matrices and a vector as the Einsum that it is."""
    ranks = [len(shapes.get(name, ())) for name in node.input]
    if node.op_type != "MatMul" or 1 not in ranks or max(ranks) < 3:
        return node
    equation = "...ij,j->...i" if ranks[1] == 1 else "i,...ij->...j"
    return helper.make_node("Einsum", list(node.input), list(node.output), node.name, equation=equation)


def _whole_exponents(graph: Graph) -> None:
    for node in graph.nodes:
        exponent = graph.constant(node.input[1]) if is_standard(node, "Pow") else None
        # Only for float bases: the result has the type of the base.
        if exponent is not None and exponent.dtype in (np.int32, np.int64):
            graph.set_input(node, 1, graph.add_constant(f"{node.input[1]}_float", exponent, np.float32))


def _single_values(graph: Graph) -> None:
    """A constant of one value everywhere (zeros_like of an exporter) as that one value."""
    shapes = graph.shapes
    single: Dict[str, str] = {}
    for node in graph.nodes:
        shape = shapes.get(node.output[0]) if node.op_type in _BROADCASTING else None
        if shape is None or not any(shapes.get(name) == shape for name in node.input if name not in graph.constants):
            continue
        for place, name in enumerate(node.input):
            values = graph.constant(name)
            if values is None or values.size < 2:
                continue
            if name not in single:
                same = np.all(values == values.flat[0])
                single[name] = graph.add_constant(f"{name}_value", values.flat[0]) if same else name
            graph.set_input(node, place, single[name])


def _terms(node: onnx.NodeProto, shapes: Dict[str, Tuple[int, ...]]) -> Optional[List[str]]:
    """The letters of each operand and of the result; None if the node must stay."""
    if node.op_type != "Einsum":
        return None
    equation = string_attribute(node, "equation")
    left, arrow, result = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != len(node.input) or any(name not in shapes for name in node.input):
        return None
    # An ellipsis means all remaining axes: they get letters that no equation uses.
    longest = 0
    for place, (term, name) in enumerate(zip(terms, node.input)):
        if "..." in term:
            count = len(shapes[name]) - len(term.replace("...", ""))
            longest = max(longest, count)
            terms[place] = term.replace("...", "".join(chr(0x1000 - i) for i in range(count, 0, -1)))
    common = "".join(chr(0x1000 - i) for i in range(longest, 0, -1))
    if not arrow:
        letters = "".join(terms)
        result = common + "".join(sorted(x for x in set(letters) if letters.count(x) == 1 and x not in common))
    result = result.replace("...", common)
    for term, name in zip(terms, node.input):
        if len(set(term)) != len(term) or len(term) != len(shapes[name]):
            return None
    known = {letter: 1 for term in terms for letter in term}
    for term, name in zip(terms, node.input):
        for letter, size in zip(term, shapes[name]):
            if known[letter] != 1 and size not in (1, known[letter]):
                return None
            known[letter] = max(known[letter], size)
        # Sizes that broadcast are not handled here.
    for term, name in zip(terms, node.input):
        if any(known[letter] != size for letter, size in zip(term, shapes[name])):
            return None
    if len(set(result)) != len(result) or not set(result) <= set(known):
        return None
    return [*terms, result]


class _Spelling:
    """The nodes that replace one Einsum."""

    def __init__(self, graph: Graph, node: onnx.NodeProto, terms: Sequence[str]):
        self.chain = Chain(graph, node)
        self.sizes = {x: size for term, name in zip(terms, node.input) for x, size in zip(term, graph.shapes[name])}
        *operands, result = terms
        name, letters = node.input[0], operands[0]
        for place, (other, other_letters) in enumerate(zip(node.input[1:], operands[1:]), 2):
            later = set("".join(operands[place:]) + result)
            name, letters = self.product((name, letters), (other, other_letters), later)
        name, letters = self.summed(name, letters, set(result))
        self.move(name, letters, result, node.output[0])

    @property
    def nodes(self) -> List[onnx.NodeProto]:
        return self.chain.nodes

    def add(self, kind: str, inputs: Sequence[str], output: str = "", **attributes) -> str:
        return self.chain.add(kind, *inputs, output=output, **attributes)

    def integers(self, values: Sequence[int]) -> str:
        return self.chain.integers(values)

    def count(self, letters: str) -> int:
        return int(np.prod([self.sizes[x] for x in letters], dtype=np.int64))

    def summed(self, name: str, letters: str, wanted: set) -> Tuple[str, str]:
        """Sum over the letters that are not needed."""
        axes = [i for i, x in enumerate(letters) if x not in wanted]
        if not axes:
            return name, letters
        name = self.add("ReduceSum", [name, self.integers(axes)], keepdims=0)
        return name, "".join(x for x in letters if x in wanted)

    def move(self, name: str, letters: str, wanted: str, output: str = "") -> str:
        """Permute the axes to the order of `wanted`."""
        if letters != wanted:
            return self.add("Transpose", [name], output, perm=[letters.index(x) for x in wanted])
        return self.add("Identity", [name], output) if output else name

    def product(self, one: Tuple[str, str], other: Tuple[str, str], later: set) -> Tuple[str, str]:
        """(name, letters) of the product of two operands, summed over what neither `later` needs."""
        one = self.summed(*one, later | set(other[1]))
        other = self.summed(*other, later | set(one[1]))
        both = [x for x in one[1] if x in other[1]]
        batch, inner = ("".join(x for x in both if (x in later) == kept) for kept in (True, False))
        left, right = ("".join(x for x in term if x not in both) for term in (one[1], other[1]))
        if not inner:
            a = self.add("Reshape", [self.move(*one, batch + left), self.dims(batch + left, len(right))])
            b = self.move(*other, batch + right)
            b = self.add("Reshape", [b, self.integers([*self.each(batch), *[1] * len(left), *self.each(right)])])
            return self.add("Mul", [a, b]), batch + left + right
        a = self.move(*one, batch + left + inner)
        a = self.add("Reshape", [a, self.integers([*self.each(batch), self.count(left), self.count(inner)])])
        b = self.move(*other, batch + inner + right)
        b = self.add("Reshape", [b, self.integers([*self.each(batch), self.count(inner), self.count(right)])])
        product = self.add("MatMul", [a, b])
        return self.add("Reshape", [product, self.dims(batch + left + right, 0)]), batch + left + right

    def each(self, letters: str) -> List[int]:
        return [self.sizes[x] for x in letters]

    def dims(self, letters: str, ones: int) -> str:
        return self.integers([*self.each(letters), *[1] * ones])
