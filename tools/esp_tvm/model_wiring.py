"""How the nodes of a model are joined, before native libraries read it: their order, and that every tensor comes from
one place."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Dict, List, Set

import onnx

from .errors import UserError
from .model_values import node_label
from .naming import shown
from .onnx_graph import STANDARD_DOMAINS, reads

_AGAIN = "correct the model, or export it again"


def settle_wiring(model: onnx.ModelProto, path: Path) -> None:
    """Put nodes behind those whose results they read, in place, as ONNX demands and ONNX Runtime does not; the standard
    domain has one name.

    Raises a `UserError` for an input or output without a name, and for a tensor that is made twice, by nothing, or from
    itself.
    """
    _name_standard_domain(model)
    graph = model.graph
    _check_names(graph, path)
    given = _given(graph, path)
    makers = _makers(graph, given, path)
    _sort(graph, given, makers, path)
    for value in graph.output:
        if value.name not in makers and value.name not in given:
            raise UserError(f"{path}: output '{shown(value.name)}': no node computes it; {_AGAIN}")


def _name_standard_domain(model: onnx.ModelProto) -> None:
    """Nodes of "ai.onnx" are of "", which is the same; others keep their bytes, by which a project knows its model."""
    declared = {entry.domain for entry in model.opset_import}
    for message in [*model.graph.node, *(entry for entry in model.opset_import if "" not in declared)]:
        if message.domain and message.domain in STANDARD_DOMAINS:
            message.domain = ""


def _check_names(graph: onnx.GraphProto, path: Path) -> None:
    for what, values in (("input", graph.input), ("output", graph.output)):
        for place, value in enumerate(values):
            if not value.name:
                raise UserError(f"{path}: {what} {place} has no name; {_AGAIN}")


def _given(graph: onnx.GraphProto, path: Path) -> Set[str]:
    """The inputs and constants; before IR 4 constants were declared as inputs too."""
    inputs = [value.name for value in graph.input]
    constants = [tensor.name for tensor in graph.initializer]
    constants += [tensor.values.name for tensor in graph.sparse_initializer]
    for what, names in (("input", inputs), ("constant", constants)):
        for name, count in Counter(names).items():
            if count > 1:
                raise UserError(f"{path}: {what} '{shown(name)}' stands {count} times in the model; {_AGAIN}")
    return {*inputs, *constants}


def _makers(graph: onnx.GraphProto, given: Set[str], path: Path) -> Dict[str, int]:
    """Tensor -> the index of the node that computes it."""
    makers: Dict[str, int] = {}
    for index, node in enumerate(graph.node):
        for name in filter(None, node.output):
            if name in given:
                other = "is an input or a constant already"
            elif name in makers:
                other = f"{node_label(graph.node[makers[name]], makers[name])} computes already"
            else:
                makers[name] = index
                continue
            raise UserError(
                f"{path}: {node_label(node, index)} computes tensor '{shown(name)}', which {other}; {_AGAIN}"
            )
    return makers


def _sort(graph: onnx.GraphProto, given: Set[str], makers: Dict[str, int], path: Path) -> None:
    """In place; nodes that are in order stay as they are."""
    needs: List[List[int]] = []
    for index, node in enumerate(graph.node):
        names = [name for name in reads(node) if name not in given]
        for name in names:
            if name not in makers:
                raise UserError(
                    f"{path}: {node_label(node, index)} reads tensor '{shown(name)}', which is no input, no constant, "
                    f"and no node's result; {_AGAIN}"
                )
        needs.append([makers[name] for name in names])
    if all(need < index for index, needed in enumerate(needs) for need in needed):
        return
    order = _order(graph, needs, path)
    nodes = [graph.node[index] for index in order]
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(copies)


def _order(graph: onnx.GraphProto, needs: List[List[int]], path: Path) -> List[int]:
    """Each node behind those that it needs, otherwise as they were."""
    order: List[int] = []
    done, begun = set(), set()
    todo = list(reversed(range(len(needs))))
    while todo:
        index = todo[-1]
        missing = [need for need in needs[index] if need not in done]
        if index in done or not missing:
            todo.pop()
            if index not in done:
                done.add(index)
                order.append(index)
            continue
        if index in begun:
            raise UserError(f"{path}: {node_label(graph.node[index], index)} computes with its own result; {_AGAIN}")
        begun.add(index)
        todo.extend(reversed(missing))
    return order


__all__ = ["settle_wiring"]
