"""int16 within a budget: which tensors gain most for the instructions and bytes that they cost.

Unasked, outputs are int16 and small tensors behind which little is computed (a pooled image) where that costs next to
nothing; `--budget` spends more. What a tensor gains is measured at the outputs, on two halves of the samples, and it
must gain on both; what it costs is counted by the kernels' instructions (`costs`).
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import Callable, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from ..errors import UserError
from ..naming import shown
from ..terminal import Progress
from .calibrate import covering_exponent
from .costs import PLAIN, Instructions, largest_memory
from .graph import Network
from .mixed import output_groups, widen, widenable
from .parallel import in_order
from .report import Answers
from .simulate import Simulator


@dataclass(frozen=True)
class Budget:
    """instructions: of plain C, on the chips where they are a larger share, and arena: bytes of activations, as shares
    of the int8 network's; each: instructions of a single tensor; gain: dB that each hundredth must gain."""

    instructions: float = 0.03
    arena: float = 0.03
    each: float = 0.01
    gain: float = 0.2


UNASKED = Budget()
_PERCENT = re.compile(r"[0-9]+(\.[0-9]*)?%")
# A share of instructions that is none, but for rounding.
NOTHING = 1e-9
# A tensor must gain this much, in dB.
LEAST_GAIN = 0.03
# The ESP32-S3's vector unit takes half as many values of int16 at a time, and some kernels of int16 are plain C there:
# what an output may take on it unasked, and another tensor; and the instructions that never matter, a twelfth of a
# millisecond.
VECTOR_OUTPUT, VECTOR_INNER, VECTOR_FREE = 0.1, 0.03, 20_000.0


def read_budget(text: str) -> Budget:
    """`instructions=5%,arena=5%`; one that is not named stays as it is unasked."""
    found: Dict[str, float] = {}
    for part in text.split(","):
        name, _, value = (piece.strip() for piece in part.partition("="))
        share = float(value[:-1]) / 100.0 if _PERCENT.fullmatch(value) else np.nan
        if name not in ("instructions", "arena") or not 0.0 <= share <= 10.0:
            raise UserError(
                f"--budget: '{shown(part.strip(), 60)}' is no part of a budget; write instructions=5%,arena=5%"
            )
        if name in found:
            raise UserError(f"--budget {shown(text, 60)}: {name} is given twice; give it once")
        found[name] = share
    return Budget(**found, each=found.get("instructions", UNASKED.instructions), gain=0.0)


def budget_of(text: str) -> Budget:
    """What `--budget` says; without it what is spent unasked."""
    return read_budget(text) if text else UNASKED


@dataclass(frozen=True)
class Offer:
    """Something that lowers the noise at the outputs by `gain` and costs instructions: {family of chips: share}."""

    what: object
    gain: float
    cost: Mapping[str, float]


def take_best(
    groups: Sequence[Sequence[Offer]], room: Mapping[str, float], least: float = 0.0
) -> List[Optional[Offer]]:
    """Of each group of offers at most one, so that all together cost at most `room`: step by step what gains most for
    what it costs, on the chips where that is more; an offer may give way to a dearer one of its group.

    least: what has to be gained for all instructions, where something costs any
    """
    chosen: List[Optional[Offer]] = [None] * len(groups)
    left = dict(room)
    while True:
        best: Tuple[float, int, Optional[Offer]] = (0.0, -1, None)
        for index, group in enumerate(groups):
            now = chosen[index] or Offer(None, 0.0, {})
            for offer in group:
                more = {family: offer.cost.get(family, 0.0) - now.cost.get(family, 0.0) for family in left}
                gain, price = offer.gain - now.gain, max(max(more.values(), default=0.0), 0.0)
                if (
                    gain <= 0.0
                    or gain < least * price
                    or any(cost > max(left[f], 0.0) + NOTHING for f, cost in more.items())
                ):
                    continue
                ratio = gain / price if price else np.inf
                if best[2] is None or (ratio, offer.gain) > (best[0], best[2].gain):
                    best = ratio, index, offer
        _, index, offer = best
        if offer is None:
            return chosen
        now = chosen[index] or Offer(None, 0.0, {})
        left = {family: left[family] - offer.cost.get(family, 0.0) + now.cost.get(family, 0.0) for family in left}
        chosen[index] = offer


