"""The emulated machines: exact counts, and the Xtensa's own small C library."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from esp_tvm.errors import UserError
from esp_tvm.run.machines import RISCV, XTENSA, require
from esp_tvm.run.qemu import compile_objects, execute, link

LOOP = """\
#include <stdint.h>
#include <stdio.h>

{counter}

int main(void)
{{
    uint32_t counts[2];
    FILE *out = fopen("counts.bin", "wb");
    for (int i = 0; i < 2; i++) {{
        uint32_t rounds = i == 0 ? 1000 : 1000000, start = instructions();
        __asm__ volatile("1: addi %0, %0, -1\\n bnez %0, 1b" : "+r"(rounds));
        counts[i] = instructions() - start;
    }}
    fwrite(counts, sizeof(counts[0]), 2, out);
    fclose(out);
    return stack_pointer() == 0;
}}
"""

ARITHMETIC = """\
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static uint32_t in[2];
static float results[6];
static int32_t divided[4];

int main(void)
{
    FILE *input = fopen("in.bin", "rb"), *output = fopen("out.bin", "wb");
    while (fread(in, sizeof(in), 1, input) == 1) {
        float a, b;
        memcpy(&a, &in[0], sizeof(a));
        memcpy(&b, &in[1], sizeof(b));
        results[0] = a + b;
        results[1] = a - b;
        results[2] = a * b;
        results[3] = a / b;
        results[4] = (float)(int32_t)in[0];
        results[5] = (float)in[1];
        uint32_t divisor = in[1] % 0xffff + 1;
        divided[0] = (int32_t)(in[0] / divisor);
        divided[1] = (int32_t)(in[0] % divisor);
        divided[2] = (int32_t)in[0] / (int32_t)divisor;
        divided[3] = (int32_t)in[0] % (int32_t)divisor;
        fwrite(results, sizeof(results), 1, output);
        fwrite(divided, sizeof(divided), 1, output);
    }
    return 0;
}
"""


def run(source: str, machine, folder) -> None:
    if machine.missing():
        pytest.skip(machine.missing())
    (folder / "program.c").write_text(source)
    link(compile_objects([folder / "program.c"], (), folder, machine=machine), folder / "program.elf", machine)
    execute(folder / "program.elf", folder, timeout=60, machine=machine)


@pytest.mark.parametrize("machine", [RISCV, XTENSA], ids=lambda machine: machine.name)
def test_instructions_are_counted_exactly(machine, tmp_path):
    run(LOOP.format(counter=machine.counter), machine, tmp_path)
    short, long = (machine.count(int(value)) for value in np.fromfile(tmp_path / "counts.bin", np.uint32))
    # Two instructions a round; what stands around the loop is the same for both, but for loading the constant.
    assert short - 2000 < 8 and abs(long - short - 2 * 999000) <= 2


def test_float_arithmetic_and_division_of_the_xtensa(tmp_path):
    random = np.random.RandomState(0)
    pairs = random.randint(0, 2**32, (1500, 2), dtype=np.uint64)
    # Half of them with exponents so near each other that sums cancel or round.
    near = (pairs[:700, 0] & 0x7F800000) + (random.randint(0, 54, 700).astype(np.uint64) - 27 << 23)
    pairs[:700, 1] = near + (pairs[:700, 1] & 0x807FFFFF)
    special = np.array([0, 1 << 31, 0x7F800000, 0xFF800000, 1, 0x80000001, 0x7FFFFF, 0x800000, 0x7F7FFFFF, 0x7FC00000])
    cross = np.stack(np.meshgrid(special, special), -1).reshape(-1, 2).astype(np.uint64)
    pairs = (np.concatenate([pairs, cross]) & 0xFFFFFFFF).astype(np.uint32)
    pairs.tofile(tmp_path / "in.bin")
    run(ARITHMETIC, XTENSA, tmp_path)
    found = np.fromfile(tmp_path / "out.bin", np.uint32).reshape(-1, 10)
    a, b = pairs[:, 0].copy().view(np.float32), pairs[:, 1].copy().view(np.float32)
    signed, divisor = pairs[:, 0].copy().view(np.int32).astype(np.int64), pairs[:, 1] % 0xFFFF + 1
    with np.errstate(all="ignore"):
        floats = [a + b, a - b, a * b, a / b, signed.astype(np.float32), pairs[:, 1].astype(np.float32)]
    for column, expected in enumerate(floats):
        got = found[:, column].copy().view(np.float32)
        same = (got.view(np.uint32) == expected.view(np.uint32)) | (np.isnan(got) & np.isnan(expected))
        assert same.all(), (column, pairs[~same][0], got[~same][0], expected[~same][0])
    quotient = np.sign(signed) * (np.abs(signed) // divisor)
    for column, expected in enumerate(
        [pairs[:, 0] // divisor, pairs[:, 0] % divisor, quotient, signed - quotient * divisor]
    ):
        np.testing.assert_array_equal(found[:, 6 + column].view(np.int32), expected.astype(np.uint32).view(np.int32))


def test_a_machine_whose_tools_are_missing_names_the_package():
    absent = dataclasses.replace(XTENSA, packages=(("no-such-gcc", "gcc-of-nowhere"),))
    with pytest.raises(
        UserError, match="no-such-gcc is not installed; install it with: apt-get install gcc-of-nowhere"
    ):
        require(absent)


def test_all_missing_packages_are_named_at_once(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert RISCV.missing() == (
        "riscv64-unknown-elf-gcc, qemu-system-riscv32, picolibc are not installed; install them with: "
        "apt-get install gcc-riscv64-unknown-elf qemu-system-misc picolibc-riscv64-unknown-elf"
    )
    gcc = tmp_path / "riscv64-unknown-elf-gcc"
    # As GCC answers for a file that it does not have.
    gcc.write_text("#!/bin/sh\necho picolibc.specs\n")
    gcc.chmod(0o755)
    assert RISCV.missing() == (
        "qemu-system-riscv32, picolibc are not installed; install them with: "
        "apt-get install qemu-system-misc picolibc-riscv64-unknown-elf"
    )
    gcc.write_text("#!/bin/sh\necho /usr/lib/picolibc/riscv64-unknown-elf/picolibc.specs\n")
    assert RISCV.missing() == (
        "qemu-system-riscv32 is not installed; install it with: apt-get install qemu-system-misc"
    )
