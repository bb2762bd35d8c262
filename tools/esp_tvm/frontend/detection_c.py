"""detection_model.c and detection_model.h: what of detection.c is different for every model, made from the YAML."""

from __future__ import annotations

from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np
import onnx

from ..errors import UserError
from ..program.form import Port
from . import c_text
from .detection import Level, Output, levels_of, threshold
from .image import geometry
from .image_spec import ImageSpec
from .results import check_int8, results_struct

_FORMS = {"distances": "DISTANCES", "corners": "CORNERS", "centre_size": "CENTRE_SIZE", "yolov5": "CENTRE_SIZE"}
# What the tables of a level are, by field: their C type.
_TABLES = {
    "position": "int32_t",
    "size": "int32_t",
    "decay": "uint32_t",
    "score_decay": "uint32_t",
    "score": "uint16_t",
    "point": "int32_t",
    "visible": "uint16_t",
}


_LANDMARKS_USED = (
    " *",
    " *     detection_point_t points[DETECTION_LANDMARKS];",
    " *     detection_landmarks(&detection_model, &results, &boxes[0], points);",
)


def outputs_of(ports: Sequence[Port]) -> List[Output]:
    """The int8 outputs of a program one after the other."""
    check_int8(ports)
    outputs, offset = [], 0
    for port in ports:
        outputs.append(Output(port.name, tuple(port.shape), port.exponent, offset))
        offset += port.bytes
    return outputs


def check_outputs(spec: ImageSpec, model: onnx.ModelProto) -> None:
    """A `UserError` for a `spec` that does not describe the outputs of `model`, before anything is exported."""
    outputs = []
    for value in model.graph.output:
        dims = tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
        outputs.append(Output(value.name, dims, 0))
    _checked_levels(spec, outputs)


def _checked_levels(spec: ImageSpec, outputs: Sequence[Output]) -> List[Level]:
    assert spec.detection is not None
    levels = levels_of(spec.detection, spec.label, spec.width, spec.height, outputs)
    if spec.labels and len(spec.labels) != levels[0].classes:
        raise UserError(
            f"{spec.label}: labels: are {len(spec.labels)}, the model has {levels[0].classes} classes"
            + (" besides the background" if spec.detection.scores == "softmax" else "")
        )
    return levels


def emit_detection(spec: ImageSpec, ports: Sequence[Port]) -> Dict[str, str]:
    """Files of the component, path below it -> text. ports: the program's outputs, int8 (else a `UserError`)."""
    outputs = outputs_of(ports)
    levels = _checked_levels(spec, outputs)

    here = Path(__file__).parent
    return {
        "include/detection.h": (here / "detection.h").read_text(encoding="utf-8"),
        "src/detection.c": (here / "detection.c").read_text(encoding="utf-8"),
        "include/detection_model.h": _header(spec, ports),
        "src/detection_model.c": _source(spec, ports, outputs, levels),
    }


def _header(spec: ImageSpec, ports: Sequence[Port]) -> str:
    assert spec.detection is not None
    lines = c_text.head(
        Path(spec.label).name,
        " *",
        " *     static detection_results_t results;",
        " *     static detection_t boxes[DETECTION_CANDIDATES];",
        " *     struct tvmgen_default_outputs outputs = DETECTION_OUTPUTS(results);",
        " *     tvmgen_default_run(&inputs, &outputs);",
        " *     int32_t count = detection_find(&detection_model, &results, boxes);",
        *(_LANDMARKS_USED if spec.detection.landmarks else ()),
    )
    lines += ["#ifndef DETECTION_MODEL_H", "#define DETECTION_MODEL_H", "", '#include "detection.h"', ""]
    lines += ["#ifdef __cplusplus", 'extern "C" {', "#endif", ""]
    points = spec.detection.landmarks.points if spec.detection.landmarks else 0
    numbers = {"CANDIDATES": spec.detection.candidates, "MOST": spec.detection.most, "LANDMARKS": points}
    lines += [*(f"#define DETECTION_{name} {value}" for name, value in numbers.items()), ""]
    lines += results_struct("detection", ports)
    lines += ["extern const detection_model_t detection_model;", ""]
    if spec.camera is not None:
        lines += ["/* Of the frames that preprocess.h takes. */", "extern const detection_frame_t detection_frame;", ""]
    return "\n".join([*lines, "#ifdef __cplusplus", "}", "#endif", "", "#endif", ""])


