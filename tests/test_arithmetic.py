"""The NumPy rules against values computed by hand, and against each rule spelled out in exact fractions."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from layer_cases import random_convolutions

from esp_tvm import arithmetic
from esp_tvm.operators.base import Operand
from esp_tvm.operators.broadcasting import sum_shifts

HALF = Fraction(1, 2)


def int8(*values):
    return np.array(values, dtype=np.int8)


def int32(*values):
    return np.array(values, dtype=np.int32)


# --- the rule in fractions: no shifts, no NumPy ------------------------------------------------------------


def rounded(value: Fraction) -> int:
    """floor(v + 1/2), saturated."""
    return min(max(math.floor(value + HALF), -128), 127)


def power(exponent: int) -> Fraction:
    return Fraction(2) ** int(exponent)


def clamped(value: int, clamp) -> int:
    return min(max(value, clamp[0]), clamp[1])


def places(x, a, kernel, y, column):
    """(i, j, h, w, in the image, in image and padding) of every tap of a window."""
    for i, j in itertools.product(range(kernel[0]), range(kernel[1])):
        h = y * a["strides"][0] + i * a["dilation"][0] - a["padding"][0]
        w = column * a["strides"][1] + j * a["dilation"][1] - a["padding"][1]
        inside = 0 <= h < x.shape[1] and 0 <= w < x.shape[2]
        padded = -a["padding"][0] <= h < x.shape[1] + a["padding"][2]
        padded = padded and -a["padding"][1] <= w < x.shape[2] + a["padding"][3]
        yield i, j, h, w, inside, padded


def brute_conv2d(x, a, n, y, column, o):
    weights = a["weights"]
    per_group = weights.shape[0] // a["groups"]
    total = int(a["bias"][o])
    for i, j, h, w, inside, _ in places(x, a, weights.shape[1:3], y, column):
        for c in range(weights.shape[3]):
            value = x[n, h, w, o // per_group * weights.shape[3] + c] if inside else a.get("pad_value", 0)
            total += int(value) * int(weights[o, i, j, c])
    return clamped(rounded(total * power(-a["shift"][o])), a["clamp"])


def brute_depthwise_conv2d(x, a, n, y, column, o):
    weights = a["weights"]
    total = int(a["bias"][o])
    for i, j, h, w, inside, _ in places(x, a, weights.shape[:2], y, column):
        value = x[n, h, w, o * x.shape[3] // weights.shape[2]] if inside else a.get("pad_value", 0)
        total += int(value) * int(weights[i, j, o])
    return clamped(rounded(total * power(-a["shift"][o])), a["clamp"])


def brute_max_pool2d(x, a, n, y, column, c):
    values = [int(x[n, h, w, c]) for _, _, h, w, inside, _ in places(x, a, a["kernel"], y, column) if inside]
    return clamped(max(values, default=-128), a["clamp"])


def brute_average_pool2d(x, a, n, y, column, c):
    total = count = 0
    for _, _, h, w, inside, padded in places(x, a, a["kernel"], y, column):
        total += int(x[n, h, w, c]) if inside else 0
        count += padded if a["count_include_pad"] else inside
    return clamped(rounded(Fraction(total, max(count, 1)) * power(-a["shift"])), a["clamp"])


@pytest.mark.parametrize("case", random_convolutions(60, seed=2), ids=lambda case: case.id)
def test_windows_against_fractions(case):
    random = np.random.RandomState(0)
    brute = globals()[f"brute_{case.operator}"]
    for x in case.samples()[0]:
        result = arithmetic.rule(case.operator)(x, **case.attributes)
        assert result.dtype == np.int8
        for _ in range(40):
            place = tuple(int(random.randint(size)) for size in result.shape)
            assert result[place] == brute(x, case.attributes, *place), place


# --- shifts ------------------------------------------------------------------------------------------------


def test_rshift_rounds_half_up():
    values = np.array([-5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5])
    assert arithmetic.rshift(values, 1).tolist() == [-2, -2, -1, -1, 0, 0, 1, 1, 2, 2, 3]
    assert arithmetic.rshift(values, 2).tolist() == [-1, -1, -1, 0, 0, 0, 0, 1, 1, 1, 1]
    assert arithmetic.rshift(values, 0).tolist() == values.tolist()
    assert arithmetic.rshift(values, -3).tolist() == (values * 8).tolist()


def test_rshift_of_large_values_and_shifts():
    assert arithmetic.rshift(2**31 - 1, 31) == 1
    assert arithmetic.rshift(-(2**31), 31) == -1
    assert arithmetic.rshift(-(2**31), 32) == 0  # -1/2 goes up
    assert arithmetic.rshift(2**31, 32) == 1  # 1/2 goes up
    assert arithmetic.rshift(2**60, 61) == 1
    assert arithmetic.rshift(np.array([2**60, -(2**60), -1, 1]), 1000).tolist() == [0, 0, 0, 0]
    assert arithmetic.rshift(np.array([0, 1, -1]), -1000).tolist() == [0, 2**61, -(2**61)]
    assert arithmetic.rshift(np.array([3, -3]), -59).tolist() == [3 * 2**59, -3 * 2**59]


def test_rshift_against_fractions():
    random = np.random.RandomState(0)
    for bits in (4, 8, 20, 31, 45, 60):
        values = random.randint(-(2**bits), 2**bits, 200)
        for shift in range(-8, 64):
            if shift >= 0 or bits < 50:
                wanted = [math.floor(int(v) * power(-shift) + (HALF if shift > 0 else 0)) for v in values]
                assert arithmetic.rshift(values, shift).tolist() == wanted


def test_shifts_differ_by_channel():
    assert arithmetic.rshift(np.array([[5, 5, 5], [-5, -5, -5]]), [1, 0, -1]).tolist() == [[3, 5, 10], [-2, -5, -10]]


def test_sat8():
    result = arithmetic.sat8(np.array([-(2**40), -129, -128, 0, 127, 128, 2**40]))
    assert result.dtype == np.int8 and result.tolist() == [-128, -128, -128, 0, 127, 127, 127]


# --- products ----------------------------------------------------------------------------------------------


def test_conv2d_by_hand():
    x = np.arange(9, dtype=np.int8).reshape(1, 3, 3, 1)
    weights = int8(1, 2, 3, 4).reshape(1, 2, 2, 1)
    arguments = {"weights": weights, "bias": int32(10), "shift": int32(0)}
    y = arithmetic.conv2d(x, **arguments)
    # 0*1 + 1*2 + 3*3 + 4*4 + 10 = 37, and each step to the right adds 1 + 2 + 3 + 4
    assert y[0, :, :, 0].tolist() == [[37, 47], [67, 77]]
    y = arithmetic.conv2d(x, **arguments, padding=(1, 0, 0, 0), strides=(2, 1))
    assert y[0, :, :, 0].tolist() == [[0 * 3 + 1 * 4 + 10, 1 * 3 + 2 * 4 + 10], [67, 77]]
    y = arithmetic.conv2d(x, **arguments, dilation=(2, 2))
    assert y[0, :, :, 0].tolist() == [[0 * 1 + 2 * 2 + 6 * 3 + 8 * 4 + 10]]
    y = arithmetic.conv2d(x, **{**arguments, "shift": int32(3)})
    assert y[0, :, :, 0].tolist() == [[5, 6], [8, 10]]  # 4.625 5.875 8.375 9.625
    y = arithmetic.conv2d(x, **{**arguments, "shift": int32(-1)}, clamp=(0, 100))
    assert y[0, :, :, 0].tolist() == [[74, 94], [100, 100]]


def test_bias_is_added_before_rounding():
    x, weights = int8(1).reshape(1, 1), int8(1).reshape(1, 1)
    for bias, wanted in ((0, 0), (1, 1), (2, 1), (-2, 0), (-3, 0), (-4, -1)):
        # (1 + bias) / 4: 0.25 0.5 0.75 -0.25 -0.5 -0.75
        y = arithmetic.dense(x, weights=weights, bias=int32(bias), shift=int32(2))
        assert y.tolist() == [[wanted]], bias


def test_dense_sum_beyond_float32():
    x = np.full((1, 100_000), -128, np.int8)
    weights = np.full((2, 100_000), -128, np.int8)
    weights[:, 0] = -127
    y = arithmetic.dense(x, weights=weights, bias=int32(-(2**30), 2**30), shift=int32(30, 31))
    total = 128 * 128 * 99_999 + 128 * 127
    assert y.tolist() == [[rounded(Fraction(total - 2**30, 2**30)), rounded(Fraction(total + 2**30, 2**31))]]


def test_dense_takes_any_number_of_axes():
    random = np.random.RandomState(0)
    x = random.randint(-128, 128, (2, 3, 10)).astype(np.int8)
    arguments = {"weights": random.randint(-128, 128, (4, 10)).astype(np.int8), "bias": int32(1, 2, 3, 4)}
    arguments["shift"] = int32(9, 10, 8, 0)
    y = arithmetic.dense(x, **arguments)
    assert y.shape == (2, 3, 4)
    assert np.array_equal(y.reshape(6, 4), arithmetic.dense(x.reshape(6, 10), **arguments))


def test_depthwise_multiplier():
    x = int8(1, 10).reshape(1, 1, 1, 2)
    weights = int8(1, 2, 3, 4, 5, 6).reshape(1, 1, 6)
    y = arithmetic.depthwise_conv2d(x, weights=weights, bias=np.zeros(6, np.int32), shift=np.zeros(6, np.int32))
    assert y.reshape(-1).tolist() == [1, 2, 3, 40, 50, 60]


def test_groups_read_their_own_channels():
    x = int8(1, 10, 20, 30).reshape(1, 1, 1, 4)
    weights = int8(1, 1, 1, -1).reshape(2, 1, 1, 2)
    y = arithmetic.conv2d(x, weights=weights, bias=int32(0, 0), shift=int32(0, 0), groups=2)
    assert y.reshape(-1).tolist() == [11, -10]


# --- elementwise: every pair of values ---------------------------------------------------------------------


def every_pair():
    values = np.arange(-128, 128).astype(np.int8)
    return [side.reshape(-1) for side in np.meshgrid(values, values)]


@pytest.mark.parametrize(
    "e_a, e_b, e_y", [(-4, -4, -4), (-4, -6, -5), (-7, -3, -3), (0, -1, -3), (5, 5, 13), (-20, 2, 3)]
)
def test_sums_and_products_of_every_pair(e_a, e_b, e_y):
    a, b = every_pair()
    finer = min(e_a, e_b)
    shifts = {"shift_a": e_a - finer, "shift_b": e_b - finer, "shift": e_y - finer}
    # Exact in float64: the values have less than 40 bits.
    real_a, real_b = (q.astype(np.float64) * 2.0**e for q, e in ((a, e_a), (b, e_b)))

    def wanted(real):
        return np.clip(np.floor(real * 2.0**-e_y + 0.5), -128, 127)

    assert np.array_equal(arithmetic.add(a, b, **shifts), wanted(real_a + real_b))
    assert np.array_equal(arithmetic.sub(a, b, **shifts), wanted(real_a - real_b))
    assert np.array_equal(arithmetic.mul(a, b, shift=e_y - e_a - e_b), wanted(real_a * real_b))
    assert np.array_equal(arithmetic.requantize(a, shift=e_y - e_a), wanted(real_a))
    clipped = arithmetic.add(a, b, **shifts, clamp=(0, 6))
    assert np.array_equal(clipped, np.clip(wanted(real_a + real_b), 0, 6))


def test_add_by_hand():
    y = arithmetic.add(int8(127, -128, 1, -1), int8(127, -128, 0, 0), shift_a=0, shift_b=1, shift=1)
    assert y.tolist() == [127, -128, 1, 0]  # 190.5, -192, 0.5, -0.5


def test_lookup():
    table = np.arange(-128, 128)[::-1].astype(np.int8)
    assert arithmetic.lookup(int8(-128, -1, 0, 127), table=table).tolist() == [127, 0, -1, -128]


def test_lookup_of_int16():
    table = np.arange(-256, 257) * 127
    x = np.array([-32768, -32767, -64, -1, 0, 1, 32767], np.int16)
    # Entries 128 values apart: between them a line, rounded half up.
    exact = np.floor(x.astype(float) * 127 / 128 + 0.5)
    assert arithmetic.lookup_s16(x, table=table.astype(np.int16), output="int16").tolist() == exact.tolist()
    narrow = np.clip(np.floor(exact / 256 + 0.5), -128, 127)
    assert arithmetic.lookup_s16(x, table=table.astype(np.int16), output="int8").tolist() == narrow.tolist()
    steps = arithmetic.lookup_s16(int8(-128, 0, 127), table=np.arange(256).astype(np.int16), output="int16")
    assert steps.dtype == np.int16 and steps.tolist() == [0, 128, 255]


# --- pooling -----------------------------------------------------------------------------------------------


def test_average_rounds_half_up_and_counts():
    x = int8(1, 2, -1, -2).reshape(1, 2, 2, 1)
    pool = {"kernel": (2, 1), "strides": (1, 1)}
    assert arithmetic.average_pool2d(x, **pool, shift=0).reshape(-1).tolist() == [0, 0]
    assert arithmetic.average_pool2d(x, kernel=(1, 2), shift=0).reshape(-1).tolist() == [2, -1]  # 1.5, -1.5
    corner = {"kernel": (2, 2), "padding": (1, 1, 0, 0), "strides": (2, 2), "shift": -2}
    # the window at the corner sees 1 alone: 4 * 1 / 1, or 4 * 1 / 4 with the padding
    assert arithmetic.average_pool2d(x, **corner).reshape(-1).tolist() == [4]
    assert arithmetic.average_pool2d(x, **corner, count_include_pad=True).reshape(-1).tolist() == [1]


def test_ceil_mode_counts_no_tap_beyond_the_padding():
    x = np.full((1, 1, 3, 1), 12, np.int8)
    pool = {"kernel": (1, 2), "strides": (1, 2), "output_size": (1, 2), "shift": 0}
    for include in (False, True):
        assert arithmetic.average_pool2d(x, **pool, count_include_pad=include).reshape(-1).tolist() == [12, 12]
    pool = {"kernel": (1, 3), "strides": (1, 3), "padding": (0, 1, 0, 0), "output_size": (1, 2), "shift": 0}
    y = arithmetic.average_pool2d(x, **pool, count_include_pad=True)
    assert y.reshape(-1).tolist() == [8, 12]  # 24 / 3 with the padding; 12 / 1, the rest lies beyond


def test_max_pool_ignores_padding():
    x = np.full((1, 2, 2, 1), -100, np.int8)
    y = arithmetic.max_pool2d(x, kernel=(3, 3), padding=(1, 1, 1, 1))
    assert y.reshape(-1).tolist() == [-100] * 4


# --- float -------------------------------------------------------------------------------------------------


def test_quantize_by_hand():
    x = np.array([0.5, -0.5, 1.5, -1.5, 0.49999997, -0.50000006, 126.5, 127.4, -128.5, -128.6, 0.0, -0.0], np.float32)
    assert arithmetic.quantize(x, exponent=0).tolist() == [1, 0, 2, -1, 0, -1, 127, 127, -128, -128, 0, 0]
    strange = np.array([np.nan, -np.nan, np.inf, -np.inf, 3e38, -3e38, 1e-45, -1e-45], np.float32)
    assert arithmetic.quantize(strange, exponent=-5).tolist() == [0, 0, 127, -128, 127, -128, 0, 0]
    assert arithmetic.quantize(strange, exponent=127).tolist() == [0, 0, 127, -128, 2, -2, 0, 0]
    assert arithmetic.quantize(strange, exponent=-149).tolist() == [0, 0, 127, -128, 127, -128, 1, -1]
    # The sum saturates, not the value before it.
    picture = np.array([0, 0.5, 255, 255.5, -0.5, -0.6, np.nan, np.inf, -np.inf], np.float32)
    centred = [-128, -127, 127, 127, -128, -128, -128, 127, -128]
    assert arithmetic.quantize(picture, exponent=0, zero_point=-128).tolist() == centred
    mirrored = [127, 127, -127, -127, 127, 127, 127, -128, 127]
    assert arithmetic.quantize(-picture, exponent=0, zero_point=128).tolist() == mirrored
    for zero_point in (-129, 129, 0.5):
        with pytest.raises(ValueError, match="zero_point"):
            arithmetic.quantize(picture, exponent=0, zero_point=zero_point)


def test_quantize_against_fractions():
    random = np.random.RandomState(0)
    for exponent in (-149, -140, -126, -30, -7, -1, 0, 1, 9, 60, 127):
        # Any bits of the mantissa, near the values where rounding decides, and exact ties.
        near = random.uniform(-140, 140, 200) * 2.0**exponent
        ties = (random.randint(-140, 140, 100) + 0.5) * 2.0**exponent
        with np.errstate(over="ignore"):
            near, ties = near.astype(np.float32), ties.astype(np.float32)
        x = np.concatenate([near, ties, np.nextafter(ties, np.float32(0))])
        x = x[np.isfinite(x)]
        wanted = [rounded(Fraction(float(v)) * power(-exponent)) for v in x]
        assert arithmetic.quantize(x, exponent=exponent).tolist() == wanted
        centred = [rounded(Fraction(float(v)) * power(-exponent) + 44) for v in x]
        assert arithmetic.quantize(x, exponent=exponent, zero_point=44).tolist() == centred


def test_dequantize_is_exact():
    x = np.arange(-128, 128).astype(np.int8)
    for exponent in (-149, -130, -126, -7, 0, 5, 120):
        y = arithmetic.dequantize(x, exponent=exponent)
        assert y.dtype == np.float32
        assert [Fraction(float(v)) for v in y] == [int(q) * power(exponent) for q in x]
    assert np.isinf(arithmetic.dequantize(int8(127), exponent=127)[0])


def test_quantize_undoes_dequantize():
    x = np.arange(-128, 128).astype(np.int8)
    for exponent in range(-149, 121):
        assert np.array_equal(arithmetic.quantize(arithmetic.dequantize(x, exponent=exponent), exponent=exponent), x)


def test_softmax_adds_in_index_order():
    random = np.random.RandomState(0)
    x = random.randint(-128, 128, (20, 37)).astype(np.int8)
    y = arithmetic.softmax(x, exponent=-5)
    assert y.dtype == np.float32
    for row, result in zip(x, y):
        powers = [np.float32(math.exp((int(v) - int(row.max())) / 32)) for v in row]
        total = np.float32(0)
        for value in powers:
            total = np.float32(total + value)
        assert [np.float32(value / total) for value in powers] == result.tolist()
    as_int8 = arithmetic.softmax(x, exponent=-5, output_exponent=-8)
    assert np.array_equal(as_int8, arithmetic.quantize(y, exponent=-8))


def test_softmax_is_close_to_the_real_one():
    x = np.random.RandomState(1).randint(-128, 128, (5, 10)).astype(np.int8)
    real = np.exp(x * 2.0**-4)
    assert np.allclose(arithmetic.softmax(x, exponent=-4), real / real.sum(axis=1, keepdims=True), atol=1e-6)


# --- movement, and what is refused -------------------------------------------------------------------------


def test_moves():
    x = np.arange(24, dtype=np.int8).reshape(2, 3, 4)
    y = arithmetic.transpose(x, axes=(2, 0, 1))
    assert y.shape == (4, 2, 3) and y[3, 1, 2] == x[1, 2, 3] and y.flags.c_contiguous
    assert arithmetic.reshape(y, shape=(8, 3)).reshape(-1).tolist() == y.reshape(-1).tolist()


IMAGE = np.zeros((1, 4, 4, 2), np.int8)
WEIGHTED = {"weights": np.zeros((3, 1, 1, 2), np.int8), "bias": np.zeros(3, np.int32), "shift": np.zeros(3, np.int32)}


@pytest.mark.parametrize(
    "operator, inputs, attributes",
    [
        ("conv2d", [IMAGE.astype(np.int16)], WEIGHTED),
        ("conv2d", [IMAGE[0]], WEIGHTED),
        ("conv2d", [IMAGE], {**WEIGHTED, "bias": np.zeros(3)}),
        ("conv2d", [IMAGE], {**WEIGHTED, "bias": np.zeros(2, np.int32)}),
        ("conv2d", [IMAGE], {**WEIGHTED, "shift": np.zeros(3)}),
        ("conv2d", [IMAGE], {**WEIGHTED, "groups": 2}),
        ("conv2d", [IMAGE], {**WEIGHTED, "padding": (0, 0, 0)}),
        ("conv2d", [IMAGE], {**WEIGHTED, "strides": (0, 1)}),
        ("conv2d", [IMAGE], {**WEIGHTED, "clamp": (5, -5)}),
        ("conv2d", [IMAGE], {**WEIGHTED, "clamp": (-129, 0)}),
        ("conv2d", [IMAGE[:0]], WEIGHTED),
        ("depthwise_conv2d", [IMAGE], {**WEIGHTED, "weights": np.zeros((1, 1, 3), np.int8)}),
        ("dense", [IMAGE], {**WEIGHTED, "weights": np.zeros((3, 5), np.int8)}),
        ("add", [IMAGE, IMAGE.astype(np.float32)], {"shift_a": 0, "shift_b": 0, "shift": 0}),
        ("add", [IMAGE, IMAGE], {"shift_a": -1, "shift_b": 0, "shift": 0}),
        ("mul", [IMAGE, IMAGE[..., :1].repeat(3, axis=3)], {"shift": 0}),
        ("requantize", [IMAGE], {"shift": 0.5}),
        ("lookup", [IMAGE], {"table": np.zeros(255, np.int8)}),
        ("lookup_s16", [IMAGE], {"table": np.zeros(256, np.int16), "output": "int8"}),
        ("lookup_s16", [IMAGE.astype(np.int16)], {"table": np.zeros(256, np.int16), "output": "int16"}),
        ("max_pool2d", [IMAGE], {"kernel": (5, 5)}),
        ("average_pool2d", [IMAGE], {"kernel": (2, 2), "shift": 31}),
        ("quantize", [IMAGE], {"exponent": 0}),
        ("quantize", [IMAGE.astype(np.float32)], {"exponent": 128}),
        ("dequantize", [IMAGE.astype(np.float32)], {"exponent": 0}),
        ("softmax", [IMAGE.astype(np.float32)], {"exponent": 0}),
        ("transpose", [IMAGE], {"axes": (0, 1, 2)}),
        ("reshape", [IMAGE], {"shape": (5, 5)}),
        ("rshift", [0.5, 1], {}),
    ],
)
def test_wrong_arguments_are_refused(operator, inputs, attributes):
    with pytest.raises(ValueError):
        getattr(arithmetic, operator)(*inputs, **attributes)


@pytest.mark.parametrize("exponents", [(-3, -4, -6), (-3, -3, -4), (0, -5, -6), (-3, -3, -12), (-3, -4, -2)])
def test_a_sum_finer_than_its_operands_is_shifted_before_it_is_added(exponents):
    a, b, output = (Operand(None, "int8", exponent) for exponent in exponents)
    shifts = sum_shifts(a, b, output)
    finer = min(exponents[:2])
    after = {"shift_a": exponents[0] - finer, "shift_b": exponents[1] - finer, "shift": max(exponents[2] - finer, -8)}
    assert shifts["shift"] >= 0 or max(after["shift_a"], after["shift_b"]) - after["shift"] > 6
    x, y = np.meshgrid(np.arange(-128, 128).astype(np.int8), np.arange(-128, 128, 5).astype(np.int8))
    assert np.array_equal(arithmetic.add(x, y, **shifts), arithmetic.add(x, y, **after))
