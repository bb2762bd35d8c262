"""Weights in the order in which the faster kernels in C (esp_dl_fast.h) read them.

One instruction does two multiply-accumulates: (x0 + x1 * 2^16) * w adds x0 * w and x1 * w to the two halves of a 32-bit
register. A half has 16 bits, so only a limited number of products may be added before the halves are separated; the
limit depends on the weights, which are known here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Sequence, Tuple

import numpy as np

from ...chips import aligned
from ...kernel_limits import KERNEL_LIMITS

LANE_START = KERNEL_LIMITS["HALF_START"]
_LANE_MAX, _LANE_MIN = 2**16 - 1 - LANE_START, -LANE_START
_PIECE_STEPS = 255
# More than any sum of products is.
_LIFT = 2**40
_3X3_LANES, _8X2_LANES = KERNEL_LIMITS["3X3_LANES"], KERNEL_LIMITS["8X2_LANES"]


@dataclass(frozen=True)
class Packed:
    """Weights in the order of a kernel, and the amounts to add to the bias and to the shift ([O], int64)."""

    weights: np.ndarray
    bias: np.ndarray
    shift: int | np.ndarray = 0


def centre_of(low: int, high: int) -> int:
    """The offset subtracted from inputs in low..high so that they are centred on 0."""
    return (low + high + 1) // 2


def _centre_6x2(low: int, high: int, outside: int) -> int:
    """That of inputs and of what is read around them where that is not 0; what is read, also 0, less it is at most 127:
    two products with weights of -128 fit a lane."""
    centre = centre_of(min(low, outside), max(high, outside)) if outside else centre_of(low, high)
    return max(centre, max(high, outside) - 127)


def pieces(rows: np.ndarray, low: int, high: int) -> List[Tuple[int, int]]:
    """Split [R, K] weights (K even) along K into the longest pieces (start, end) whose products fit the lanes.

    low, high: range of the values that the weights are multiplied by; all R rows are cut alike.
    """
    rows = rows.astype(np.int64)
    most = np.maximum(rows * low, rows * high)
    least = np.minimum(rows * low, rows * high)
    # In steps of two values of K.
    most = most.reshape(len(rows), -1, 2).sum(axis=2)
    least = least.reshape(len(rows), -1, 2).sum(axis=2)
    cuts, start = [], 0
    while start < most.shape[1]:
        above = np.cumsum(most[:, start:], axis=1).max(axis=0) > _LANE_MAX
        below = np.cumsum(least[:, start:], axis=1).min(axis=0) < _LANE_MIN
        bad = np.flatnonzero(above | below)
        length = min(int(bad[0]) if len(bad) else most.shape[1] - start, _PIECE_STEPS)
        assert length > 0, "two products of int8 values fit a lane: they are in -2 * 128 * 127..2 * 128 * 128"
        cuts.append((2 * start, 2 * (start + length)))
        start += length
    return cuts


def _count_pieces(limits: Sequence[Tuple[np.ndarray, int]]) -> int:
    """How many pieces, as long as can be, all groups are cut into; limits: ([groups, rows, steps] how much a sum grows
    with every step, how much it may grow in a piece); nothing grows by less than 0."""
    groups, rows, steps = limits[0][0].shape
    # Sums never fall: the end of a piece is found by bisection in all rows at once, each lifted above those before it.
    row = np.arange(groups * rows).reshape(groups, rows)
    sums = [
        ((np.cumsum(growth, axis=2, dtype=np.int64) + row[..., None] * _LIFT).reshape(-1), most)
        for growth, most in limits
    ]
    ends, count = np.zeros(groups, np.int64), 0
    while True:
        active = np.flatnonzero(ends < steps)
        if not len(active):
            return count
        count += len(active)
        starts = ends[active]
        longest = np.minimum(starts + _PIECE_STEPS, steps)
        for grown, most in sums:
            own = row[active]
            before = np.where(starts[:, None] > 0, grown[own * steps + starts[:, None] - 1], own * _LIFT)
            over = np.searchsorted(grown, before + most, side="right") - own * steps
            longest = np.minimum(longest, over.min(axis=1))
        assert (longest > starts).all(), "a step fits a lane, as where the weights are packed"
        ends[active] = longest


def count_pieces_6x2(weights: np.ndarray, low: int, high: int, outside: int) -> int:
    """How many pieces `pack_6x2` makes."""
    centre = _centre_6x2(low, high, outside)
    low, high = min(low, outside) - centre, max(high, outside) - centre
    outputs, count = weights.shape
    padded = np.zeros(((outputs + 1) // 2 * 2, (count + 1) // 2 * 2), np.int32)
    padded[:outputs, :count] = weights
    most, least = np.maximum(padded * low, padded * high), np.minimum(padded * low, padded * high)
    grown = [(one[:, ::2] + one[:, 1::2]).reshape(len(padded) // 2, 2, -1) for one in (most, -least)]
    return _count_pieces([(grown[0], _LANE_MAX), (grown[1], -_LANE_MIN)])


def count_pieces_3x4(weights: np.ndarray, low: int, high: int, outside: int) -> int:
    """How many pieces `pack_3x4` makes."""
    low, high = min(low, outside), max(high, outside)
    outputs, taps, channels = weights.shape
    grown = np.abs(weights.astype(np.int64)).reshape(outputs // 4, 4, taps, channels // 2, 2).sum(axis=4) * (high - low)
    return _count_pieces([(grown.transpose(0, 2, 1, 3).reshape(-1, 4, channels // 2), 2**16 - 1)])


def pack_6x2(weights: np.ndarray, low: int, high: int, outside: int) -> Packed:
    """Weights [O, K] for `esp_dl_conv2d_s8_6x2`; low, high: range of the input; outside: what is read around it."""
    outputs, count = weights.shape
    centre = _centre_6x2(low, high, outside)
    padded = np.zeros(((outputs + 1) // 2 * 2, (count + 1) // 2 * 2), np.int8)
    padded[:outputs, :count] = weights
    stream = [np.array([centre], np.int8)]
    bias = centre * padded.astype(np.int64).sum(axis=1)
    for o in range(0, len(padded), 2):
        pair = padded[o : o + 2]
        cuts = pieces(pair, min(low, outside) - centre, max(high, outside) - centre)
        for start, end in cuts:
            stream.append(np.array([(end - start) // 2], np.uint8).view(np.int8))
            stream.append(np.ascontiguousarray(pair[:, start:end].T).reshape(-1))
        stream.append(np.zeros(1, np.int8))
        bias[o : o + 2] -= LANE_START * len(cuts)
    return Packed(np.concatenate(stream), bias[:outputs])


def lanes_8x2(weights: np.ndarray, low: int, high: int) -> np.ndarray:
    """Whether the sums of four products of both channels fit their lanes ([O / 2] bool); weights: [O, 8]."""
    halves = np.abs(weights.astype(np.int64)).reshape(-1, 2, 2, weights.shape[1] // 2).sum(axis=3)
    return (halves * (high - low)).max(axis=(1, 2)) < 2**16


def pack_8x2(weights: np.ndarray, low: int, high: int) -> Packed:
    """Weights [O, 8] for `esp_dl_conv2d_s8_8x2` (O even); low, high: range of the input."""
    outputs, inputs = weights.shape
    wide, lanes = weights.astype(np.int64).reshape(-1, 2, inputs), lanes_8x2(weights, low, high)
    # [O / 2, 2 channels, 2 halves]: with them no sum is negative.
    starts = -np.minimum(wide * low, wide * high).reshape(-1, 2, 2, inputs // 2).sum(axis=3)
    words = np.concatenate([starts[:, 0] + (starts[:, 1] << 16), wide[:, 0] + (wide[:, 1] << 16)], axis=1)
    words = (words & 0xFFFFFFFF).astype(np.uint32)
    alone = np.zeros_like(words).view(np.int8).reshape(len(words), -1)
    alone[:, : 2 * inputs] = weights.reshape(-1, 2 * inputs)
    words = np.where(lanes[:, None], words, alone.view(np.uint32).reshape(words.shape))
    bias = np.where(lanes[:, None], -starts.sum(axis=2), 0).reshape(-1)
    shift = np.stack([lanes * _8X2_LANES, np.zeros_like(lanes, np.int64)], axis=1).reshape(-1)
    return Packed(words.view(np.int32), bias, shift)


def pack_3x4(weights: np.ndarray, low: int, high: int, outside: int) -> Packed:
    """Weights [O, taps, C] for `esp_dl_conv2d_s8_3x4` (O a multiple of 4, C even); low, high: range of the input;
    outside: what is read around it."""
    outputs, taps, channels = weights.shape
    low, high = min(low, outside), max(high, outside)
    wide = weights.astype(np.int64)
    bias = np.zeros(outputs, np.int64)
    words: List[np.ndarray] = []
    for o in range(0, outputs, 4):
        for tap in range(taps):
            start = 0
            while start < channels:
                rows = wide[o : o + 4, tap, start:]
                # A lane starts with an offset so that it cannot become negative, and ends before it can exceed 16 bits.
                span = np.cumsum(np.abs(rows), axis=1).max(axis=0) * (high - low)
                length = int(np.searchsorted(span, 2**16)) // 2 * 2
                assert length > 0, "two products fit a lane: 2 * 128 * 255 < 2^16"
                rows = rows[:, :length]
                starts = -np.minimum(rows * low, rows * high).sum(axis=1)
                bias[o : o + 4] -= starts
                words.append(np.array([2 * length | (start == 0) << 31]))
                start += length
                words.append(starts[0::2] + (starts[1::2] << 16))
                words.append((rows[0::2] + (rows[1::2] << 16)).T.reshape(-1))
    # The kernel looks for the first piece of another tap behind every piece.
    words.append(np.array([1 << 31]))
    stream = np.concatenate(words) & 0xFFFFFFFF
    return Packed(stream.astype(np.uint32).view(np.int32), bias)


def pack_depthwise_3x3(
    weights: np.ndarray, bias: np.ndarray, shift: np.ndarray, low: int, high: int, least: int
) -> Packed:
    """Weights [3, 3, C] for `esp_dl_depthwise_conv2d_s8_3x3`, and in which form channels have their bias and shift.

    bias: with the half that rounding adds; low, high: range of the input, of what is around it, and 0; least: value of
    the output
    """
    rows = weights.reshape(9, -1).T
    wide, shift = rows.astype(np.int64), np.asarray(shift, np.int64)
    lowest = np.minimum(wide * low, wide * high).sum(axis=1)
    span = np.abs(wide).sum(axis=1) * (high - low)
    # A lane starts with what makes it not negative, and with the part of the bias that the shift cuts off.
    right = np.maximum(shift, 0)
    offset = (bias + lowest) >> right
    start = bias - (offset << right)
    fits = (shift >= 0) & (shift < 16) & (start + lowest + span < 2**16) & (offset >= -(2**15)) & (offset < 2**15)
    # Sums are compared with what gives the least value.
    fits &= (least - offset) << right < 2**16
    form = start + (offset << 16)
    return Packed(rows, np.where(fits, form - bias, 0), np.where(fits, _3X3_LANES, 0))


def pack_winograd(weights: np.ndarray, block: int) -> Packed:
    """Weights [O, 3, 3, C] for `esp_dl_conv2d_s8_winograd`, which transforms those of `block` channels at a time."""
    outputs, _, _, channels = weights.shape
    tile = KERNEL_LIMITS["WINOGRAD_OUTPUTS"]
    padded = np.zeros((aligned(outputs, tile), channels, 9), np.int8)
    padded[:outputs] = weights.reshape(outputs, 9, channels).transpose(0, 2, 1)
    # [O / 4][C][4][3][3]
    stream = padded.reshape(-1, tile, channels, 9).transpose(0, 2, 1, 3).reshape(-1)
    return Packed(np.concatenate([np.array([block], np.uint8).view(np.int8), stream]), np.zeros(outputs, np.int64))


def pack_8(weights: np.ndarray) -> np.ndarray:
    """Weights [O, I] for `esp_dl_dense_s8_8`, one after the other: [I][16] for every sixteen outputs, [I][8] for the
    last ones where they are eight at most. Outputs that do not exist have zeros."""
    outputs, inputs = weights.shape
    least = KERNEL_LIMITS["8_OUTPUTS"]
    padded = np.zeros((aligned(outputs, least), inputs), np.int8)
    padded[:outputs] = weights
    return np.concatenate([padded[o : o + 2 * least].T.reshape(-1) for o in range(0, len(padded), 2 * least)])
