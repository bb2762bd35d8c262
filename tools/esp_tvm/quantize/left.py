"""What passes behind centering may cost: what it left of the budget of instructions.

A finer exponent of what a layer reads or of its weights makes sums larger, which may leave the narrow lanes of a fast
kernel; the layer then runs in a slower form (`forms`).
"""

from __future__ import annotations

from typing import Dict, Iterable

from .budget import budget_of
from .costs import Instructions
from .forms import WITH_FORMS, Forms
from .graph import Network
from .passes import Passes, State
from .simulate import Simulator

# A share of all instructions that is none, but for rounding.
NOTHING = 1e-9


class Left:
    """{family: the share of all instructions that is left}; some: a simulator of `network` with the samples that say
    which sums leave their lanes."""

    def __init__(self, network: Network, some: Simulator, passes: Passes):
        whole = budget_of(passes.budget).instructions
        self.room = {family: max(whole - network.spent.get(family, 0.0), 0.0) for family in WITH_FORMS}
        self._forms, self._all, self._some = Forms(network), Instructions(network).total, some

    def more(
        self, before: State, after: State, outputs: Iterable[str], scaled: Simulator | None = None
    ) -> Dict[str, float]:
        """{family: share of all instructions that the layers with these outputs take more `after`}; scaled: a simulator
        of the network of `after`, where that is another one"""
        names = [name for name in outputs if name in before.weights and name in after.weights]
        first, last = (
            self._forms.instructions(one.network, one.exponents, one.weights, names, (0.0,), some)[0]
            for one, some in ((before, self._some), (after, scaled or self._some))
        )
        return {family: (last[family] - first[family]) / max(self._all[family], 1.0) for family in WITH_FORMS}

    def allows(self, more: Dict[str, float]) -> bool:
        """Whether there is room for `more`; what is less anywhere always has some."""
        return all(share <= NOTHING or share <= self.room[family] for family, share in more.items())

    def take(self, more: Dict[str, float]) -> None:
        """Count `more` from now on."""
        self.room = {family: room - more[family] for family, room in self.room.items()}


__all__ = ["Left"]
