"""Finds the expressions that patterns describe, as TVM's MergeComposite does, and makes composite functions of them.

MergeComposite matches every pattern anew against the whole graph and infers its types after each: with some hundred
patterns that is most of the time of importing a large network. Here the graph is read once, a pattern is only tried
where its outermost operator stands, and the graph is rewritten once. What is matched is the same: patterns in their
order, each from the results down to the inputs, no expression in two matches, and none whose inner values are read
elsewhere.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import Callable, Dict, FrozenSet, Iterator, List, Optional, Sequence, Set, Tuple

import tvm
from tvm import relay
from tvm.relay.dataflow_pattern import (
    AltPattern,
    AttrPattern,
    CallPattern,
    ConstantPattern,
    DFPattern,
    ExprPattern,
    WildcardPattern,
)

from ...operators.expressions import parts_of
from .composites import as_composite
from .toolbox import Mutator, rewrite_main


def _address(expr: relay.Expr) -> int:
    """What identifies a Relay expression: Python makes a new object at every access."""
    return expr.handle.value


@dataclass(eq=False)
class Node:
    """An expression of main, read once.

    op: the name of the Relay operator that a call calls, "" for anything else
    taken: whether a match has it as its result or inside
    """

    expr: relay.Expr
    op: str = ""
    is_constant: bool = False
    parts: List[Node] = field(default_factory=list)
    readers: List[Node] = field(default_factory=list)
    taken: bool = False


def _read(body: relay.Expr) -> List[Node]:
    """The expressions of main after those that they are made of, without what is inside of functions."""
    nodes: Dict[int, Node] = {}
    names: Dict[int, str] = {}

    def name_of(op: relay.Expr) -> str:
        address = _address(op)
        if address not in names:
            names[address] = op.name if isinstance(op, tvm.ir.Op) else ""
        return names[address]

    # Not by recursion: unrolled layers are thousands of expressions deep.
    todo: List[Tuple[relay.Expr, Optional[List[relay.Expr]]]] = [(body, None)]
    while todo:
        expr, parts = todo.pop()
        if _address(expr) in nodes:
            continue
        if parts is None:
            parts = parts_of(expr)
            todo.append((expr, parts))
            todo.extend((part, None) for part in reversed(parts))
            continue
        op = name_of(expr.op) if isinstance(expr, relay.Call) else ""
        node = Node(expr, op, isinstance(expr, relay.Constant), [nodes[_address(part)] for part in parts])
        for part in node.parts:
            part.readers.append(node)
        nodes[_address(expr)] = node
    return list(nodes.values())


# --- patterns ---------------------------------------------------------------------------------------------


class _Match:
    """The node of each part of a pattern; a part that stands in a pattern twice is one node."""

    def __init__(self) -> None:
        self.found: Dict[_Pattern, Node] = {}

    def of(self, pattern: _Pattern, node: Node) -> bool:
        """Whether `pattern` matches here; if not, nothing is kept of the attempt."""
        known = self.found.get(pattern)
        if known is not None:
            return known is node
        before = len(self.found)
        if pattern.matches(node, self):
            self.found[pattern] = node
            return True
        self._forget(before)
        return False

    def all_of(self, patterns: Sequence[_Pattern], nodes: Sequence[Node]) -> bool:
        """The same of several, one after another."""
        before = len(self.found)
        if all(self.of(pattern, node) for pattern, node in zip(patterns, nodes)):
            return True
        self._forget(before)
        return False

    def _forget(self, before: int) -> None:
        """All but what was found first."""
        while len(self.found) > before:
            self.found.popitem()


class _Pattern:
    """A pattern of TVM as Python objects; matches anything."""

    def matches(self, node: Node, match: _Match) -> bool:
        return True

    def parts(self) -> Sequence[_Pattern]:
        return ()

    # The Relay operators that may be outermost; None: any expression.
    roots: Optional[FrozenSet[str]] = None


class _Constant(_Pattern):
    def matches(self, node: Node, match: _Match) -> bool:
        return node.is_constant


class _Call(_Pattern):
    def __init__(self, op: str, args: Sequence[_Pattern]):
        self.op, self.args, self.roots = op, args, frozenset([op])

    def matches(self, node: Node, match: _Match) -> bool:
        if node.op != self.op or node.taken or len(node.parts) != len(self.args):
            return False
        if match.all_of(self.args, node.parts):
            return True
        return self.op in ("add", "multiply") and match.all_of(self.args, node.parts[::-1])

    def parts(self) -> Sequence[_Pattern]:
        return self.args


class _Either(_Pattern):
    def __init__(self, first: _Pattern, second: _Pattern):
        self.both = (first, second)
        self.roots = None if None in (first.roots, second.roots) else first.roots | second.roots

    def matches(self, node: Node, match: _Match) -> bool:
        return any(match.of(one, node) for one in self.both)

    def parts(self) -> Sequence[_Pattern]:
        return self.both


class _WithAttributes(_Pattern):
    def __init__(self, inner: _Pattern, attributes: Dict[str, object]):
        self.inner, self.attributes, self.roots = inner, attributes, inner.roots

    def matches(self, node: Node, match: _Match) -> bool:
        if not match.of(self.inner, node) or not isinstance(node.expr, relay.Call):
            return False
        attrs = node.expr.attrs
        return attrs is not None and all(
            name in attrs.keys() and tvm.ir.structural_equal(attrs[name], value)
            for name, value in self.attributes.items()
        )

    def parts(self) -> Sequence[_Pattern]:
        return (self.inner,)


# TVM's patterns are kept, since a pattern's address is only its own while it lives.
_READ: Dict[int, Tuple[DFPattern, _Pattern]] = {}


def read_pattern(pattern: DFPattern) -> _Pattern:
    """TVM's pattern as this module's; parts that are one object stay one."""
    known = _READ.get(_address(pattern))
    if known is None:
        known = _READ[_address(pattern)] = (pattern, _read_pattern(pattern))
    return known[1]


def _read_pattern(pattern: DFPattern) -> _Pattern:
    if isinstance(pattern, CallPattern) and isinstance(pattern.op, ExprPattern) and pattern.args is not None:
        return _Call(pattern.op.expr.name, [read_pattern(arg) for arg in pattern.args])
    if isinstance(pattern, AltPattern):
        return _Either(read_pattern(pattern.left), read_pattern(pattern.right))
    if isinstance(pattern, AttrPattern):
        return _WithAttributes(read_pattern(pattern.pattern), dict(pattern.attrs.items()))
    if isinstance(pattern, ConstantPattern):
        return _Constant()
    if isinstance(pattern, WildcardPattern):
        return _Pattern()
    raise NotImplementedError(f"a pattern of an operator is a {type(pattern).__name__}; add it to this module")


@functools.lru_cache(maxsize=None)
def _wildcards(pattern: _Pattern) -> Tuple[_Pattern, ...]:
    """The parts of a pattern that match anything, in order, each once."""
    if type(pattern) is _Pattern:
        return (pattern,)
    return tuple(dict.fromkeys(found for part in pattern.parts() for found in _wildcards(part)))


# --- matches ----------------------------------------------------------------------------------------------


@dataclass
class _Group:
    """A match: the node of its result, the nodes that it reads in the order of the pattern, the name of its kernel."""

    root: Node
    inputs: List[Node]
    name: str


def _group(pattern: _Pattern, root: Node, own: Set[Node]) -> Optional[Tuple[List[Node], List[Node]]]:
    """(the nodes that a match at `root` reads, those that it computes); None where there is no match, where a node is
    in `own`, or where one but the root is read by what does not lead to the root alone."""
    match = _Match()
    if not match.of(pattern, root):
        return None
    inputs = [match.found[one] for one in _wildcards(pattern) if one in match.found]
    inner, todo = {root: None}, [root]
    while todo:
        for part in todo.pop().parts:
            if part not in inputs and part not in inner and not part.is_constant:
                inner[part] = None
                todo.append(part)
    if any(node in own for node in inner):
        return None
    outside = {reader for node in inner if node is not root for reader in node.readers if reader not in inner}
    return (inputs, list(inner)) if all(_leads_only_to(root, reader) for reader in outside) else None


def _leads_only_to(root: Node, node: Node) -> bool:
    """Whether all that is computed from `node` is computed from `root`."""
    seen, todo = {node}, [node]
    while todo:
        readers = todo.pop().readers
        if not readers:
            return False
        new = [reader for reader in readers if reader is not root and reader not in seen]
        seen.update(new)
        todo.extend(new)
    return True


def _take(root: Node, inputs: List[Node], inner: List[Node]) -> None:
    """Make a match one node: what is inside is there no more, unless others read it."""
    for node in reversed(inner):
        outside = node is not root and any(reader not in inner for reader in node.readers)
        if not outside:
            node.taken = True
            for part in node.parts:
                part.readers = [reader for reader in part.readers if reader is not node]
    for node in inputs:
        node.readers.append(root)


def _groups(nodes: Sequence[Node], table: Sequence[Tuple[str, DFPattern, Callable]]) -> Iterator[_Group]:
    by_op: Dict[str, List[Node]] = {}
    for node in nodes:
        by_op.setdefault(node.op, []).append(node)
    place = {node: index for index, node in enumerate(nodes)}
    for name, tvm_pattern, check in table:
        pattern = read_pattern(tvm_pattern)
        assert pattern.roots is not None, name
        roots = sorted((n for op in pattern.roots for n in by_op.get(op, ()) if not n.taken), key=place.get)
        own: Set[Node] = set()
        found = []
        for root in reversed(roots):
            made = None if root in own else _group(pattern, root, own)
            if made is not None:
                found.append((root, *made))
                own.update(made[1])
        for root, inputs, inner in reversed(found):
            if check(root):
                _take(root, inputs, inner)
                yield _Group(root, inputs, name)


class _Compose(Mutator):
    """Turns every group into a call of a composite function."""

    def __init__(self, groups: Sequence[_Group]):
        super().__init__()
        self.groups = {_address(group.root.expr): group for group in groups}

    def visit_call(self, call: relay.Call) -> relay.Expr:
        group = self.groups.get(_address(call))
        if group is None:
            return super().visit_call(call)
        sources = [node.expr for node in group.inputs]
        return as_composite(group.name, call, sources, [self.visit(source) for source in sources])


def merge_composites(mod: tvm.IRModule, table: Sequence[Tuple[str, DFPattern, Callable]]) -> tvm.IRModule:
    """Every match of the patterns in main as a call of a composite function, with types.

    table: (the composite's name, pattern, check) in the order in which they are tried; a match counts where
        check(its node) is true
    """
    groups = list(_groups(_read(mod["main"].body), table))
    return rewrite_main(mod, _Compose(groups))
