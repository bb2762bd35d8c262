"""The two machines that the generated C is compiled for and run on in QEMU.

Both execute one instruction per tick of QEMU's clock (`-icount`), so instructions are counted exactly: the same program
and the same input give the same numbers on every computer.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import List, Sequence, Tuple

from ..errors import UserError

_RUNTIME = Path(__file__).parent / "xtensa"


@dataclass(frozen=True)
class Machine:
    """A compiler and an emulated machine.

    name: of the instruction set; prefix: of the compiler's tools; packages: (tool, Debian package)
    target: options that say what is compiled for; link_target: the same for linking; program: options that link a
        whole program; runtime: C and assembly sources of such a program
    emulator: the command without the program's path
    counter: C of `instructions()`, a counter of 32 bits, and of `stack_pointer()`
    ticks: the counter's increment per instruction
    """

    name: str
    prefix: str
    packages: Tuple[Tuple[str, str], ...]
    target: Tuple[str, ...]
    link_target: Tuple[str, ...]
    program: Tuple[str, ...]
    libraries: Tuple[str, ...]
    runtime: Tuple[Path, ...]
    emulator: Tuple[str, ...]
    counter: str
    ticks: Fraction = Fraction(1)

    @property
    def compiler(self) -> str:
        return f"{self.prefix}gcc"

    def missing(self) -> str:
        """A line about what is not installed, or an empty string."""
        missing = self._missing()
        if not missing:
            return ""
        names = ", ".join(name for name, _ in missing)
        are, them = ("is", "it") if len(missing) == 1 else ("are", "them")
        packages = " ".join(dict.fromkeys(package for _, package in missing))
        return f"{names} {are} not installed; install {them} with: apt-get install {packages}"

    def missing_parts(self) -> List[str]:
        """The programs and libraries that are not installed."""
        return [name for name, _ in self._missing()]

    def _missing(self) -> List[Tuple[str, str]]:
        """(what is missing, its Debian package)"""
        return [(tool, package) for tool, package in self.packages if shutil.which(tool) is None]

    def count(self, difference: int) -> int:
        """Instructions between two readings of the counter."""
        return round(difference / self.ticks)


class _Riscv(Machine):
    def _missing(self) -> List[Tuple[str, str]]:
        return super()._missing() + ([] if self._has_library() else [("picolibc", "picolibc-riscv64-unknown-elf")])

    def _has_library(self) -> bool:
        """Whether the compiler finds its C library; False without a compiler."""
        if shutil.which(self.compiler) is None:
            return False
        specs = subprocess.run([self.compiler, "-print-file-name=picolibc.specs"], stdout=subprocess.PIPE, text=True)
        return Path(specs.stdout.strip()).is_absolute()


def _defined(*symbols: str) -> Sequence[str]:
    return [f"-Wl,--defsym={symbol}" for symbol in symbols]


RISCV = _Riscv(
    name="RV32IMC",
    prefix="riscv64-unknown-elf-",
    packages=(("riscv64-unknown-elf-gcc", "gcc-riscv64-unknown-elf"), ("qemu-system-riscv32", "qemu-system-misc")),
    target=("-march=rv32imc", "-mabi=ilp32", "--specs=picolibc.specs"),
    # Debian's picolibc has a library for rv32imac but none for rv32imc; the project's own code stays rv32imc.
    link_target=("-march=rv32imac", "-mabi=ilp32", "--specs=picolibc.specs"),
    program=(
        "--crt0=hosted",
        "--oslib=semihost",
        *_defined("__flash=0x80000000", "__flash_size=0x2000000", "__ram=0x82000000", "__ram_size=0x2000000"),
    ),
    libraries=("-lm",),
    runtime=(),
    emulator=(
        *("qemu-system-riscv32", "-M", "virt", "-icount", "shift=0", "-bios", "none", "-nographic"),
        *("-monitor", "none", "-serial", "none", "-semihosting-config", "enable=on,target=native", "-kernel"),
    ),
    counter="""\
static inline uint32_t instructions(void)
{
    uint32_t value;
    __asm__ volatile("rdinstret %0" : "=r"(value)::"memory");
    return value;
}

static inline uint8_t *stack_pointer(void)
{
    uint8_t *value;
    __asm__ volatile("mv %0, sp" : "=r"(value));
    return value;
}
""",
)

# The only Xtensa core that Debian has a compiler for, the ESP8266's. Literals next to the code, calls of any distance;
# a loop that fills memory stays a loop where memset itself is compiled.
XTENSA = Machine(
    name="Xtensa (lx106)",
    prefix="xtensa-lx106-elf-",
    packages=(("xtensa-lx106-elf-gcc", "gcc-xtensa-lx106"), ("qemu-system-xtensa", "qemu-system-misc")),
    target=(
        *("-mlongcalls", "-mtext-section-literals", "-fno-tree-loop-distribute-patterns"),
        *("-isystem", str(_RUNTIME / "include")),
    ),
    link_target=("-nostdlib",),
    program=("-T", str(_RUNTIME / "memory.ld")),
    libraries=("-lgcc",),
    runtime=(_RUNTIME / "start.S", _RUNTIME / "runtime.c"),
    emulator=(
        *("qemu-system-xtensa", "-M", "sim", "-cpu", "lx106", "-m", "64M", "-icount", "shift=7", "-nographic"),
        *("-monitor", "none", "-serial", "none", "-semihosting", "-kernel"),
    ),
    counter="""\
static inline uint32_t instructions(void)
{
    uint32_t value;
    __asm__ volatile("rsr.ccount %0" : "=r"(value)::"memory");
    return value;
}

static inline uint8_t *stack_pointer(void)
{
    uint8_t *value;
    __asm__ volatile("mov %0, a1" : "=r"(value));
    return value;
}
""",
    # An instruction takes 2^7 ns, and the core counts cycles of 25 ns.
    ticks=Fraction(128, 25),
)


def require(machine: Machine) -> None:
    """Raise a UserError that names what is missing."""
    problem = machine.missing()
    if problem:
        raise UserError(problem)
