"""Finds the single constant of a layer whose change would explain what the chip computed."""

from __future__ import annotations

from typing import Optional, Sequence, Tuple

import numpy as np

from ..program.form import Call

_PIXELS = 24
_MOST_EXPLANATIONS = 20


def find_parameter(
    call: Call, arguments: Sequence[np.ndarray], got: np.ndarray, channel: int, centre: int = 0
) -> Optional[str]:
    """Name the weight or bias of output `channel` whose change alone explains `got`, or None.

    call: conv2d, depthwise_conv2d or dense; arguments: its inputs; got: the output on the chip, wrong in `channel` only
    centre: the kernel multiplies x - centre and has the rest in the bias, where a flipped weight does not change it
    """
    patches, weights, places = _patches(call, arguments[0], channel)
    patches = patches - centre
    attributes = call.attributes
    shift, clamp = int(attributes["shift"][channel]), attributes["clamp"]
    wanted = got[..., channel].reshape(-1)
    bias = int(attributes["bias"][channel]) + centre * int(weights.sum())
    acc = patches @ weights + bias
    if len(arguments) > 1:
        acc += arguments[1][..., channel].reshape(-1).astype(np.int64) << int(attributes["addend_shift"][channel])

    def result(sums: np.ndarray) -> np.ndarray:
        return _requantize(sums, shift, clamp)

    right = result(acc)
    some = np.concatenate([_spread(np.flatnonzero(right != wanted)), _spread(np.flatnonzero(right == wanted))])

    explanations = []
    for j, weight in enumerate(weights):
        values = np.arange(-128, 128)
        tried = acc[some, None] + patches[some, j, None] * (values - weight)
        fits = np.flatnonzero(np.all(result(tried) == wanted[some, None], axis=0))
        for value in values[fits]:
            if np.array_equal(result(acc + patches[:, j] * (value - weight)), wanted):
                explanations.append((j, int(weight), int(value)))
    if len(explanations) > _MOST_EXPLANATIONS:
        # Too few output values to decide: a dense layer has one per channel.
        return None
    if explanations:
        j, weight, value = _most_likely(explanations)
        many = "" if len(explanations) == 1 else f" (or another of {len(explanations)} values that explain it as well)"
        return f"weights: {places(j)} is {value} in place of {weight}{many}; a flipped byte or a stale default_lib0.c"
    for change in _single_byte_changes(bias + (1 << (shift - 1) if shift > 0 else 0)):
        if np.array_equal(result(acc[some] + change), wanted[some]):
            if np.array_equal(result(acc + change), wanted):
                return f"bias of output channel {channel}: off by {change}; a flipped byte or a stale default_lib0.c"
    return None


def _most_likely(explanations: Sequence[Tuple[int, int, int]]) -> Tuple[int, int, int]:
    """The fewest flipped bits."""
    return min(explanations, key=lambda e: bin((e[1] ^ e[2]) & 0xFF).count("1"))


def _spread(indices: np.ndarray) -> np.ndarray:
    """At most _PIXELS of them, evenly spread."""
    return indices[:: max(1, -(-len(indices) // _PIXELS))]


def _requantize(acc: np.ndarray, shift: int, clamp: Sequence[int]) -> np.ndarray:
    acc = (acc + (1 << (shift - 1))) >> shift if shift > 0 else acc << -shift
    return np.clip(np.clip(acc, -128, 127), int(clamp[0]), int(clamp[1]))


def _single_byte_changes(value: int):
    """The values that one changed byte of the stored int32 can add."""
    stored = value & 0xFFFFFFFF
    for position in range(4):
        old = (stored >> (8 * position)) & 0xFF
        for new in range(256):
            if new != old:
                change = (new - old) << (8 * position)
                # The top byte carries the sign.
                changed = (stored + change) & 0xFFFFFFFF
                yield (changed - (1 << 32) if changed >> 31 else changed) - value


def _patches(call: Call, x: np.ndarray, channel: int):
    """(inputs of every output value [pixels, taps], the channel's weights [taps], tap -> what it is called)."""
    attributes = call.attributes
    weights = attributes["weights"].astype(np.int64)
    if call.kind == "dense":
        rows = x.reshape(-1, x.shape[-1]).astype(np.int64)
        return rows, weights[channel], lambda j: f"weight [{channel}, {j}] of [{weights.shape[0]}, {weights.shape[1]}]"
    if call.kind == "conv2d":
        own = weights[channel]
        group = channel // (weights.shape[0] // attributes["groups"])
        x = x[..., group * own.shape[-1] : (group + 1) * own.shape[-1]]
    else:
        own = weights[:, :, channel, None]
        source = channel // (weights.shape[2] // x.shape[3])
        x = x[..., source : source + 1]
    kernel = own.shape[:2]
    top, left, bottom, right = attributes["padding"]
    fill = attributes.get("pad_value", 0)
    padded = np.pad(x.astype(np.int64), ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=fill)
    height, width = call.output.shape[1:3]
    (down, across), (dy, dx) = attributes["strides"], attributes["dilation"]
    taps = [
        padded[:, i * dy : i * dy + (height - 1) * down + 1 : down, j * dx : j * dx + (width - 1) * across + 1 : across]
        for i in range(kernel[0])
        for j in range(kernel[1])
    ]
    patches = np.stack(taps, axis=3).reshape(-1, own.size)

    def name(tap: int) -> str:
        i, j, c = np.unravel_index(tap, own.shape)
        return f"of output channel {channel} the weight at row {i}, column {j}, input channel {c}"

    return patches, own.reshape(-1), name