def _source(spec: ImageSpec, ports: Sequence[Port], outputs: Sequence[Output], levels: Sequence[Level]) -> str:
    detection = spec.detection
    assert detection is not None
    lines = [*c_text.head(Path(spec.label).name), '#include "detection_model.h"', "", "#include <stddef.h>", ""]
    names: Dict[Tuple[str, bytes], str] = {}
    for level in levels:
        for field, c_type in _TABLES.items():
            lines += _table(getattr(level, field), field, c_type, names)
    for number, level in enumerate(levels):
        lines.append(f"static const detection_anchor_t anchors{number}[] = {{")
        lines += [f"    {{{a.unit_x}, {a.unit_y}, {a.width}, {a.height}}}," for a in level.anchors]
        lines += ["};", ""]
    lines.append("static const detection_level_t levels[] = {")
    for number, (head, level) in enumerate(zip(detection.heads, levels)):
        parts = [("boxes", head.boxes, level.boxes), ("scores", head.scores or head.boxes, level.scores)]
        if level.landmarks is not None:
            parts.append(("landmarks", head.landmarks or head.boxes, level.landmarks))
        lines += ["    {"]
        for field, name, part in parts:
            at = [output.name for output in outputs].index(name)
            within = part.first - outputs[at].offset
            first = f"offsetof(detection_results_t, {ports[at].c_name}) + {within}"
            lines.append(f"        .{field} = {{{first}, {part.cell}, {part.anchor}, {part.channel}}},")
        numbers = {
            "columns": level.columns,
            "rows": level.rows,
            "anchors": len(level.anchors),
            "stride": level.stride,
            "offset": level.offset,
            "anchor": f"anchors{number}",
        }
        lines += [f"        .{field} = {value}," for field, value in numbers.items()]
        for field in _TABLES:
            values = getattr(level, field)
            lines.append(f"        .{field} = {'NULL' if values is None else names[_key(field, values)]},")
        lines.append("    },")
    lines += ["};", "", "const detection_model_t detection_model = {", "    .levels = levels,"]
    facts = {
        "level_count": len(levels),
        "classes": levels[0].classes,
        "candidates": "DETECTION_CANDIDATES",
        "most": "DETECTION_MOST",
        "form": f"DETECTION_{_FORMS[detection.boxes]}",
        "bins": detection.bins,
        "y_first": _bool(detection.order == "yx"),
        "objectness": _bool(detection.has_objectness),
        "between": detection.between,
        "across_classes": _bool(detection.across_classes),
        "width": f"{spec.width} * DETECTION_ONE",
        "height": f"{spec.height} * DETECTION_ONE",
        "score_threshold": threshold(detection.score_threshold),
        "iou_threshold": threshold(detection.iou_threshold),
    }
    if detection.landmarks is not None:
        facts["landmarks"] = "DETECTION_LANDMARKS"
        facts["origin"] = f"DETECTION_FROM_{detection.landmarks.origin.upper()}"
        facts["in_strides"] = _bool(detection.landmarks.unit == "stride")
    lines += [f"    .{field} = {value}," for field, value in facts.items()]
    lines += ["};", ""]
    if spec.camera is not None:
        place = geometry(spec, spec.camera.width, spec.camera.height)
        numbers = ", ".join(map(str, (*place.source, *place.target)))
        lines += [f"const detection_frame_t detection_frame = {{{numbers}}};", ""]
    return "\n".join(lines)


def _bool(value: bool) -> str:
    return "true" if value else "false"


def _key(field: str, values: np.ndarray) -> Tuple[str, bytes]:
    return _TABLES[field], values.tobytes()


def _table(values: Optional[np.ndarray], field: str, c_type: str, names: Dict[Tuple[str, bytes], str]) -> List[str]:
    """The lines of a table that is not there yet; its name is kept in `names`."""
    if values is None or _key(field, values) in names:
        return []
    name = f"{field}{sum(other.startswith(field) for other in names.values())}"
    names[_key(field, values)] = name
    return [*c_text.table(c_type, name, values), ""]


__all__ = ["check_outputs", "emit_detection", "outputs_of"]
