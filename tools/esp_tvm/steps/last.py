"""The model of the last make, for a make that names none."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Dict

from .record import Records
from .settings import default_out, spelled
from .words import fail, say

LAST = Path("build", ".last.json")


def last() -> Dict[str, str]:
    """MODEL and OUT of the last make; {} where there was none, or its model is gone."""
    try:
        found = json.loads(LAST.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    known = isinstance(found, dict) and all(isinstance(found.get(name), str) for name in ("MODEL", "OUT"))
    return found if known and os.path.exists(found["MODEL"]) else {}


def with_last(variables: Dict[str, str]) -> Dict[str, str]:
    """The variables, with MODEL and OUT of the last make where neither is given; says so."""
    if variables.get("MODEL"):
        return variables
    before = last()
    if variables.get("OUT"):
        # What the folder was made of.
        models = [model for model in Records(Path(variables["OUT"])).models() if os.path.exists(model)]
        before = {"MODEL": spelled(models[0]), "OUT": variables["OUT"]} if len(models) == 1 else {}
    if not before:
        return variables
    say(f"MODEL={before['MODEL']} OUT={before['OUT']} (as last time)")
    return {**variables, **before}


def folder_of(variables: Dict[str, str]) -> Path:
    """The folder of OUT or of MODEL, or of the last make."""
    if variables.get("OUT"):
        return Path(variables["OUT"])
    found = with_last(variables)
    if not found.get("MODEL"):
        fail("neither MODEL nor OUT is set; say which project: OUT=build/name")
    return Path(found["OUT"]) if found.get("OUT") else default_out(found["MODEL"])


def remember(model: str, out: Path) -> None:
    """Note a model for a make that names none; where build/ cannot be written, none is remembered."""
    try:
        LAST.parent.mkdir(exist_ok=True)
        half = LAST.with_suffix(".new")
        half.write_text(json.dumps({"MODEL": model, "OUT": str(out)}), "utf-8")
        os.replace(half, LAST)
    except OSError:
        return
