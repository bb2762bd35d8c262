"""Random calls that are cut in two, and a C program that compares both parts together with the plain kernel."""

from __future__ import annotations

from dataclasses import replace
from typing import List

import numpy as np
from esp32s3_calls import sixteens
from esp32s3_cases import ALL as VECTOR_VARIANTS
from kernel_case import filled
from variant_cases import (
    _HEAD,
    ALL_VARIANTS,
    CLAMPS,
    RANGES,
    _array,
    _requantized,
    _weights,
    _window,
    random_call,
    with_addend,
)

from esp_tvm.compile.emitting.functions import static_functions
from esp_tvm.compile.kernels.esp32s3 import Esp32s3Variant
from esp_tvm.compile.kernels.esp32s3.convolution_s16 import Conv2dS16
from esp_tvm.compile.kernels.winograd import Conv2dWinograd
from esp_tvm.compile.planning import cores
from esp_tvm.program import Call, Tensor

# Kernels that are cut: every faster one, and the plain ones (None) of every operator.
SPLIT_VARIANTS = [v for v in [*ALL_VARIANTS, *VECTOR_VARIANTS] if v.operator in cores.PLAIN]
SPLIT_VARIANTS += [v for v in VECTOR_VARIANTS if isinstance(v, Conv2dS16)]
PLAIN = ["conv2d", "depthwise_conv2d", "dense", "conv2d_s16", "depthwise_conv2d_s16", "dense_s16"]


