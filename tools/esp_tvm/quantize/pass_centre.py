"""The pass that centers: what is never negative is stored minus the constant that leaves least noise.

256 values fit fewer products into narrow lanes, and layers that read them run in slower forms (`forms`). What costs no
instructions is always taken; of the rest what gains most per instruction, until the budget is spent.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field, replace
from typing import Callable, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Set, Tuple

import numpy as np

from ..terminal import Progress
from .budget import Offer, Purse, budget_of, take_best
from .centre import Chain, candidates, chains, shift_network
from .costs import Instructions
from .equalize import PINNED, Channels, scale_network
from .forms import WITH_FORMS, Forms
from .graph import MOST_STEPS, Network
from .mixed import output_groups
from .parallel import Known, in_order
from .pass_equalize import takes_vectors
from .passes import (
    WORTH,
    Passes,
    State,
    exact_weights,
    held_exponents,
    rounded_weights,
    search_samples,
    shared_exponents,
)
from .simulate import Simulator
from .stress import Risk
from .trials import Isolation, Trials
from .weights import Weights

# By which part sums may grow when weights are fitted, which comes later.
FITTED = 0.08
# More samples say no more of one tensor.
MOST_SAMPLES = 32
# Steps that 128 may stand for.
NEARLY = 160
# The share of the largest value that a stretched tensor covers, as in most equalized ones.
CLIP = 0.85
# Steps by which tensors are lowered where all cost something, beside the most that keep the form on the ESP32-S3.
FEWER_STEPS = (40, 80)
# A share of all instructions for which nothing is offered once more.
LEFT = 0.002
# Instructions that count as none, as a share; and what every hundredth of all has to gain unasked, in dB.
FREE, GAIN = 1e-5, 0.05


@dataclass
class _Way:
    """A chain whose channels are first stretched by `factors` (None: not), then lowered by `steps` of 2^exponent."""

    chain: Chain
    steps: int
    exponent: int
    factors: Optional[np.ndarray] = None

    @property
    def constant(self) -> float:
        return self.steps * 2.0**self.exponent

    @property
    def same(self) -> Tuple[float, ...]:
        """What all ways with the same effect on one chain have in common."""
        return (self.constant,) if self.factors is None else (self.steps, self.exponent)

    def apply(self, network: Network, channels: Channels, model_too: bool) -> Tuple[Network, Network, Dict[str, float]]:
        """(the network stretched, lowered too, {tensor: by how much}); model_too: see `shift_network`."""
        stretched = network
        if self.factors is not None:
            stretched = scale_network(network, channels, self.factors, model_too)
        return (stretched, *shift_network(stretched, self.chain, self.constant, model_too))


@dataclass
class _Tried:
    """A `Trial` without its values; parts: the noise of each part of the samples."""

    state: State
    parts: List[float]
    noise: float
    full: bool


# A way, and the exponents that change with it.
_Chosen = Tuple[_Way, Dict[str, int]]


class _Centering:
    """What is centered so far: network, exponents and simulators of it; fixed: groups of channels that are not
    stretched any more; spent: {family: share of all instructions}."""

    def __init__(self, state: State, simulator: Simulator, passes: Passes, channels: Channels):
        self.network, self.exponents, self.simulator = state.network, state.exponents, simulator
        self.few = simulator.subset(min(search_samples(state.network, passes), MOST_SAMPLES))
        self.passes, self.channels = passes, channels
        # Other vectors may hold more than those at hand: nothing is clipped for finer steps then.
        self.daring = not takes_vectors(state.network)
        self.fixed = {int(channels.find(np.array(PINNED)))}
        self.spent = dict.fromkeys(WITH_FORMS, 0.0)
        self._forms, self._all = Forms(state.network), Instructions(state.network).total
        self._own: Dict[str, List[Dict[str, float]]] = {}
        self._isolation: Optional[Isolation] = None
        self._reach: Dict[str, float] = {}

    def offers(self, ways: List[Chain], room: Mapping[str, float]) -> List[Offer]:
        """What lowers the noise at the outputs, and costs no more than `room`; `Offer.what` is a `_Chosen`."""
        trials, stretched, known = self._trials(ways), self._stretched(ways), Known()
        found = self._attempts(trials, ways, (MOST_STEPS,), stretched, known)
        if any(_price(offer) > FREE for offer in found):
            # Fewer steps gain less, and a narrower range may keep a faster form.
            most: List[int] = []

            def free_steps() -> None:
                most.append(self._most_steps(ways[0], stretched, {"esp32s3": FREE}))

            found += self._attempts(trials, ways, FEWER_STEPS, stretched, known, free_steps)
            if most[0] not in (0, *FEWER_STEPS):
                found += self._attempts(trials, ways, most, stretched, known)
        return self._affordable(found, room)

    def offers_within(self, ways: List[Chain], room: Mapping[str, float]) -> List[Offer]:
        """The most steps that `room` holds, where it does not hold all that gains."""
        stretched = self._stretched(ways)
        steps = self._most_steps(ways[0], stretched, room)
        found = self._attempts(self._trials(ways), ways, (steps,), stretched, Known()) if steps else []
        return self._affordable(found, room)

    def _trials(self, ways: List[Chain]) -> Trials:
        if self._isolation is None:
            self._isolation = Isolation(self.network, self.exponents, self.few)
        return self._isolation.trials(self.scope(ways))

    def _stretched(self, ways: List[Chain]) -> set:
        """The groups of channels that may be stretched with `ways`."""
        inside = self.channels.groups_in(ways[0].tensors[0])
        return inside if self.daring and not inside & self.fixed else set()

    def _attempts(
        self,
        trials: Trials,
        ways: List[Chain],
        steps: Sequence[int],
        stretched: set,
        known: Known,
        beside: Callable[[], None] = lambda: None,
    ) -> List[Offer]:
        """What ways offer with each of `steps`; known: what was tried before; beside: what else is done meanwhile."""
        # Fewer steps above what samples hold clip others.
        risk = None if self.daring else Risk(trials.largest, trials.state)
        tried = [way for some in steps for chain in ways for way in self._ways(chain, some, stretched)]
        works = [beside, *(functools.partial(self._offer, trials, way, risk, known) for way in tried)]
        return [offer for offer in in_order(lambda work: work(), works) if offer is not None]

    @staticmethod
    def _affordable(offers: List[Offer], room: Mapping[str, float]) -> List[Offer]:
        return _useful([one for one in offers if all(one.cost[f] <= max(room[f], FREE) for f in WITH_FORMS)])

    def _ways(self, chain: Chain, steps: int, inside: set) -> Iterator[_Way]:
        """What is tried: exponents at which `steps` below and 127 above cover what tensors hold, or nearly, and with
        them factors of the channels of the groups `inside`."""
        channels, reaches = self.channels, self._reaches(chain)
        for exponent in candidates(chain, reaches, self.network.lowered, steps):
            yield _Way(chain, steps, exponent)
        name = chain.tensors[0]
        reach = reaches.get(name, 0.0) if inside else 0.0
        roots = channels.find(np.arange(channels.count))
        if reach > 0.0:
            exponent = int(np.round(np.log2(reach * CLIP / (127.0 + steps))))
            factor = (127.0 + steps) * 2.0**exponent / (reach * CLIP)
            yield _Way(chain, steps, exponent, np.where(np.isin(roots, sorted(inside)), factor, 1.0))

    def _reaches(self, chain: Chain) -> Dict[str, float]:
        """{tensor of a chain: the most that it holds}."""
        reference = self.few.reference
        for name in chain.tensors:
            if name not in self._reach and name in reference:
                self._reach[name] = float(reference[name].max())
        return {name: self._reach[name] for name in chain.tensors if name in self._reach}

    def _most_steps(self, chain: Chain, stretched: set, room: Mapping[str, float]) -> int:
        """By how many steps a chain can be lowered so that its layers take no more than `room` on these families;
        MOST_STEPS if by all."""

        def fits(steps: int) -> bool:
            (*_, way) = self._ways(chain, steps, stretched)
            step = _Step(way, self.network, self.channels)
            changed = _exponents_of(step, self.few, self.passes, self.daring)[-1]
            cost = self._cost(step, changed, tuple(room))
            return all(cost[family] <= max(share, FREE) for family, share in room.items())

        # Eights of steps: the constant is a whole number of coarser ones, too.
        low, high = 0, MOST_STEPS
        while high - low > 8:
            steps = (low + high) // 2
            low, high = (steps, high) if fits(steps) else (low, steps)
        return low

    def _offer(self, trials: Trials, way: _Way, risk: Optional[Risk], known: Known) -> Optional[Offer]:
        """The best exponents of a way, by `Isolation`; None where it does not help, or by `risk` loses.

        known: two ways may take the same constant away, by more or by coarser steps
        """
        plain, limit, best = trials.state, trials.noise * WORTH, None
        step = _Step(way, plain.network, self.channels)
        for changed in _exponents_of(step, trials.largest, self.passes, self.daring):
            key = (id(way.chain), *way.same, tuple(sorted(changed.items())))
            tried = known.get((*key, "tried"), functools.partial(self._tried, trials, step, changed))
            if tried.full and tried.noise < limit:
                best, limit = (tried, changed, key), tried.noise * WORTH
        if best is None:
            return None
        tried, changed, key = best
        # It has to gain on both parts of the samples.
        if any(after >= before.noise for before, after in zip(trials.kept.parts, tried.parts)):
            return None
        if risk is not None and not risk.allows(tried.state, step.change):
            return None
        cost = known.get((*key, "cost"), functools.partial(self._cost, step, changed))
        return Offer((way, changed), trials.noise - tried.noise, cost)

    @staticmethod
    def _tried(trials: Trials, step: _Step, changed: Dict[str, int]) -> _Tried:
        """A step with these exponents on the samples of the trials."""
        plain = trials.state
        exponents = {**plain.exponents, **changed}
        weights = {**plain.weights, **exact_weights(step.network, exponents, step.layers)}
        trial = trials.attempt(State(step.network, exponents, weights), sorted(step.touched), step.change)
        return _Tried(trial.state, [part.noise for part in trial.parts], trial.noise, trial.full)

    def _cost(self, step: _Step, changed: Dict[str, int], families: Sequence[str] = WITH_FORMS) -> Dict[str, float]:
        """{family: share of all instructions that the layers of a step take more}."""
        network = replace(step.network, wide=self.network.wide)
        exponents, some = {**self.exponents, **changed}, step.change(self.few)
        more = self._instructions(network, exponents, step.layers, some, families)
        for name in step.layers - self._own.keys():
            self._own[name] = self._instructions(self.network, self.exponents, {name}, self.few)
        before = [{f: sum(self._own[name][i][f] for name in step.layers) for f in families} for i in range(len(more))]
        return {f: max(a[f] - b[f] for a, b in zip(more, before)) / max(self._all[f], 1.0) for f in families}

    def _instructions(
        self,
        network: Network,
        exponents: Dict[str, int],
        layers: Set[str],
        few: Simulator,
        families: Sequence[str] = WITH_FORMS,
    ) -> List[Dict[str, float]]:
        """With sums as they are now, and as they may be when weights are fitted; few: a simulator of the network."""
        # What rounding does to the means, which biases make up for, does not matter here.
        plain = replace(self.passes, correct_bias=False)
        weights = rounded_weights(network, exponents, self.few, plain, layers)
        return self._forms.instructions(network, exponents, weights, layers, (0.0, FITTED), few, families)

    def take(self, offer: Offer) -> None:
        """Do what an offer says."""
        way, changed = offer.what
        step = _Step(way, self.network, self.channels, model_too=True)
        self.network, self.exponents = step.network, {**self.exponents, **changed}
        self.few, self.simulator = step.change(self.few), step.change(self.simulator)
        self._reach.clear()
        if self._isolation is not None:
            self._isolation.follow(self.network, self.exponents, step.touched, step.change)
        self.fixed |= self.channels.groups_in(way.chain.tensors[0])
        self.spent = {f: self.spent[f] + offer.cost[f] for f in WITH_FORMS}
        for name in step.layers:
            self._own.pop(name, None)

    def by_layer(
        self, network: Network, exponents: Dict[str, int], weights: Mapping[str, Weights]
    ) -> Dict[str, Dict[str, float]]:
        """{output of a layer that bounds sums: {family: its instructions}}."""
        outputs = [layer.output for layer in network.layers if layer.output in weights]
        return {
            name: self._forms.instructions(network, exponents, weights, [name], (0.0,), self.few)[0] for name in outputs
        }

    def count_spent(self, now: Mapping[str, Mapping[str, float]]) -> None:
        """Take what layers take now, `by_layer`, rather than what was thought before."""
        before = self.network.uncentred
        for family in WITH_FORMS:
            pairs = [(own[family], before[name][family]) for name, own in now.items() if name in before]
            # What is int16 since then is counted elsewhere.
            more = sum(after - first for after, first in pairs if after)
            self.spent[family] = more / max(self._all[family], 1.0)

    def fix(self, names: Iterable[str]) -> None:
        """Stretch these tensors no more."""
        for name in names:
            self.fixed |= self.channels.groups_in(name) if name in self.channels.ids else set()

    def least(self) -> float:
        """What has to be gained for all instructions."""
        if self.passes.budget:
            return 0.0
        # Weights are fitted later: what they leave now says nothing.
        rounding = State(self.network, self.exponents, exact_weights(self.network, self.exponents))
        # What lowers the noise by this part of it is 1 dB, nearly.
        return GAIN * 100.0 * self.few.noise_of(rounding) * np.log(10.0) / 10.0

    def done(self, uncentred: Dict[str, Dict[str, float]]) -> Tuple[State, Simulator]:
        """The network as it is now, with its weights rounded, and a simulator of it."""
        spent = {family: max(share, 0.0) for family, share in self.spent.items()}
        network = replace(self.network, spent=spent, uncentred=uncentred)
        simulator = self.simulator.shifted(network, {})
        weights = rounded_weights(network, self.exponents, simulator, self.passes)
        return State(network, self.exponents, weights), simulator

    def near(self, ways: List[Chain]) -> set:
        """The results of the layers whose form ways may change, and the tensors that they may change."""
        scope = self.scope(ways)
        return scope | {one.output for one in self.network.layers if not scope.isdisjoint(one.inputs)}

    def scope(self, ways: List[Chain]) -> set:
        """The tensors that ways may change."""
        channels, inside = self.channels, self.channels.groups_in(ways[0].tensors[0])
        scope = {name for way in ways for name in way.lowered}
        return scope | {n for n in self.network.integers if n in channels.ids and inside & channels.groups_in(n)}


def centre(state: State, simulator: Simulator, passes: Passes, channels: Channels) -> Tuple[State, Simulator]:
    """Lower the tensors of each chain by the constant that leaves least noise, where one helps and the budget has room.

    channels: of the network, before any was lowered
    """
    budget, found = budget_of(passes.budget), chains(state.network)
    work = _Centering(state, simulator, passes, channels)
    uncentred = work.by_layer(state.network, state.exponents, state.weights) if found else {}
    whole = budget.instructions - _kept_for_outputs(state, simulator, passes)
    waiting = [_Waiting(ways) for ways in found]
    with Progress("centering", len(found)) as progress:
        for one in waiting:
            one.offers, one.stale = work.offers(one.ways, dict.fromkeys(WITH_FORMS, whole)), False
            if one.offers and _price(one.offers[-1]) <= FREE:
                _take(work, one, one.offers[-1], waiting)
            progress.step()
    if found:
        _spend(work, waiting, whole, work.least())
    return (state, simulator) if work.network is state.network else work.done(uncentred)


def centre_more(
    fitted: State, simulator: Simulator, passes: Passes, channels: Channels, found: List[List[Chain]]
) -> Optional[Tuple[State, Simulator]]:
    """`fitted`, of which something is centred, with more of it centred and its weights rounded, where its layers take
    less than was thought when fitted weights were not known; None where that leaves no room, or nothing helps.

    found: the chains of the network before any was lowered; channels: of that network
    """
    network, budget = fitted.network, budget_of(passes.budget)
    if not network.uncentred:
        return None
    work = _Centering(fitted, simulator, passes, channels)
    work.count_spent(work.by_layer(network, fitted.exponents, fitted.weights))
    work.fix(network.lowered)
    whole = budget.instructions - Purse(replace(network, spent={}), budget, True).cost(network.wide)
    room = {family: whole - work.spent[family] for family in WITH_FORMS}
    if min(room.values()) < LEFT:
        return None
    waiting = [_Waiting(ways, late=True) for ways in found if network.wide.isdisjoint(ways[0].tensors)]
    with Progress("centering more", len(waiting)) as progress:
        for one in waiting:
            one.offers = work.offers_within(one.ways, room)
            progress.step()
    _spend(work, waiting, whole, work.least())
    return None if work.network is network else work.done(network.uncentred)


@dataclass
class _Waiting:
    """A relu: the ways to centre it, and what they offer.

    stale: its offers were judged before layers changed that run in another form with them; late: it was offered once
    more when nothing else fitted
    """

    ways: List[Chain]
    offers: List[Offer] = field(default_factory=list)
    stale: bool = False
    late: bool = False


def _spend(work: _Centering, waiting: List[_Waiting], whole: float, least: float) -> None:
    """Take what gains most for what it costs until nothing fits into the share `whole` of all instructions. What was
    judged before its neighbours were centred is judged anew before it is taken, and in the end once more for what is
    left.

    least: what has to be gained for all instructions
    """
    with Progress("centering once more", sum(not one.late for one in waiting)) as progress:
        while True:
            room = {family: whole - work.spent[family] for family in WITH_FORMS}
            chosen = take_best([one.offers for one in waiting], room, least)
            pairs = [(one, offer) for one, offer in zip(waiting, chosen) if offer is not None]
            if pairs:
                one, offer = max(pairs, key=lambda pair: pair[1].gain / max(_price(pair[1]), FREE))
                if one.stale:
                    one.offers, one.stale = work.offers(one.ways, room), False
                else:
                    _take(work, one, offer, waiting)
                continue
            last = next((one for one in waiting if one.stale and not one.late), None)
            if last is None or min(room.values()) < LEFT:
                return
            last.offers, last.stale, last.late = work.offers_within(last.ways, room), False, True
            progress.step()


def _take(work: _Centering, one: _Waiting, offer: Offer, waiting: List[_Waiting]) -> None:
    """Do what an offer says; what its neighbours offer is different then."""
    near = work.near(one.ways)
    work.take(offer)
    one.offers = []
    for other in waiting:
        other.stale |= not near.isdisjoint(work.near(other.ways))


def _kept_for_outputs(state: State, simulator: Simulator, passes: Passes) -> float:
    """The share of instructions that the outputs will take in int16."""
    if not (passes.int16_outputs and passes.search):
        return 0.0
    purse, wide = Purse(state.network, budget_of(passes.budget), True), set(state.network.wide)
    for members in output_groups(state.network, simulator.objectives()).values():
        wide |= set(members) if purse.allows(wide, members, True) else set()
    return max(purse.cost(wide), 0.0)


def _price(offer: Offer) -> float:
    """What it costs on the chips where that is more."""
    return max(offer.cost.values())


def _useful(offers: Sequence[Offer]) -> List[Offer]:
    """Those that gain more than every cheaper one, from the cheapest to the dearest."""
    found: List[Offer] = []
    for offer in sorted(offers, key=lambda one: (max(_price(one), FREE), -one.gain)):
        if not found or offer.gain > found[-1].gain:
            found.append(offer)
    return found


class _Step:
    """What a way does to a network: network: the new one; lowered: {tensor: by how much}; changed: the integer tensors
    with other values; layers: those whose weights change, or the exponent of what they read; touched: all results to
    compute anew. model_too: see `shift_network`"""

    def __init__(self, way: _Way, network: Network, channels: Channels, model_too: bool = False):
        self.way, self._channels = way, channels
        self._stretched, self.network, self.lowered = way.apply(network, channels, model_too)
        names = [name for name in network.integers if self.lowered.get(name)]
        if way.factors is not None:
            for name in network.integers:
                if name in channels.ids and np.any(way.factors[channels.find(channels.few_ids(name))] != 1.0):
                    names.append(name)
        self.changed = list(dict.fromkeys(names))
        layers = {b.output for a, b in zip(network.layers, self._stretched.layers) if a is not b} | way.chain.touched
        self.touched = layers | set(self.changed)
        self.layers = layers | {x.output for x in network.layers if x.inputs and x.inputs[0] in self.changed}

    def change(self, simulator: Simulator) -> Simulator:
        """A simulator of the new network from one of the network before."""
        if self.way.factors is not None:
            simulator = simulator.scaled(self._stretched, self._channels, self.way.factors)
        return simulator.shifted(self.network, self.lowered)


def _exponents_of(step: _Step, simulator: Simulator, passes: Passes, daring: bool) -> List[Dict[str, int]]:
    """Exponents to try for the tensors that changed (with all that share them): by what they hold, and where `daring`
    for those of the chain that of the way.

    simulator: of the network before
    """
    network, simulator = step.network, step.change(simulator)
    roots = {network.root(name) for name in step.changed} & set(simulator.reference)
    held = held_exponents(roots, simulator, passes)
    finest = step.way.exponent
    fine = dict(held)
    for root in {network.root(name) for name in step.way.chain.tensors} & set(held):
        # Where its steps cover nearly all that is above 0.
        if daring and float(simulator.reference[root].max()) < NEARLY * 2.0**finest:
            fine[root] = finest
    found: List[Dict[str, int]] = []
    for chosen in (fine,) if step.way.factors is not None else (held, fine):
        exponents = shared_exponents(network, chosen)
        found += [exponents] if exponents not in found else []
    return found
