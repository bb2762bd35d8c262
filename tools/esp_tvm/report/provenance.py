"""What a program was made from and with, as its project and its quantized model record it."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Dict, List, Tuple

import onnx

from ..naming import one_line
from ..program.form import Program
from ..program.store import METADATA, MODEL, versions
from ..quantize.made_with import noted_made_with
from ..quantize.report import noted_noise


def provenance(program: Program, project: Path, model: onnx.ModelProto) -> List[Tuple[str, str]]:
    """(what, value), in the order in which things were made. Nothing of this computer but the date of a file."""
    found = [("quantized model", f"SHA-256 {program.model_hash}"), ("calibration", _calibration(model))]
    made = noted_made_with(model)
    if made is not None:
        found.append(("options of quantize", _options(made.options) or "defaults"))
    noise = noted_noise(model)
    if noise is not None:
        found.append(("noise measured", noise.where))
    found.append(("made for", program.board or program.target_chip))
    if program.exported is not None:
        found.append(("options of export", _options(program.exported.options)))
    found.append(("kernels", f"of the {program.kernels_for}" if program.kernels_for else "plain C"))
    if program.verification is not None:
        found.append(("checked at export", _checked(program.verification)))
    found.append(("versions", _options(versions(project))))
    found.append(("exported", f"{_date(project / MODEL / METADATA)} (date of {METADATA})"))
    return [(what, one_line(value, 400)) for what, value in found]


def _calibration(model: onnx.ModelProto) -> str:
    made = noted_made_with(model)
    if made is None:
        return "not recorded in the model"
    if not made.calibration:
        return "none: the model was quantized already"
    return f"{made.calibration}, {made.samples} sample{'s' * (made.samples != 1)}"


def _options(options: Dict[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in options.items())


def _checked(verification: Dict[str, float]) -> str:
    return (
        f"{verification['tensors']} tensors against ONNX Runtime on {verification['samples']} samples: within "
        f"{verification['step_bound']:g} step ({verification['several_steps_bound']:g} where a rule rounds several "
        f"times), floats within {verification['float_bound']:.2g} of their largest value"
    )


def _date(path: Path) -> str:
    """When the export wrote a file, in UTC; SOURCE_DATE_EPOCH, where it is set, replaces it."""
    given = os.environ.get("SOURCE_DATE_EPOCH", "")
    seconds = int(given) if given.isascii() and given.isdigit() and len(given) < 12 else path.stat().st_mtime
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))


__all__ = ["provenance"]
