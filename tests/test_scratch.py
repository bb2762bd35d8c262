"""How much scratch memory a kernel needs: the exporter's number is the one that the kernel itself gives in C."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from typing import List, Sequence

import pytest

pytest.importorskip("tvm")

from esp32s3_cases import ALL  # noqa: E402
from esp32s3_cases import random_pairs as random_vector_pairs  # noqa: E402
from kernel_archive import build  # noqa: E402
from kernel_harness import kernel_call  # noqa: E402
from operator_cases import CASES  # noqa: E402
from variant_cases import ALL_VARIANTS, random_pairs  # noqa: E402

from esp_tvm.compile.emitting.functions import emitted, static_array  # noqa: E402
from esp_tvm.compile.kernels.esp32s3.values import BROADCASTING  # noqa: E402
from esp_tvm.operators import OPERATORS  # noqa: E402
from esp_tvm.program import Call, Constant  # noqa: E402
from esp_tvm.run.host import SANITIZE, STRICT  # noqa: E402

# Calls of a variant.
COUNT = 60


def declared(constant: Constant) -> str:
    """A constant whose values nobody reads."""
    return f"static const {constant.c_type} {constant.name}[{constant.array.size}] __attribute__((unused));"


def numbers_in_c(calls: Sequence[Call], folder) -> List[int]:
    """What `<kernel>_scratch` returns for each call, from the parameters that the exporter writes."""
    parts = ['#include "esp_dl.h"\n#include "esp_dl_fast.h"\n#include <stdio.h>\n#define TVMGEN_DEFAULT_STATIC static']
    for number, call in enumerate(calls):
        emitter = emitted(replace(call, symbol=f"call_{number}"))
        (kernel,) = emitter.kernels
        # Of constants only where they are matters, but to Winograd's: values take most of the time of the compiler.
        as_c = static_array if kernel.endswith("winograd") else declared
        parts += map(as_c, emitter.constants)
        body = "\n".join([*emitter.parameters, f"    return {kernel}_scratch(&parameters);"])
        parts.append(f"static int32_t scratch_{number}(void)\n{{\n{body}\n}}")
    prints = "\n".join(f'    printf("%d\\n", (int)scratch_{number}());' for number in range(len(calls)))
    parts.append(f"int main(void)\n{{\n{prints}\n    return 0;\n}}\n")
    source, binary = folder / "program.c", folder / "program"
    source.write_text("\n".join(parts), encoding="utf-8")
    build([source], binary, *STRICT, *SANITIZE)
    done = subprocess.run([str(binary)], stdout=subprocess.PIPE, check=True, text=True)
    return [int(line) for line in done.stdout.split()]


def compare(calls, wanted, folder) -> None:
    got = numbers_in_c(calls, folder)
    wrong = [(call, ours, c) for call, ours, c in zip(calls, wanted, got) if ours != c]
    assert not wrong, f"{len(wrong)} of {len(calls)}: Python says {wrong[0][1]}, C {wrong[0][2]} for {wrong[0][0]}"


def needs_scratch(variant) -> bool:
    pairs = random_vector_pairs(variant, 6, seed=5) if variant in ALL else random_pairs(variant, 3, seed=5)
    return any(variant.scratch(pair.call) for pair in pairs)


# Of variants of one class that differ in a number, all.
VARIANTS = [variant for variant in [*ALL_VARIANTS, *ALL] if needs_scratch(variant)]


@pytest.mark.parametrize("variant", VARIANTS, ids=[f"{i}-{type(v).__name__}" for i, v in enumerate(VARIANTS)])
def test_faster_kernels(variant, tmp_path):
    pairs = (random_vector_pairs if variant in ALL else random_pairs)(variant, COUNT, seed=7)
    compare([pair.fast for pair in pairs], [variant.scratch(pair.fast) for pair in pairs], tmp_path)


def test_plain_kernels(tmp_path):
    # Without constants that the call alone reads, not its parameters.
    cases = [case for case in CASES if not case.attributes.get("start_constants")]
    calls = [call for call in (kernel_call(case, "call") for case in cases) if OPERATORS[call.operator].scratch(call)]
    kinds = ("rnn", "gru", "lstm")
    assert {call.operator for call in calls} == {kind + wide for kind in kinds for wide in ("", "_s16")}
    compare(calls, [OPERATORS[call.operator].scratch(call) for call in calls], tmp_path)


def test_the_comparison_sees_another_number(tmp_path):
    pairs = random_pairs(VARIANTS[0], 3, seed=7)
    wanted = [pair.variant.scratch(pair.call) + 4 * (i == 1) for i, pair in enumerate(pairs)]
    with pytest.raises(AssertionError, match="1 of 3"):
        compare([pair.fast for pair in pairs], wanted, tmp_path)


def test_every_fast_kernel_is_looked_at():
    """Convolutions, layers that become ones, pooling, and what broadcasts."""
    kernels = {variant.kernel for variant in VARIANTS}
    names = (
        "conv2d_s8_6x2",
        "conv2d_s8_6x2_apart",
        "conv2d_s8_8x2",
        "conv2d_s8_winograd",
        "conv2d_s8_esp32",
        "depthwise_conv2d_s8_esp32",
        *(f"{op}_s8_esp32s3" for op in ("conv2d", "depthwise_conv2d", "matmul", "max_pool2d", "average_pool2d")),
        *(f"{op}_s8_esp32s3" for op in (*BROADCASTING, "prelu", "transpose")),
        "dense_s16_wide_esp32s3",
        *("conv2d_s16_esp32s3", "depthwise_conv2d_s16_esp32s3", "conv2d_s8_few_esp32s3"),
        *("conv2d_add_s16_esp32s3", "max_pool2d_s16_esp32s3"),
    )
    assert kernels == {f"esp_dl_{name}" for name in names}
