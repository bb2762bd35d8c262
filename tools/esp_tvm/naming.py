"""Names inside a model are data: these functions make them safe to print, to write in C and to use in paths."""

from __future__ import annotations

import re
from typing import Set

_C_KEYWORDS = frozenset(
    "auto break case char const continue default do double else enum extern float for goto if inline int long "
    "register restrict return short signed sizeof static struct switch typedef union unsigned void volatile while "
    "bool true false class delete new this template typename namespace operator private protected public "
    "try catch throw using virtual friend explicit export and or not xor asm "
    # Macros and names of the generated program that a model's tensor must not hide.
    "NULL NAN INFINITY EOF errno stdin stdout stderr linux unix workspace scratch inputs outputs".split()
)
_OURS = re.compile(r"(?i)(sid_|tvm|esp_|global_|_)|.*_t$")


def one_line(text: str, limit: int = 400) -> str:
    """`text` on one printable line of at most `limit` characters (control characters become spaces)."""
    text = "".join(c if c.isprintable() else " " for c in text)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def shown(name: str, limit: int = 60) -> str:
    """A model's name as people read it in a table or a message: one line, shortened in the middle."""
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

    Different in capitals too: the names of macros are made of it.
    """
    base = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_")[:48] or fallback
    if base[0].isdigit() or base in _C_KEYWORDS or _OURS.match(base):
        base = f"{fallback}_{base}"
    candidate, suffix = base, 1
    known = {name.upper() for name in taken or ()}
    while candidate.upper() in known:
        candidate, suffix = f"{base}_{suffix}", suffix + 1
    if taken is not None:
        taken.add(candidate)
    return candidate


def file_stem(name: str, fallback: str = "model") -> str:
    """A file name made of `name`: letters, digits, `._-`, never hidden, never a path."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", name).strip("._")[:64] or fallback


def fresh_name(base: str, taken: Set[str]) -> str:
    """`base`, with a number behind it where `taken` has it already."""
    name, number = base, 1
    while name in taken:
        name, number = f"{base}_{number}", number + 1
    return name
