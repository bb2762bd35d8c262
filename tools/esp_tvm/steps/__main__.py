"""What a make target asks for.

scripts/pipeline.sh GOAL      with MODEL, CALIB, INPUT, TARGET, OUT, ... in the environment
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Dict, List

from ..chips import check_chip
from ..idf_versions import CONTAINER, check_version, chips_of, needed
from ..places import CHECKOUT
from .last import LAST, folder_of, with_last
from .pipeline import ALL_STEPS, Pipeline, exclusive
from .process import catch_signals, run_live, set_up
from .record import MADE, Records
from .values import check_hardware, check_values, check_word, chip_of
from .variables import BOARD_VARIABLES, HELP
from .words import exit_status, fail, say

DIGITS = Path("examples/digits")
_STEPS = ("preprocess", "quantize", "export", "run", "emulate", "debug", "deploy", "report", "evaluate", "compare")
# What they are asked for is what they need: unset variables mean what they were.
_ONLY_LOOK = ("report", "evaluate", "compare")


def step(goal: str, variables: Dict[str, str]) -> None:
    """One of the steps, and what it needs before it."""
    asked = ALL_STEPS if goal == "deploy" else () if goal in _ONLY_LOOK else (goal,)
    pipeline = Pipeline(goal, asked, with_last(variables))
    pipeline.check("run" if goal == "deploy" else goal)
    pipeline.open()
    getattr(pipeline, goal)()


def demo(variables: Dict[str, str]) -> None:
    """The whole way for examples/digits, whatever MODEL and the other variables except OUT are."""
    digits = {"MODEL": "model.onnx", "CALIB": "calib.npy", "INPUT": "input_sample.npy"}
    files = {name: str(DIGITS / file) for name, file in digits.items()}
    pipeline = Pipeline("demo", ALL_STEPS, {**variables, **files, "OUT": variables.get("OUT") or "build/digits"})
    pipeline.check("run")
    pipeline.open()
    pipeline.run()
    pipeline.tool("evaluate", [str(DIGITS / "evaluate.py"), "--project", str(pipeline.out / "new_project")])


def component(variables: Dict[str, str]) -> None:
    """The model of the project in OUT into DEST, with names of its own where MODEL_NAME is set; FORM: as what."""
    if not variables.get("DEST"):
        fail(
            "DEST is not set; name the application's folder of components or libraries: "
            "make component DEST=path/to/components"
        )
    command = [
        "tools/tvm/copy_model.py",
        "--project",
        str(folder_of(variables) / "new_project"),
        "--to",
        variables["DEST"],
    ]
    name = variables.get("MODEL_NAME")
    form = check_word("FORM", variables.get("FORM", ""))
    run_live([*command, *(["--name", name] if name else []), *(["--form", form] if form else [])], set_up())


def board(variables: Dict[str, str]) -> None:
    """Refuse TARGET, BOARD and the like that are none, before minutes of work for them."""
    values = {name: variables[name] for name in BOARD_VARIABLES if variables.get(name)}
    check_hardware(chip_of(variables.get("TARGET", ""), values.get("BOARD", "")), values)
    check_values(variables)


def idf_check(chip: str, text: str = "") -> None:
    """Refuse a version of ESP-IDF that does not build a project for `chip`. text: the image's name with its tag, or
    what `idf.py --version` prints; without a version in it: a note, and what is needed."""
    if check_version(chip, text) is None:
        say(f"note: the version of ESP-IDF is not known; {chip} needs {needed(check_chip(chip))}")


def clean(variables: Dict[str, str]) -> None:
    """Remove what the steps made for MODEL or in OUT; without both, of all folders in build/."""
    if variables.get("OUT"):
        folders = [Path(variables["OUT"])]
    elif variables.get("MODEL"):
        folders = [Pipeline("clean", (), variables).out]
    else:
        folders = sorted(path.parent for path in Path("build").glob(f"*/{MADE}"))
        if LAST.exists():
            LAST.unlink()
    for folder in folders:
        if not (folder / MADE).is_dir():
            continue
        lock = exclusive(folder)
        stays = Records(folder).clean()
        if stays:
            more = f" and {len(stays) - 5} more" if len(stays) > 5 else ""
            say(f"left in {folder}, because it was changed or is not ours: {', '.join(stays[:5])}{more}")
        del lock


def do(goal: str, arguments: List[str]) -> None:
    """What a make target asks for."""
    variables = dict(os.environ)
    if goal in _STEPS:
        step(goal, variables)
    elif goal == "variables":
        print(HELP, end="")
    elif goal == "out":
        print(folder_of(variables))
    elif goal == "idf-image":
        print(CONTAINER)
    elif goal == "idf-chips":
        print(" ".join(chips_of(arguments[0])))
    elif goal == "idf-needed":
        print(needed(check_chip(arguments[0])))
    elif goal == "idf-check":
        idf_check(*arguments)
    elif goal == "made":
        Records(folder_of(variables)).made([folder_of(variables) / name for name in arguments])
    elif goal in ("demo", "clean", "component", "board"):
        {"demo": demo, "clean": clean, "component": component, "board": board}[goal](variables)
    else:
        fail(f"'{goal}' is no step")


def main(arguments: List[str]) -> int:
    assert CHECKOUT is not None, "the make targets belong to a checkout"
    os.chdir(CHECKOUT)
    catch_signals()
    return exit_status(lambda: do(arguments[0], arguments[1:]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
