"""Convolutions whose sums may leave their lanes on the ESP32-S3: pieces of the channels as taps of a window."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Dict, Iterator, Optional, Tuple
from weakref import WeakKeyDictionary

from ....program import Call
from .checked import Conv2dChecked
from .lanes import LANES, InAnotherForm

# Of two ways with as many instructions the first is taken: sums that are far from the bound are rarely computed again.
_CHECKED = tuple(Conv2dChecked(rows=False, check_bits=bits, check_every=every) for bits in (11, 10) for every in (2, 1))


def in_pieces(call: Call, pieces: int) -> Call:
    """The convolution over `pieces` times as many pixels of fewer channels that computes the same from the same
    bytes: its window is as many times as wide. Taps of a row follow each other."""
    a, (n, height, width, channels) = call.attributes, call.inputs[0].shape
    outputs, rows, columns, _ = a["weights"].shape
    top, left, bottom, right = a["padding"]
    form = {
        "weights": a["weights"].reshape(outputs, rows, columns * pieces, channels // pieces),
        "strides": (a["strides"][0], a["strides"][1] * pieces),
        "padding": (top, left * pieces, bottom, right * pieces),
    }
    x = replace(call.inputs[0], shape=(n, height, width * pieces, channels // pieces))
    return replace(call, inputs=[x, *call.inputs[1:]], attributes={**call.attributes, **form})


@dataclass(frozen=True)
class _Found:
    """What was found for a call. range, shapes, attributes: what that depends on"""

    range: Tuple[int, int]
    shapes: Tuple[Tuple[int, ...], ...]
    attributes: Dict[str, Any]
    way: Optional[Tuple[Conv2dChecked, Call]]

    def is_of(self, call: Call, low: int, high: int) -> bool:
        """Whether nothing has changed since; arrays are the same where they are the same object."""
        now, then = call.attributes, self.attributes
        same = (low, high) == self.range and _shapes_of(call) == self.shapes and now.keys() == then.keys()
        return same and all(now[name] is then[name] for name in then)


def _shapes_of(call: Call) -> Tuple[Tuple[int, ...], ...]:
    return tuple(x.shape for x in [*call.inputs, *call.outputs])


class Conv2dPieces(InAnotherForm):
    """Sixteen outputs at a time, sums checked between pieces of the input's channels."""

    operator = "conv2d"
    kernel = Conv2dChecked.kernel

    def __init__(self):
        self._known: WeakKeyDictionary = WeakKeyDictionary()

    def fits_range(self, call, low, high):
        return self._chosen(call, low, high) is not None

    def _chosen(self, call: Call, low: int, high: int) -> Optional[Tuple[Conv2dChecked, Call]]:
        """The fewest instructions with which every piece fits: asked for often, proved once."""
        known = self._known.get(call)
        if known is None or not known.is_of(call, low, high):
            way = self._find(call, low, high)
            known = self._known[call] = _Found((low, high), _shapes_of(call), dict(call.attributes), way)
        return known.way

    def _find(self, call: Call, low: int, high: int) -> Optional[Tuple[Conv2dChecked, Call]]:
        if call.attributes["groups"] != 1 or call.attributes["dilation"][1] != 1:
            return None
        # Whole sums are the same in all pieces.
        bits = {one.check_bits for one in _CHECKED if one.check_every == 1 and one.sums_fit(call, low, high)}
        ways = [way for way in self._ways(call) if way[0].check_bits in bits]
        ways.sort(key=lambda way: way[0].instructions(way[1]))
        return next(((variant, pieces) for variant, pieces in ways if variant.segments_fit(pieces, low, high)), None)

    @staticmethod
    def _ways(call: Call) -> Iterator[Tuple[Conv2dChecked, Call]]:
        sixteens, rest = divmod(call.inputs[0].shape[3], LANES)
        for count in range(2, sixteens + 1):
            if rest == 0 and sixteens % count == 0:
                for variant in _CHECKED:
                    yield variant, in_pieces(call, count)

    def other(self, call):
        chosen = self._chosen(call, *call.input_range)
        assert chosen is not None, "it was not chosen for this range"
        return chosen

    def overlap_distance(self, call):
        variant, pieces = self.other(call)
        return variant.overlap_distance(pieces)
