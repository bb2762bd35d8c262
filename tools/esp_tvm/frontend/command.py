"""The command frontend: makes arrays of a model's input, and projects with a front end."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Callable, Dict, List, Optional, Sequence

import numpy as np
import onnx

from ..files import whole_file
from ..model import load_model
from .fields import read_yaml

if TYPE_CHECKING:
    from ..program.form import Port
    from .image_spec import ImageSpec

# The program's outputs -> files of the component.
ReadsOutputs = Callable[[Sequence["Port"]], Dict[str, str]]


def kind_of(spec_path: str | os.PathLike) -> str:
    """image or audio: what the YAML describes."""
    from .audio_spec import AudioSpec
    from .image_spec import ImageSpec

    values = read_yaml(spec_path)
    keys = set(values) if isinstance(values, dict) else set()
    return "audio" if len(keys & set(AudioSpec.model_fields)) > len(keys & set(ImageSpec.model_fields)) else "image"


def write_arrays(spec_path: str, paths: Sequence[str], out: str) -> np.ndarray:
    """The float model's inputs for pictures (or sound files), [N, ...], into the .npy file `out`."""
    if kind_of(spec_path) == "audio":
        from .audio import find_sounds, float_inputs
        from .audio_spec import load_audio_spec

        array = float_inputs(find_sounds(paths), load_audio_spec(spec_path))
    else:
        from .image import find_pictures, float_inputs
        from .image_spec import load_image_spec

        array = float_inputs(find_pictures(paths), load_image_spec(spec_path))
    with whole_file(out) as temporary:
        np.save(temporary, array)
    return array


def _what_reads(spec: ImageSpec, model: onnx.ModelProto) -> Optional[ReadsOutputs]:
    """What makes the files for the outputs, if the YAML says what they are; a `UserError` if they are not that."""
    from .detection_c import check_outputs, emit_detection
    from .embedding import check_embedding, emit_embedding

    emitters: List[ReadsOutputs] = []
    if spec.detection is not None:
        check_outputs(spec, model)
        emitters.append(partial(emit_detection, spec))
    if spec.embedding is not None:
        shapes = {value.name: value.type.tensor_type.shape.dim for value in model.graph.output}
        sizes = {name: int(np.prod([dim.dim_value for dim in dims])) for name, dims in shapes.items()}
        check_embedding(spec.label, spec.embedding, sizes)
        emitters.append(partial(emit_embedding, spec.label, spec.embedding))
    if not emitters:
        return None
    return lambda ports: {name: text for emit in emitters for name, text in emit(ports).items()}


def check(spec_path: str, model_path: Optional[str] = None) -> None:
    """A `UserError` for a YAML with which no project can be made, before minutes of work for one.

    model_path: the float model, of which the outputs are compared with the YAML where their shapes are fixed
    """
    if kind_of(spec_path) == "audio":
        from .audio_spec import load_audio_spec

        load_audio_spec(spec_path)
        return
    from .image_c import check_camera
    from .image_spec import load_image_spec

    spec = load_image_spec(spec_path)
    check_camera(spec)
    if model_path is not None and Path(model_path).suffix == ".onnx":
        model = load_model(model_path)
        dims = [dim for value in model.graph.output for dim in value.type.tensor_type.shape.dim]
        if all(dim.dim_value > 0 for dim in dims):
            _what_reads(spec, model)


def limits(spec_path: str) -> List[str]:
    """Options of preprocess, by which the model's outputs keep only values that make a difference to what reads them:
    ["--limit", "scores=-8:7.9375", ...]; [] for what is no detector, or has none such."""
    if kind_of(spec_path) == "audio":
        return []
    from .detection_tables import useful_limits
    from .image_spec import load_image_spec

    spec = load_image_spec(spec_path)
    if spec.detection is None:
        return []
    found = useful_limits(spec.detection, max(spec.width, spec.height))
    return [word for name, (low, high) in found.items() for word in ("--limit", f"{name}={low!r}:{high!r}")]


def export(
    spec_path: str,
    model_path: str,
    sample_path: str,
    target_chip: Optional[str],
    template_path: str,
    out_path: str,
    app: Optional[str] = None,
    **board: Optional[str],
) -> Path:
    """A project for the quantized model with the front end of `spec_path`; the sample is a picture (or a sound).

    target_chip may be None where a board's name is given; board: board, flash, psram, internal, as for `choose_board`
    """
    from .interface import layout_in
    from .project import export_with_frontend, fed_model

    reads_outputs: Optional[ReadsOutputs] = None
    exponents: Dict[str, int] = {}
    if kind_of(spec_path) == "audio":
        from .audio import float_inputs
        from .audio_c import emit_features
        from .audio_spec import load_audio_spec

        spec = load_audio_spec(spec_path)
        fed = fed_model(model_path, spec.name, spec.shape, "", spec_path)
        sample = float_inputs([Path(sample_path)], spec)

        def component(port: Port) -> Dict[str, str]:
            return emit_features(spec, port.exponent, port.zero_point)

    else:
        from .detection_tables import useful_exponents
        from .image import float_inputs
        from .image_c import check_camera, emit_preprocess
        from .image_spec import load_image_spec

        spec = load_image_spec(spec_path)
        check_camera(spec)
        fed = fed_model(model_path, spec.name, spec.shape, spec.layout, spec_path)
        reads_outputs = _what_reads(spec, load_model(model_path))
        exponents = {} if spec.detection is None else useful_exponents(spec.detection, max(spec.width, spec.height))
        sample = float_inputs([Path(sample_path)], spec)

        def component(port: Port) -> Dict[str, str]:
            return emit_preprocess(spec, port.exponent, layout_in(port, spec.layout), port.zero_point)

    chosen = {"target": target_chip, **board}
    return export_with_frontend(chosen, fed, sample, component, template_path, out_path, app, reads_outputs, exponents)
