"""Mixed precision: int16 for the few tensors whose rounding to int8 costs most.

An int16 tensor keeps its range and gets up to 8 finer bits. Tensors are chosen greedily: the one whose widening lowers
the noise at the outputs most, with weights fitted again after each, until the requested gain is reached.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np

from ..errors import UserError
from ..naming import shown
from ..operators.recurrent import GATES
from ..terminal import Progress
from .calibrate import exponent_at_least
from .costs import macs_of
from .graph import Layer, Network, describe_layer
from .passes import impossible_sums
from .rules import attribute
from .simulate import Simulator

# Leave room for values beyond the largest of the samples: 16 bits allow that.
MARGIN = 1.5
# At most so many tensors, and none that gains less than this, in dB.
MOST, LEAST_GAIN = 16, 0.05
_KINDS = ("conv", "dense", "max_pool", "average_pool", "clamp")
_MOVES = ("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Identity")
# Of the operators that copy values, those whose kernel copies values of any width.
_COPIES = ("Concat", "Slice", "Tile", "Expand", "DepthToSpace", "SpaceToDepth")


@dataclass
class Cost:
    """The cost of int16: additional bytes of activations, and multiply-accumulates with an int16 input, of all."""

    tensors: int
    bytes: int
    macs: int
    all_macs: int


def has_wide_kernel(layer: Layer, tables: bool = False) -> bool:
    """Whether a layer's kernel accepts and gives int16; tables: functions of one value count, too. Only where int16 is
    asked for: their int8 kernel is faster, and often exact enough."""
    if layer.rule is None:
        return True  # a float layer reads dequantized values, and its result may be int16 too
    if layer.kind == "move":
        return layer.op_type in _MOVES
    if layer.kind == "shape":
        return layer.op_type in _COPIES
    if layer.kind == "real":
        return layer.op_type in GATES
    if layer.kind == "lookup":
        return tables
    return layer.kind in _KINDS or (layer.kind == "binary" and layer.op_type in ("Add", "Mul"))


def _softmax_at_the_end(network: Network, layer: Layer) -> bool:
    return layer.kind == "softmax" and layer.output in network.outputs and layer.output not in network.integers


def output_groups(network: Network, objectives: Sequence[str]) -> Dict[str, List[str]]:
    """{output (before a softmax): the tensors that are int16 together where it is} of those that can be.

    Back from the output through all that only moves values, to the layers that compute them: only the last step of
    these changes. Nothing but moves and the softmax at the end reads them.
    """
    possible = widenable(network)
    found: Dict[str, List[str]] = {}
    for name in objectives:
        members: List[str] = []
        makers = _makers(network, possible, name, members)
        readers = [user for one in members for user in network.consumers(one)]
        moves = all(_only_moves(user) or _softmax_at_the_end(network, user) for user in readers)
        if makers and moves and all(maker.kind in ("conv", "dense") for maker in makers):
            found[name] = list(dict.fromkeys(members))
    return found


def with_sources(network: Network, members: List[str]) -> List[str]:
    """`members`, and what they are copied from as far as that can be int16: a Concat of int8 tensors gains nothing."""
    together: List[str] = []
    makers = _makers(network, widenable(network, tables=True), members[0], together)
    return list(dict.fromkeys(together)) if makers else members


def _only_moves(layer: Layer) -> bool:
    return layer.kind == "move" or (layer.kind == "shape" and layer.op_type in _COPIES)


def _makers(network: Network, possible: Dict[str, List[str]], name: str, members: List[str]) -> List[Layer]:
    """The layers that compute what ends in tensor `name`, none where int16 is not possible all the way; members: takes
    the tensors on the way."""
    group = possible.get(network.root(name))
    if group is None:
        return []
    members += group
    found: List[Layer] = []
    for tensor in group:
        maker = network.producer(tensor)
        if maker is None:
            return []
        if not _only_moves(maker):
            found.append(maker)
            continue
        for source in maker.inputs:
            if source not in members:
                behind = _makers(network, possible, source, members)
                if not behind:
                    return []
                found += behind
    return found


def widenable(network: Network, tables: bool = False) -> Dict[str, List[str]]:
    """{tensor: all that share its exponent} of those that can be int16; a centred input has int8 only; tables: as of
    `has_wide_kernel`."""
    groups: Dict[str, List[str]] = {}
    for name in network.integers:
        groups.setdefault(network.root(name), []).append(name)
    possible = {}
    for root, members in groups.items():
        makers = [network.producer(name) for name in members]
        users = [user for name in members for user in network.consumers(name)]
        fixed = any(m is not None and m.rule is not None and isinstance(m.rule.exponent, int) for m in makers)
        # That of a table is of int8: sigmoid's 2^-7.
        fixed = fixed and not (tables and all(m is not None and m.kind == "lookup" for m in makers))
        ends = [user for user in users if _softmax_at_the_end(network, user)]
        layers = [layer for layer in [*filter(None, makers), *users] if layer not in ends]
        if not fixed and root not in network.centres and all(has_wide_kernel(one, tables) for one in layers):
            possible[root] = members
    return possible


def named(network: Network, names: Sequence[str]) -> List[str]:
    """The tensors that a user names, directly or by the layer that computes them."""
    possible = widenable(network, tables=True)
    by_layer = {network.model.graph.node[i].name: layer for layer in network.layers for i in layer.nodes}
    chosen = []
    for name in names:
        tensor = by_layer[name].output if name in by_layer else name
        root = network.root(tensor)
        if root not in possible:
            listed = ", ".join(shown(_label(network, one), 40) for one in list(possible)[:12])
            raise UserError(f"--int16: '{shown(name, 60)}' cannot be int16 here; what can: {listed}")
        chosen.append(root)
    return list(dict.fromkeys(chosen))


def _label(network: Network, tensor: str) -> str:
    layer = network.producer(tensor)
    return describe_layer(network, layer) if layer is not None else tensor


def widen(state, simulator: Simulator, members: Sequence[str]) -> Optional[Tuple[object, Simulator]]:
    """(state, simulator) with tensors in int16, at one exponent, and the weights after them unchanged; None if these do
    not fit."""
    network = replace(state.network, wide=state.network.wide | frozenset(members))
    low = min(float(simulator.reference[name].min()) for name in members)
    high = max(float(simulator.reference[name].max()) for name in members)
    finest = exponent_at_least(MARGIN * max(high / 32767.5, -low / 32768.5))
    if len({state.network.root(name) for name in members}) == 1:
        finest = min(finest, state.exponents[members[0]])
    exponents = {**state.exponents, **dict.fromkeys(members, finest)}
    weights = dict(state.weights)
    for layer in network.layers:
        if layer.output in weights and layer.inputs[0] in members:
            made = weights[layer.output].for_input(exponents[layer.inputs[0]], 32768)
            if made is None:
                return None
            weights[layer.output] = made
    if impossible_sums(network, exponents, weights):
        return None
    other = copy.copy(simulator)
    other.network = network
    return type(state)(network, exponents, weights, state.effects), other


def choose_wide(state, simulator: Simulator, few_samples: int, gain: float, fit) -> Tuple[object, Simulator]:
    """`state` with as few int16 tensors as give `gain` dB at the outputs, or all that help.

    fit: (state, simulator) -> state, its weights fitted anew
    """
    target = simulator.noise_of(state) * 10.0 ** (-gain / 10.0)
    for _ in range(MOST):
        least = simulator.noise_of(state)
        if least <= target:
            break
        few = simulator.subset(few_samples)
        before = few.noise_of(state)
        best, best_noise = None, before * 10.0 ** (-LEAST_GAIN / 10.0)
        possible = widenable(state.network, tables=True)
        candidates = {r: m for r, m in possible.items() if m[0] not in state.network.wide}
        with Progress("choosing int16", len(candidates)) as progress:
            for root, members in candidates.items():
                tried = widen(state, few, members)
                if tried is not None and not far_off(*tried):
                    noise = tried[1].noise_of(tried[0])
                    if noise < best_noise:
                        best, best_noise = (root, members), noise
                progress.step()
        if best is None:
            break
        state, simulator = widen(state, simulator, best[1])
        state = fit(state, simulator)
    return state, simulator


def far_off(state, simulator: Simulator) -> str:
    """What is wrong with the tables that read int16, "" if nothing."""
    for layer in state.network.layers:
        off = simulator.table_off(layer, state.exponents)
        if off:
            label = shown(describe_layer(state.network, layer), 60)
            return f"'{label}' would be {off} steps off, as lines between 513 values of its function"
    return ""


def cost_of(network: Network) -> Cost:
    """What the int16 tensors of a network cost."""
    sizes = {name: int(np.prod(network.shapes.get(name, ()))) for name in network.wide}
    macs = all_macs = 0
    for layer in network.layers:
        each = macs_of(network, layer)
        all_macs += each
        macs += each * bool(each and layer.inputs[0] in network.wide)
    moved = [name for name in network.wide if _is_view(network, name)]
    return Cost(len(network.wide), sum(sizes.values()) - sum(sizes[name] for name in moved), macs, all_macs)


def _is_view(network: Network, name: str) -> bool:
    """The result of a reshape is in the memory of its input."""
    layer = network.producer(name)
    if layer is None or layer.kind != "move":
        return False
    node = network.model.graph.node[layer.nodes[0]]
    return node.op_type != "Transpose" or attribute(node, "perm") is None


def lines(network: Network) -> List[str]:
    """The lines about int16 for users."""
    if not network.wide:
        return []
    cost = cost_of(network)
    names = [shown(_label(network, name), 40) for name in network.integers if name in network.wide]
    return [
        f"int16: {cost.tensors} tensor{'s' * (cost.tensors != 1)}: {', '.join(names)}",
        f"int16 costs {cost.bytes} bytes more for these activations (the arena grows only by those that are in it when "
        f"it is fullest), and {cost.macs} of {cost.all_macs} MAC run with int16 inputs, without the fast int8 kernels",
    ]


__all__ = ["Cost", "choose_wide", "cost_of", "lines", "named", "output_groups", "widen", "widenable"]
