"""Every faster kernel gives the bytes of the plain one, on this computer and as RV32IMC code in the emulator."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from kernel_archive import INCLUDES, build
from kernel_case import filled
from variant_cases import ALL_VARIANTS, AnyWinograd, Pair, program, random_pairs, verdict

from esp_tvm.compile.kernels import packing, portable
from esp_tvm.compile.kernels.winograd import Conv2dWinograd
from esp_tvm.estimate.work import work_of
from esp_tvm.kernel_limits import KERNEL_LIMITS
from esp_tvm.program import Call, Tensor
from esp_tvm.run import qemu
from esp_tvm.run.host import SANITIZE, STRICT


def run_on_host(pairs, folder: Path) -> None:
    source, binary = folder / "program.c", folder / "program"
    source.write_text(program(pairs))
    build([source], binary, *STRICT, *SANITIZE)
    done = subprocess.run([str(binary)], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout[:3000]


@pytest.mark.parametrize("variant", ALL_VARIANTS, ids=lambda variant: type(variant).__name__)
def test_same_bytes_on_this_computer(variant, tmp_path):
    pairs = random_pairs(variant, 120, seed=1)
    run_on_host(pairs, tmp_path)
    verdict(tmp_path, pairs)


@pytest.mark.slow
@pytest.mark.parametrize("variant", ALL_VARIANTS, ids=lambda variant: type(variant).__name__)
def test_same_bytes_in_the_emulator(variant, riscv_kernels, tmp_path):
    pairs = random_pairs(variant, 60, seed=2)
    source = tmp_path / "program.c"
    source.write_text(program(pairs))
    objects = qemu.compile_objects([source], INCLUDES, tmp_path)
    qemu.link([*objects, *riscv_kernels], tmp_path / "program.elf")
    qemu.execute(tmp_path / "program.elf", tmp_path, timeout=300)
    verdict(tmp_path, pairs)


def test_minimal_filtering_refuses_sums_that_it_cannot_divide():
    """A sum of products has 26 bits, whatever the input: 2^25 = 9 * 227.6 * 128 * 128."""
    call = random_pairs(AnyWinograd(8), 1, seed=0)[0].call
    for channels, expected in ((227, True), (228, False)):
        weights = np.full((2, 3, 3, channels), -128, np.int8)
        changed = replace(call, attributes={**call.attributes, "weights": weights})
        assert Conv2dWinograd(8).computes(changed) is expected


def test_depthwise_sums_fill_their_lanes(tmp_path):
    """Two sums share a word where the largest is 2^16 - 1, and not where it is 2^16."""
    variant, pairs = portable.Depthwise3x3(), []
    image = Tensor("x", (1, 6, 5, 2), "int8")
    for sign in (1, -1):
        weights = sign * np.full((3, 3, 2), 28)
        weights[1, 1] = sign * 32
        span, least = 256 * 255, np.minimum(-128 * weights, 127 * weights).sum(axis=(0, 1))
        # What is below the shift fills the lanes; results are in the middle of int8.
        bias = np.array([2**16 - 1 - span, 2**16 - span]) - 256 - least - (64 << 9)
        attributes = {"weights": weights.astype(np.int8), "bias": bias.astype(np.int32), "clamp": (-128, 127)}
        attributes.update(shift=np.array([9, 9]), strides=(1, 1), padding=(1, 1, 1, 1), dilation=(1, 1))
        call = Call("", "depthwise_conv2d", [image], [replace(image, name="y")], filled(attributes))
        assert variant.pack(call, -128, 127).shift.tolist() == [64, 0]
        assert work_of(replace(call, variant=variant)).alone == 1
        by_twos = replace(call, variant=variant, attributes={**call.attributes, "strides": (2, 2)})
        assert work_of(by_twos).alone == 2
        for values in ((127, 127), (-128, -128), (127, -128), (-128, 127)):
            pair = Pair(len(pairs), call, variant, np.random.RandomState(0))
            pair.fast.input_range = (-128, 127)
            # The first rows, and the others.
            pair.x[:] = np.repeat(values, [30, 30])
            pairs.append(pair)
    run_on_host(pairs, tmp_path)
    verdict(tmp_path, pairs)


BY_SHIFT = [portable.Conv2d6x2(), portable.Conv2d8x2(), portable.Conv2d3x4(), AnyWinograd(8), portable.Depthwise3x3()]


@pytest.mark.parametrize("variant", BY_SHIFT, ids=lambda variant: type(variant).__name__)
def test_least_values_of_the_largest_shift(variant, tmp_path):
    """Sums are compared with the least value, shifted to the left: with one bit more that would not fit 32 bits."""
    pairs = [pair for pair in random_pairs(variant, 16, seed=4) if "addend_shift" not in pair.call.attributes]
    for number, pair in enumerate(pairs):
        for call in (pair.call, pair.fast):
            outputs = call.output.shape[-1]
            bias = np.resize([-(2**31), -(2**30) - 5 * 2**23, 0, 2**30], outputs).astype(np.int32)
            most = np.full(outputs, KERNEL_LIMITS["COMPARED_SHIFT"], np.int32)
            clamp = ((-128, 127), (-70, 100))[number % 2]
            call.attributes.update(bias=bias + np.int32(2**26), shift=most, clamp=clamp)
    run_on_host(pairs, tmp_path)
    verdict(tmp_path, pairs)
    call = random_pairs(variant, 1, seed=0)[0].call
    for more, expected in ((0, True), (1, False)):
        shift = np.full(call.output.shape[-1], KERNEL_LIMITS["COMPARED_SHIFT"] + more)
        assert bool(variant.fits(replace(call, attributes={**call.attributes, "shift": shift}))) is expected


def test_depthwise_sums_always_below_the_least_value_share_no_words():
    """They are compared in 16 bits with what gives the least value: (8 - offset) << 9 is less than 2^16, or not."""
    weights, shift = np.zeros((3, 3, 2), np.int8), np.array([9, 9])
    bias = np.array([(8 - 127) << 9, (8 - 128) << 9])
    assert packing.pack_depthwise_3x3(weights, bias, shift, -128, 127, 8).shift.tolist() == [64, 0]


def test_harness_sees_a_wrong_weight(tmp_path, monkeypatch):
    variant = portable.Dense8()
    pairs = random_pairs(variant, 5, seed=3)
    packed = packing.pack_8

    def wrong(weights):
        result = packed(weights).copy()
        result[0] ^= 64
        return result

    monkeypatch.setattr(portable, "pack_8", wrong)
    for pair in pairs:
        pair.x[:] = pair.fast.input_range[1] or 1
    run_on_host(pairs, tmp_path)
    with pytest.raises(AssertionError, match=r"^case \d+: byte .* of 5 differ$"):
        verdict(tmp_path, pairs)


@pytest.mark.parametrize(
    "low, high, outside", [(-128, 127, 0), (0, 127, 0), (-100, 90, -100), (-128, -3, 0), (-128, -128, 0), (127, 127, 0)]
)
def test_pieces_are_counted_as_they_are_packed(low, high, outside):
    random = np.random.RandomState(0)
    for spread, outputs, count in ((20, 8, 60), (200, 3, 33), (1, 2, 1200), (None, 2, 33)):
        weights = np.full((outputs, count), -128, np.int8)
        if spread is not None:
            weights = np.clip(random.randn(outputs, count) * spread, -128, 127).astype(np.int8)
        packed, position, found = packing.pack_6x2(weights, low, high, outside).weights.view(np.uint8), 1, 0
        for _ in range(0, outputs, 2):
            while packed[position]:
                position, found = position + 1 + 4 * int(packed[position]), found + 1
            position += 1
        assert packing.count_pieces_6x2(weights, low, high, outside) == found
    weights = np.clip(random.randn(8, 9, 36) * 60, -128, 127).astype(np.int8)
    words = packing.pack_3x4(weights, low, high, outside).weights
    products = 8 // 4 * 9 * 36 * 2  # words of two weights; every piece has three more, and one ends them
    assert packing.count_pieces_3x4(weights, low, high, outside) == (len(words) - 1 - products) / 3


@pytest.mark.parametrize("low, high", [(-128, 127), (0, 127), (0, 40), (-128, -3)])
def test_lanes_hold_every_piece(low, high):
    random = np.random.RandomState(0)
    for spread in (20, 200):
        weights = np.clip(random.randn(2, 60) * spread, -128, 127).astype(np.int8)
        centre = packing.centre_of(low, high)
        low_x, high_x = min(low, 0) - centre, max(high, 0) - centre
        cuts = packing.pieces(weights, low_x, high_x)
        assert [start for start, _ in cuts[1:]] == [end for _, end in cuts[:-1]]
        assert cuts[0][0] == 0 and cuts[-1][1] == 60
        for start, end in cuts:
            piece = weights[:, start:end].astype(np.int64)
            worst = np.maximum(piece * low_x, piece * high_x)
            least = np.minimum(piece * low_x, piece * high_x)
            # Every partial sum, too: the extremes of the first few products.
            assert (np.cumsum(worst, axis=1) + packing.LANE_START <= 2**16 - 1).all()
            assert (np.cumsum(least, axis=1) + packing.LANE_START >= 0).all()
        # As long as can be: one step of two more would not fit.
        for (start, end), _ in zip(cuts, cuts[1:]):
            longer = weights[:, start : end + 2].astype(np.int64)
            worst = np.maximum(longer * low_x, longer * high_x).sum(axis=1)
            least = np.minimum(longer * low_x, longer * high_x).sum(axis=1)
            assert (worst > 2**15).any() or (least < -(2**15 - 1)).any()
