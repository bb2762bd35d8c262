"""With what a model was quantized, recorded in the model itself: the calibration set's name and the options."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, fields
from typing import Dict, Optional

import onnx

from ..naming import one_line

# Key in the quantized model's metadata.
NOTE = "esp_tvm.made_with"
_LONGEST = 200


@dataclass(frozen=True)
class MadeWith:
    """calibration: the name of the file or folder of samples, "" where there was none; samples: how many it has
    options: those that are not the defaults, by name, as text"""

    calibration: str
    samples: int
    options: Dict[str, str]


def note_made_with(
    model: onnx.ModelProto, passes: object, calibration: Optional[str | os.PathLike], samples: int
) -> None:
    """Record in `model` what it was made with. passes: the quantizer's options, a dataclass with defaults

    Only the last part of the path is recorded: the same model and samples give the same file wherever they lie.
    """
    default = type(passes)()
    chosen = {
        field.name: str(getattr(passes, field.name))
        for field in fields(passes)  # type: ignore[arg-type]
        if getattr(passes, field.name) != getattr(default, field.name)
    }
    name = os.path.basename(os.path.normpath(calibration)) if calibration else ""
    value = json.dumps({"calibration": name, "samples": samples, "options": chosen}, sort_keys=True)
    kept = [entry for entry in model.metadata_props if entry.key != NOTE]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    model.metadata_props.add(key=NOTE, value=value)


def noted_made_with(model: onnx.ModelProto) -> Optional[MadeWith]:
    """What `note_made_with` wrote, or None."""
    for entry in model.metadata_props:
        if entry.key != NOTE:
            continue
        try:
            value = json.loads(entry.value)
            options = {one_line(str(k), _LONGEST): one_line(str(v), _LONGEST) for k, v in value["options"].items()}
            return MadeWith(one_line(str(value["calibration"]), _LONGEST), int(value["samples"]), options)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None  # not written by this tool
    return None


__all__ = ["MadeWith", "note_made_with", "noted_made_with"]
