"""Random calls for the faster kernels, and a C program that compares each of them with the plain kernel."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import List, Optional

import numpy as np
from kernel_case import filled

from esp_tvm.compile.emitting.functions import static_array, static_functions
from esp_tvm.compile.kernels.mac16 import MAC16_VARIANTS
from esp_tvm.compile.kernels.portable import VARIANTS, Conv2d8x2, Depthwise3x3
from esp_tvm.compile.kernels.variants import Variant
from esp_tvm.compile.kernels.winograd import Conv2dWinograd
from esp_tvm.operators.base import requantize_shift
from esp_tvm.program import Call, Constant, Tensor

CLAMPS = ((-128, 127), (0, 127), (0, 96), (-20, 30))
RANGES = ((-128, 127), (0, 127), (0, 40), (-128, -3))


def _weights(random: np.random.RandomState, shape) -> np.ndarray:
    """Bell-shaped, of one sign, or at the ends of the range, where lanes fill fastest."""
    kind = random.randint(4)
    if kind == 0:
        return random.choice([-128, 127], shape).astype(np.int8)
    if kind == 1:
        return np.full(shape, random.choice([-128, 127]), np.int8)
    spread = random.choice([5, 30, 60])
    return np.clip(np.round(random.randn(*shape) * spread), -128, 127).astype(np.int8)


def _requantized(random, weights: np.ndarray, axis: int) -> dict:
    """weights, bias, shift and clamp so that the results spread over int8."""
    rows = np.moveaxis(weights, axis, 0)
    outputs, count = len(rows), rows[0].size
    bias = random.randint(-3000, 3000, outputs).astype(np.int32)
    shift = random.randint(0, 4, outputs) + int(np.log2(count * 30 + 1))
    kept, bias, shift = requantize_shift(rows.reshape(outputs, -1), bias, shift)
    weights = np.moveaxis(kept.reshape(rows.shape), 0, axis)
    clamp = CLAMPS[random.randint(len(CLAMPS))]
    return {"weights": np.ascontiguousarray(weights), "bias": bias, "shift": shift, "clamp": clamp}


def _window(random, size, kernel, dilation, strides, padding):
    """Height and width of the output, None where there is none."""
    shape = []
    for axis in (0, 1):
        span = (kernel[axis] - 1) * dilation[axis] + 1
        room = size[axis] + padding[axis] + padding[2 + axis] - span
        if room < 0:
            return None
        shape.append(room // strides[axis] + 1)
    return shape


def random_call(operator: str, random: np.random.RandomState, variant: Optional[Variant] = None) -> Call:
    """A legal call of `operator` with small random shapes; windows of those that `variant` takes, if it takes few."""
    if operator == "dense":
        rows, inputs, outputs = random.choice([1, 1, 2, 3, 4, 6, 8, 15]), random.randint(1, 40), random.randint(1, 30)
        attributes = _requantized(random, _weights(random, (outputs, inputs)), 0)
        return Call(
            "", operator, [Tensor("x", (rows, inputs), "int8")], [Tensor("y", (rows, outputs), "int8")], attributes
        )
    if operator == "average_pool2d":
        shape = tuple(int(v) for v in (random.randint(1, 3), *random.randint(1, 9, 2), random.randint(1, 20)))
        attributes = {"kernel": shape[1:3], "strides": (1, 1), "padding": (0, 0, 0, 0), "dilation": (1, 1)}
        attributes.update(count_include_pad=False, shift=random.randint(-4, 5), clamp=CLAMPS[random.randint(4)])
        output = Tensor("y", (shape[0], 1, 1, shape[3]), "int8")
        return Call("", operator, [Tensor("x", shape, "int8")], [output], attributes)
    while True:
        images, size = random.randint(1, 3), random.randint(1, 12, 2)
        depthwise = operator == "depthwise_conv2d"
        kernel = (3, 3) if depthwise and random.randint(4) else tuple(random.randint(1, 5, 2))
        dilation = (1, 1) if random.randint(4) else tuple(random.randint(1, 3, 2))
        strides, padding = tuple(random.randint(1, 4 - depthwise, 2)), tuple(random.randint(0, 3 - depthwise, 4))
        if isinstance(variant, Conv2dWinograd):
            kernel, dilation, strides = (3, 3), (1, 1), (1, 1)
        if isinstance(variant, Depthwise3x3) and random.randint(2):
            # Rows are computed two by two.
            kernel, dilation, strides, padding = (3, 3), (1, 1), (1, 1), (1, 1, 1, 1)
        channels = random.choice([1, 2, 3, 4, 5, 8, 16, 20])
        outputs = channels if depthwise else random.choice([1, 2, 3, 4, 8, 12])
        if isinstance(variant, Conv2d8x2):
            kernel, strides, padding, channels = (1, 1), (1, 1), (0, 0, 0, 0), variant.INPUTS
        shape = _window(random, size, kernel, dilation, strides, padding)
        if shape is not None:
            break
    weights = _weights(random, (*kernel, outputs) if depthwise else (outputs, *kernel, channels))
    attributes = _requantized(random, weights, 2 if depthwise else 0)
    if depthwise and random.randint(4) == 0:
        # Some to the left.
        attributes["shift"] = np.maximum(attributes["shift"] - random.randint(0, 20, outputs), -8).astype(np.int32)
    attributes.update(strides=strides, padding=padding, dilation=dilation)
    if not depthwise:
        attributes["groups"] = 1
    x = Tensor("x", (images, *size, channels), "int8")
    return Call("", operator, [x], [Tensor("y", (images, *shape, outputs), "int8")], filled(attributes))


def with_addend(call: Call, random: np.random.RandomState) -> Call:
    """A convolution that adds a tensor to its sums: nearly as large as these, or anything else."""
    shift = np.asarray(call.attributes["shift"], np.int64)
    left = shift + random.randint(-3, 2) if random.randint(4) else random.randint(0, 23, len(shift))
    if call.operator.endswith("_s16"):
        left = np.minimum(left - 8, 14)
    addend = replace(call.output, name="addend")
    attributes = {**call.attributes, "addend_shift": np.clip(left, 0, 22).astype(np.int32)}
    operator = call.operator.replace("conv2d", "conv2d_add")
    return replace(call, operator=operator, inputs=[call.inputs[0], addend], attributes=attributes)


class Pair:
    """A call by the plain kernel and by a variant, and the inputs to compare them with."""

    def __init__(self, number: int, call: Call, variant: Variant, random: np.random.RandomState):
        self.number, self.variant = number, variant
        low, high = RANGES[random.randint(len(RANGES))]
        self.call = replace(call, symbol=f"plain_{number}")
        self.fast = replace(call, symbol=f"fast_{number}", variant=variant, input_range=(low, high))
        self.fast.often = int(random.choice([0, low]))
        self.x = random.randint(low, high + 1, call.inputs[0].elements).astype(np.int8)
        self.x[random.rand(len(self.x)) < 0.3] = random.choice([low, high, min(max(0, low), high)])
        self.addend = random.randint(-128, 128, call.output.elements).astype(np.int8)

    def c_code(self) -> str:
        """Data, the functions `plain_N` and `fast_N`, and the comparison `compare_N`."""
        parts = [*map(static_functions, (self.call, self.fast)), _array("int8_t", f"x_{self.number}", self.x)]
        if self.call.addend is not None:
            parts.append(_array("int8_t", f"addend_{self.number}", self.addend))
        return "\n".join([*parts, self._compare()])

    def _compare(self) -> str:
        n, call = self.number, self.call
        scratch = self.variant.scratch(self.fast)
        tail = ", scratch" if scratch else ""
        size, out = call.inputs[0].elements, call.output.elements
        lines = [
            f"static int compare_{n}(void)",
            "{",
            "    int wrong = 0;",
            f"    int8_t *x = copy(x_{n}, {size}), *expected = block({out});",
            f"    void *scratch = block({max(scratch, 1)});",
        ]
        if call.addend is not None:
            lines += [
                f"    int8_t *addend = copy(addend_{n}, {out});",
                f"    plain_{n}(x, addend, expected);",
                f"    fast_{n}(x, addend, addend{tail});",
                f"    wrong += differ({n}, addend, expected, {out});",
                "    free(addend);",
            ]
        else:
            lines += [
                f"    plain_{n}(x, expected);",
                f"    int8_t *y = block({out});",
                f"    fast_{n}(x, y{tail});",
                f"    wrong += differ({n}, y, expected, {out});",
                "    free(y);",
            ]
            for lead in self._distances():
                lines += [
                    "    {",
                    f"        int8_t *both = block({max(out, lead + size)});",
                    f"        memcpy(both + {lead}, x_{n}, {size});",
                    f"        fast_{n}(both + {lead}, both{tail});",
                    f"        wrong += differ({n}, both, expected, {out});",
                    "        free(both);",
                    "    }",
                ]
        lines += ["    free(x);", "    free(expected);", "    free(scratch);", "    return wrong;", "}", ""]
        return "\n".join(lines)

    def _distances(self) -> List[int]:
        """By how many bytes the output may start before the input: the least, the least whole pixels, and more."""
        call, channels = self.call, self.call.output.shape[-1]
        bytes_, pixels = self.variant.overlap_distance(call), self.variant.overlap_distance_of_pixels(call)
        found = [] if bytes_ is None else [bytes_, bytes_ + 1]
        least = [-(-one // channels) for one in (bytes_, pixels) if one is not None]
        row = call.output.shape[2] if len(call.output.shape) == 4 else 1
        found += [(one + more) * channels for one in least for more in (0, 1, row, 2 * row)]
        return sorted(set(found))

    def describe(self) -> str:
        """For the message of a failed test."""
        a = {k: v for k, v in self.call.attributes.items() if k not in ("weights", "bias", "shift")}
        weights = np.shape(self.call.attributes.get("weights"))
        shapes = f"{self.call.inputs[0].shape} -> {self.call.output.shape}, weights {weights}"
        low, high = self.fast.input_range
        return f"case {self.number}: {self.variant.name(self.fast)} {shapes} {a} input {low}..{high}"


def _array(c_type: str, name: str, array: np.ndarray) -> str:
    return static_array(Constant(c_type, name, array, ""))


_HEAD = """\
#include "esp_dl.h"
#include "esp_dl_fast.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef TVMGEN_DEFAULT_STATIC
#define TVMGEN_DEFAULT_STATIC static
#endif