def wide_window(random: np.random.RandomState, operator: str) -> Call:
    """A convolution with what halves may stumble over: few rows, big steps and holes, uneven borders, groups."""
    depthwise = operator == "depthwise_conv2d"
    while True:
        images = int(random.choice([1, 1, 1, 2, 3]))
        size = (int(random.choice([1, 1, 2, 3, 7, 12])), int(random.randint(2, 12)))
        kernel = tuple(int(v) for v in random.randint(1, 4, 2)) if size[0] > 1 else (1, int(random.randint(1, 5)))
        dilation, strides = (tuple(int(v) for v in random.randint(1, high, 2)) for high in (6, 4))
        padding = tuple(int(v) for v in random.randint(0, 5, 4))
        if size[0] == 1:
            padding = (0, padding[1], 0, padding[3])
        shape = _window(random, size, kernel, dilation, strides, padding)
        if shape is not None and images * shape[0] * shape[1] > 1:
            break
    groups = int(random.choice([1, 1, 2])) if not depthwise else 1
    channels = int(random.choice([1, 3, 4, 8, 16])) * groups
    outputs = channels * int(random.choice([1, 1, 2])) if depthwise else int(random.choice([1, 4, 8, 9])) * groups
    weights = _weights(random, (*kernel, outputs) if depthwise else (outputs, *kernel, channels // groups))
    attributes = _requantized(random, weights, 2 if depthwise else 0)
    attributes.update(strides=strides, padding=padding, dilation=dilation)
    if not depthwise:
        attributes["groups"] = groups
    x = Tensor("x", (images, *size, channels), "int8")
    return Call("", operator, [x], [Tensor("y", (images, *shape, outputs), "int8")], filled(attributes))


def _widened(call: Call, random: np.random.RandomState) -> Call:
    """The same with int16 tensors."""
    types = [("int16", "int16"), ("int8", "int16"), ("int16", "int8")][random.randint(3)]
    x, y = (replace(tensor, dtype=dtype) for tensor, dtype in zip((call.inputs[0], call.output), types))
    attributes = {**call.attributes, "output": types[1]}
    # |x| is 2^8 times larger: a smaller sum of weights keeps the sum within int32.
    attributes["weights"] = (attributes["weights"] // 8).astype(np.int8)
    return replace(call, operator=f"{call.operator}_s16", inputs=[x], outputs=[y], attributes=attributes)


class SplitPair:
    """A call by the plain kernel and in two parts by a variant (None: by the plain kernel too)."""

    def __init__(self, number: int, call: Call, variant, random: np.random.RandomState):
        self.number, self.call = number, replace(call)
        low, high = RANGES[random.randint(len(RANGES))]
        dtype = call.inputs[0].dtype
        factor = 1 if dtype == "int8" else 230
        self.x = (random.randint(low, high + 1, call.inputs[0].elements) * factor).astype(dtype)
        if call.addend is not None:
            self.addend = (random.randint(-128, 128, call.output.elements)).astype(call.addend.dtype)
        # So much work that it pays to cut it.
        self.two = replace(call, variant=variant, input_range=(low, high), macs=10**9)
        vector = isinstance(variant, Esp32s3Variant)
        fits = variant is None or not vector or (variant.has_types(call) and variant.fits_range(call, low, high))
        fits = fits and (variant is None or vector or variant.fits(call))
        self.split = cores.split_call(self.two) if fits else "the variant does not take it"

    @property
    def is_split(self) -> bool:
        return not isinstance(self.split, str)

    def c_code(self) -> str:
        """Data, the functions `plain_N` and `two_N`, and the comparison `compare_N`."""
        self.two.split = self.split
        self.call.symbol, self.two.symbol = f"plain_{self.number}", f"two_{self.number}"
        calls = (self.call, self.two)
        parts = [*map(static_functions, calls), _array(f"{self.call.inputs[0].dtype}_t", f"x_{self.number}", self.x)]
        if self.call.addend is not None:
            parts.append(_array(f"{self.call.addend.dtype}_t", f"addend_{self.number}", self.addend))
        return "\n".join([*parts, self._compare()])

    def _compare(self) -> str:
        n, call = self.number, self.call
        size, out, scratch = call.inputs[0].bytes, call.output.bytes, sum(self.split.scratch)
        tail = ", scratch" if scratch else ""
        # Vectors are read beyond the input's end.
        room = 64 if isinstance(self.two.variant, Esp32s3Variant) else 0
        y = f"aligned(NULL, 0, {out})" if call.addend is None else f"aligned(addend_{n}, {out}, 0)"
        lines = [
            f"static int compare_{n}(void)",
            "{",
            f"    void *x = aligned(x_{n}, {size}, {room}), *expected = block({out});",
            f"    void *scratch = aligned(NULL, 0, {max(scratch, 1)}), *y = {y};",
        ]
        # The output is the addend's memory.
        addend = "" if call.addend is None else ", y"
        lines += [f"    plain_{n}(x{addend}, expected);", f"    two_{n}(x{addend}, y{tail});"]
        lines += [
            f"    const int wrong = differ({n}, y, expected, {out});",
            "    free(x);",
            "    free(y);",
            "    free(expected);",
            "    free(scratch);",
            "    return wrong;",
            "}",
            "",
        ]
        return "\n".join(lines)

    def describe(self) -> str:
        """For the message of a failed test."""
        a = {k: v for k, v in self.call.attributes.items() if k not in ("weights", "bias", "shift")}
        variant = self.two.variant
        kernel = variant.name(self.two) if variant else f"plain {self.call.operator}"
        shapes = f"{self.call.inputs[0].shape} -> {self.call.output.shape}"
        return f"case {self.number}: {kernel} {shapes} {self.split.text} {a}"


_ALIGNED = """\
/* Of just this size, aligned to 16, with `more` bytes behind it. */
static void *aligned(const void *from, size_t size, size_t more)
{
    void *data = NULL;
    if (posix_memalign(&data, 16, size + more) != 0) {
        exit(3);
    }
    memset(data, 0x55, size + more);
    return size > 0 ? memcpy(data, from, size) : data;
}
"""


def program(pairs: List[SplitPair]) -> str:
    """A C program that compares all pairs and writes what differs, then the number of pairs, to report.txt."""
    head = "#define _POSIX_C_SOURCE 200112L\n" + _HEAD.replace(
        '#include "esp_dl_fast.h"', '#include "esp_dl_cores.h"\n#include "esp_dl_fast.h"', 1
    ).replace("/* Memory", "static FILE *report;\n\n/* Memory", 1)
    head = head.replace("static void *copy(", "static inline void *copy(")
    calls = "\n".join(f"    wrong += compare_{pair.number}();" for pair in pairs)
    main = (
        'int main(void)\n{\n    int wrong = 0;\n    report = fopen("report.txt", "w");\n    if (report == NULL) {\n'
        f'        return 2;\n    }}\n{calls}\n    fprintf(report, "%d of {len(pairs)} differ\\n", wrong);\n'
        "    fclose(report);\n    return 0;\n}\n"
    )
    return "\n".join([head, _ALIGNED, *(pair.c_code() for pair in pairs), main])


def random_split_pairs(variant, operator: str, count: int, seed: int) -> List[SplitPair]:
    """`count` calls that are cut. variant: None for the plain kernel of `operator`"""
    random = np.random.RandomState(seed)
    pairs: List[SplitPair] = []
    kind, wide = operator.replace("_s16", "").replace("_add", ""), operator.endswith("_s16")
    # How often something is added: always where that is all that the kernel computes.
    one_in = 1 if "_add" in operator else 3
    while len(pairs) < count:
        if kind == "dense" or random.randint(2) or isinstance(variant, Conv2dWinograd):
            call = random_call(kind, random, variant)
        elif isinstance(variant, Esp32s3Variant):
            call = sixteens(kind, random)
        else:
            call = wide_window(random, kind)
        if wide:
            call = _widened(call, random)
        if kind == "conv2d" and random.randint(one_in) == 0:
            call = with_addend(call, random)
        pair = SplitPair(len(pairs), call, variant, random)
        if pair.is_split:
            pairs.append(pair)
    return pairs


__all__ = ["CLAMPS", "PLAIN", "SPLIT_VARIANTS", "SplitPair", "program", "random_split_pairs"]
