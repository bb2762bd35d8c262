"""The rooms of the package: what may import what, without circles, and one name for one thing."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path
from typing import Dict, Iterator, Set

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "tools" / "esp_tvm"


def modules() -> Dict[str, Path]:
    """Dotted name -> file, of every module of the package."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported(name: str, path: Path, known: Set[str]) -> Iterator[str]:
    """The modules of the package that one imports when it is loaded itself; not what functions import later."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    tree = ast.parse(path.read_text(encoding="utf-8"))
    statements = [s for s in tree.body if isinstance(s, (ast.Import, ast.ImportFrom))]
    for statement in statements:
        if isinstance(statement, ast.Import):
            names = [alias.name for alias in statement.names]
        else:
            base = package.rsplit(".", statement.level - 1)[0] if statement.level else ""
            module = ".".join(part for part in (base, statement.module or "") if part)
            names = [
                f"{module}.{alias.name}" if f"{module}.{alias.name}" in known else module for alias in statement.names
            ]
        yield from (one for one in names if one in known)


def room(name: str) -> str:
    """`esp_tvm.compile.planning` of `esp_tvm.compile.planning.memory`; of a module at the top, itself."""
    return name if PACKAGE.parent.joinpath(*name.split(".")).is_dir() else name.rpartition(".")[0]


def cycle(edges: Dict[str, Set[str]]) -> list:
    """A circle in a graph, empty where there is none."""
    done: Set[str] = set()

    def walk(node: str, way: list) -> list:
        if node in way:
            return [*way[way.index(node) :], node]
        if node in done:
            return []
        for following in sorted(edges.get(node, ())):
            found = walk(following, [*way, node])
            if found:
                return found
        done.add(node)
        return []

    return next((found for found in (walk(node, []) for node in sorted(edges)) if found), [])


def test_no_room_imports_one_that_imports_it():
    known = modules()
    edges: Dict[str, Set[str]] = {}
    for name, path in known.items():
        for other in imported(name, path, set(known)):
            one, two = room(name), room(other)
            # A package's own __init__ may gather what lies in it, and everything may use the top.
            if one != two and not one.startswith(two + ".") and not two.startswith(one + ".") and two != "esp_tvm":
                edges.setdefault(one, set()).add(two)
    assert len(edges) > 10
    edges.pop("esp_tvm", None)
    assert cycle(edges) == []


def test_cycle_is_found():
    assert cycle({"a": {"b"}, "b": {"c"}, "c": {"a"}}) == ["a", "b", "c", "a"]
    assert cycle({"a": {"b", "c"}, "b": {"c"}}) == []


@pytest.mark.parametrize("package", ["compile", "quantize", "report", "operators"])
def test_a_file_name_means_one_thing_in_a_package(package):
    names = Counter(path.name for path in (PACKAGE / package).rglob("*.py") if path.name != "__init__.py")
    assert [name for name, count in names.items() if count > 1] == []