class Purse:
    """What int16 tensors of a network cost together, beside a budget."""

    def __init__(self, network: Network, budget: Budget, unasked: bool):
        self.budget, self.unasked = budget, unasked
        self._network, self._instructions = network, Instructions(network)
        self._memory = max(largest_memory(network, ()), 1)

    def cost(self, wide) -> float:
        """Instructions of these tensors in int16, and of what centering took before, as a share of the int8 network."""
        shares, spent = self._instructions.shares(wide), self._network.spent
        return max(shares[family] + spent.get(family, 0.0) for family in PLAIN)

    def allows(self, wide, more: Sequence[str], output: bool = False) -> bool:
        """Whether `more` may be int16 beside the tensors `wide`; output: whether they are what an output is made of."""
        together = set(wide) | set(more)
        cost, before = self.cost(together), self.cost(wide)
        if cost > self.budget.instructions or (cost - before > self.budget.each and not output):
            return False
        if self.unasked:
            shares, spent = self._instructions.shares(together), self._instructions.shares(wide)
            extra = shares["esp32s3"] - spent["esp32s3"]
            limit = VECTOR_OUTPUT if output else VECTOR_INNER
            if extra > limit and extra * self._instructions.total["esp32s3"] > VECTOR_FREE:
                return False
        return largest_memory(self._network, together) <= self._memory * (1.0 + self.budget.arena)


def widen_outputs(state, simulator: Simulator, budget: Budget = UNASKED) -> Tuple[object, Simulator]:
    """`state` with the outputs in int16 whose last rounding that avoids within the budget; in any case those whose
    answers int8 loses, as their best values are below one step."""
    purse = Purse(state.network, budget, True)
    for name, members in output_groups(state.network, simulator.objectives()).items():
        needed = _vanishes(simulator, name)
        if needed or purse.allows(state.network.wide, members, True):
            state, simulator = widen(state, simulator, members) or (state, simulator)
    return state, simulator


def _vanishes(simulator: Simulator, name: str) -> bool:
    """Whether one exponent that covers all values of an output loses its answers in int8."""
    values, answers = simulator.reference[name], Answers()
    if values[0].size < 2:
        return False
    step = np.float32(2.0 ** covering_exponent(float(values.min()), float(values.max())))
    for one in values:
        answers.add(one, np.floor(one / step + np.float32(0.5)) * step)
    return answers.lost()


def spend(
    state,
    simulator: Simulator,
    few_samples: int,
    budget: Budget,
    unasked: bool,
    fit: Optional[Callable] = None,
) -> Tuple[object, Simulator]:
    """`state` with the tensors in int16 that gain most for what they cost, until the budget is spent or none is worth
    its cost.

    fit: (state, simulator) -> state, its weights fitted anew after each tensor; None leaves them
    """
    purse = Purse(state.network, budget, unasked)
    hopeless: List[str] = []
    while True:
        network = state.network
        candidates = {
            root: members
            for root, members in widenable(network).items()
            if members[0] not in network.wide and root not in hopeless and purse.allows(network.wide, members)
        }
        few = simulator.subset(few_samples)
        halves = [few.part(np.arange(len(few.samples))[i::2]) for i in (0, 1)] if len(few.samples) > 1 else [few]
        before = [half.forward(state.exponents, state.weights) for half in halves]
        best: Tuple[float, str] = (0.0, "")
        spent = purse.cost(network.wide)
        with Progress("choosing int16", len(candidates)) as progress:
            gains = in_order(functools.partial(_gain, state, halves, before), candidates.values())
            for (root, members), gain in zip(candidates.items(), gains):
                cost = max(purse.cost(set(network.wide) | set(members)) - spent, 0.0)
                if gain < max(LEAST_GAIN, budget.gain * 100.0 * cost):
                    hopeless.append(root)
                else:
                    best = max(best, (gain / (cost + 1e-3), root))
                progress.step()
        if not best[1]:
            return state, simulator
        hopeless.append(best[1])
        wider = widen(state, simulator, candidates[best[1]])
        if wider is not None:
            state, simulator = wider
            state = fit(state, simulator) if fit is not None else state


def _gain(state, halves: Sequence[Simulator], before: Sequence[Dict], members: Sequence[str]) -> float:
    """dB at the outputs that these tensors gain in int16, on the half of the samples where that is less; before: all
    tensors as they are in `state`."""
    gains = []
    for half, values in zip(halves, before):
        tried = widen(state, half, members)
        if tried is None:
            return -np.inf
        wider, simulator = tried
        noise = half.noise(values, state.exponents)
        values = simulator.forward_again(values, members, wider.exponents, wider.weights)
        gain = 10.0 * np.log10(max(noise, 1e-300) / max(simulator.noise(values, wider.exponents), 1e-300))
        gains.append(gain)
        if gain <= 0.0:
            break  # It must gain on both.
    return float(min(gains))


__all__ = ["UNASKED", "Budget", "Offer", "budget_of", "read_budget", "spend", "take_best", "widen_outputs"]
