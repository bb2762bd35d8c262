"""Names inside a model are data: these functions make them safe to print, to write in C and to use in paths."""

from __future__ import annotations

import re
from typing import Set

# Names that a tensor may not have in C: keywords of C and C++, the few lower-case words that C and POSIX headers and
# compilers define as macros, and names of the generated program.
_TAKEN_IN_C = frozenset(
    "auto break case char const continue default do double else enum extern float for goto if inline int long "
    "register restrict return short signed sizeof static struct switch typedef typeof union unsigned void volatile "
    "while asm fortran constexpr nullptr alignas alignof bool true false noreturn static_assert thread_local "
    "and and_eq bitand bitor catch char8_t char16_t char32_t class co_await co_return co_yield compl concept "
    "const_cast consteval constinit decltype delete dynamic_cast explicit export friend mutable namespace new "
    "noexcept not not_eq operator or or_eq private protected public reinterpret_cast requires static_cast template "
    "this throw try typeid typename using virtual wchar_t xor xor_eq final override import module "
    "assert basename complex environ errno far huge i386 imaginary linux main math_errhandling near stderr stdin "
    "stdout unix arm mips sparc sun vax "
    "host_trace inputs outputs scratch workspace".split()
)
# POSIX structure fields that are macros, and prefixes of this project's and ESP-IDF's names; `..._t` are types.
_TAKEN_SPACES = re.compile(
    r"(d|h|if[acr]|msg|s|s6|sa|sched|si|sigev|st)_.*|(sid_|tvm|esp_|global_|_).*|.*_t|(u?int|float)\d+"
)


def one_line(text: str, limit: int = 400) -> str:
    """`text` on one printable line of at most `limit` characters (control characters become spaces)."""
    text = "".join(c if c.isprintable() else " " for c in text)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def shown(name: str, limit: int = 60) -> str:
    """A model's name for tables and messages: one line, shortened in the middle."""
    name = one_line(name, 1 << 20)
    if len(name) <= limit:
        return name
    head = (limit - 1) // 2
    return f"{name[:head]}…{name[-(limit - 1 - head) :]}"


def c_comment(text: str, limit: int = 120) -> str:
    """`text` for the inside of a C comment: ASCII, one line, can neither end the comment nor start another."""
    text = shown(text, limit).replace("…", "...").encode("ascii", "replace").decode()
    # A backslash at the end of a line continues it; ?? starts a trigraph.
    return text.replace("*/", "* /").replace("/*", "/ *").replace("\\", "/").replace("??", "? ?")


def c_identifier(name: str, taken: set[str] | None = None, fallback: str = "tensor") -> str:
    """A C identifier made of `name`, at most 48 characters, different from all in `taken` (and added to it).

    No header defines a macro of that name: it is in lower case, in which C's headers define few macros, and those
    (`errno`, `linux`, `bool`) get the prefix `tensor_`, as keywords do. `Input` becomes `input`, `UINT8_MAX`
    `uint8_max`. The names of the generated macros contain it in upper case after `TVMGEN_DEFAULT_`.
    """
    base = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_")[:48].lower() or fallback
    if base[0].isdigit() or base in _TAKEN_IN_C or _TAKEN_SPACES.fullmatch(base):
        base = f"{fallback}_{base}"
    candidate, suffix = base, 1
    while taken is not None and candidate in taken:
        candidate, suffix = f"{base}_{suffix}", suffix + 1
    if taken is not None:
        taken.add(candidate)
    return candidate


def file_stem(name: str, fallback: str = "model") -> str:
    """A file name made of `name`: letters, digits, `._-`, never hidden, never a path."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", name).strip("._")[:64] or fallback


def fresh_name(base: str, taken: Set[str]) -> str:
    """`base`, with a number appended if it is already in `taken`."""
    name, number = base, 1
    while name in taken:
        name, number = f"{base}_{number}", number + 1
    return name