/* Memory of just this size, so that the sanitizer sees every byte too many. */
static void *block(size_t size)
{
    void *data = malloc(size);
    if (data == NULL) {
        exit(3);
    }
    return memset(data, 0x55, size);
}

static void *copy(const void *from, size_t size)
{
    return memcpy(block(size), from, size);
}

static int differ(int number, const int8_t *got, const int8_t *expected, int count)
{
    for (int i = 0; i < count; i++) {
        if (got[i] != expected[i]) {
            fprintf(report, "case %d: byte %d is %d, not %d\\n", number, i, got[i], expected[i]);
            return 1;
        }
    }
    return 0;
}
"""


def program(pairs: List[Pair]) -> str:
    """A C program that compares all pairs and writes what differs, then the number of pairs, to report.txt."""
    head = _HEAD.replace("/* Memory", "static FILE *report;\n\n/* Memory", 1)
    calls = "\n".join(f"    wrong += compare_{pair.number}();" for pair in pairs)
    main = (
        'int main(void)\n{\n    int wrong = 0;\n    report = fopen("report.txt", "w");\n    if (report == NULL) {\n'
        f'        return 2;\n    }}\n{calls}\n    fprintf(report, "%d of {len(pairs)} differ\\n", wrong);\n'
        "    fclose(report);\n    return 0;\n}\n"
    )
    return "\n".join([head, *(pair.c_code() for pair in pairs), main])


def random_pairs(variant: Variant, count: int, seed: int) -> List[Pair]:
    """`count` calls that `variant` takes."""
    random = np.random.RandomState(seed)
    pairs: List[Pair] = []
    if isinstance(variant, Conv2dWinograd):
        pairs.append(_largest_sums(variant, random))
    while len(pairs) < count:
        call = random_call(variant.operator, random, variant)
        if call.operator == "conv2d" and random.randint(3) == 0:
            call = with_addend(call, random)
        if variant.fits(call):
            pairs.append(Pair(len(pairs), call, variant, random))
    return pairs


class AnyWinograd(Conv2dWinograd):
    """Also where it does not pay: shapes may be small."""

    fits = Conv2dWinograd.computes


def _largest_sums(variant: Variant, random: np.random.RandomState) -> Pair:
    """Nearly the largest sums that minimal filtering can divide: with another channel they might be too large."""
    channels = 227
    weights = np.full((2, 3, 3, channels), -128, np.int8)
    attributes = {"weights": weights, "bias": np.zeros(2, np.int32), "shift": np.array([19, 20]), "clamp": (-128, 127)}
    attributes.update(strides=(1, 1), padding=(1, 1, 1, 1), dilation=(1, 1), groups=1)
    call = Call(
        "", "conv2d", [Tensor("x", (1, 5, 5, channels), "int8")], [Tensor("y", (1, 5, 5, 2), "int8")], attributes
    )
    pair = Pair(0, call, variant, random)
    pair.x[: len(pair.x) // 2], pair.x[len(pair.x) // 2 :] = -128, 127
    return pair


# Of those for the ESP32, some rows at a time, and one row with both kinds of weights.
MAC16 = [*MAC16_VARIANTS["conv2d"][3:], MAC16_VARIANTS["dense"][3], *MAC16_VARIANTS["depthwise_conv2d"][2:]]
# Those by minimal filtering differ in a number: one, which a few channels exceed.
_OTHERS = (v for variants in VARIANTS.values() for v in variants if not isinstance(v, Conv2dWinograd))
ALL_VARIANTS = [*_OTHERS, AnyWinograd(8), *MAC16]


def verdict(folder: Path, pairs) -> None:
    """Read report.txt; raise AssertionError with the first case that differs."""
    lines = (folder / "report.txt").read_text().splitlines()
    if not lines or not lines[-1].endswith(f"of {len(pairs)} differ"):
        raise AssertionError("the program did not run to its end")
    if lines[-1] != f"0 of {len(pairs)} differ":
        case = pairs[int(lines[0].split()[1].rstrip(":"))]
        raise AssertionError(f"{lines[0]}; {case.describe()}; {lines[-1]}")
