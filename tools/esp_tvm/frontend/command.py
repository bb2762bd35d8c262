"""The command frontend: makes arrays of a model's input, and projects with a front end."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Optional, Sequence

import numpy as np

from ..files import whole_file
from .fields import read_yaml


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
    from .project import board_model, export_with_frontend

    if kind_of(spec_path) == "audio":
        from .audio import int8_input, read_sound
        from .audio_c import emit_features
        from .audio_spec import load_audio_spec

        spec = load_audio_spec(spec_path)
        port = board_model(model_path, spec.name, spec.shape, "", spec_path)
        files = emit_features(spec, port.exponent)
        sample = int8_input(read_sound(sample_path, spec.sample_rate), spec, port.exponent)
    else:
        from .image import int8_input, read_picture
        from .image_c import emit_preprocess
        from .image_spec import load_image_spec

        spec = load_image_spec(spec_path)
        port = board_model(model_path, spec.name, spec.shape, spec.layout, spec_path)
        files = emit_preprocess(spec, port.exponent, "NHWC")
        sample = int8_input(read_picture(sample_path), spec, port.exponent, "NHWC")
    return export_with_frontend({"target": target_chip, **board}, port, sample, files, template_path, out_path, app)
