"""The generated front ends on an emulated 32-bit RISC-V: the bytes of Python there too."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from esp_tvm.frontend import audio, image
from esp_tvm.frontend.audio_c import emit_features
from esp_tvm.frontend.audio_spec import load_audio_spec
from esp_tvm.frontend.emulate import emulate_frames, emulate_stream
from esp_tvm.frontend.host import write_files
from esp_tvm.frontend.image_c import emit_preprocess
from esp_tvm.frontend.image_spec import load_image_spec
from esp_tvm.run.machines import RISCV

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
pytestmark = pytest.mark.skipif(bool(RISCV.missing()), reason=RISCV.missing() or "there")


def write_changed(tmp_path, path, old, new):
    text = path.read_text()
    assert old in text
    (tmp_path / path.name).write_text(text.replace(old, new))
    return tmp_path / path.name


@pytest.mark.parametrize("resize", ["nearest", "bilinear", "area"])
def test_camera_frames(resize, tmp_path):
    path = EXAMPLES / "image_classification/image.yaml"
    spec = load_image_spec(write_changed(tmp_path, path, "resize: area", f"resize: {resize}"))
    write_files(emit_preprocess(spec, -5, "NHWC"), tmp_path)
    frames = np.random.default_rng(0).integers(0, 256, (2, 160 * 120 * 2)).astype(np.uint8)
    computed, counts = emulate_frames(tmp_path, frames, "rgb565_be")
    for frame, row in zip(frames, computed):
        pixels = image.unpack_frame(frame, "rgb565_be", 160, 120)
        assert np.array_equal(row, image.int8_input(pixels, spec, -5, "NHWC").ravel())
    # Of a nearest pixel hardly more than its look-ups, of an area all pixels of the frame.
    assert 0 < max(counts) < {"nearest": 50_000, "bilinear": 300_000, "area": 1_000_000}[resize]


@pytest.mark.parametrize("spectrum", ["power", "magnitude"])
def test_sound(spectrum, tmp_path):
    path = EXAMPLES / "keyword_spotting/audio.yaml"
    spec = load_audio_spec(write_changed(tmp_path, path, "spectrum: power", f"spectrum: {spectrum}"))
    write_files(emit_features(spec, -5), tmp_path)
    rng = np.random.default_rng(1)
    samples = rng.normal(0, 2.0 ** rng.uniform(2, 15, 17920).astype(int)).clip(-32768, 32767).astype(np.int16)
    expected = np.stack(list(audio.FeatureStream(spec, -5).push(samples)))
    computed, counts = emulate_stream(tmp_path, samples, spec.shape)
    assert len(expected) > 5 and np.array_equal(computed, expected)
    assert 0 < max(counts) < {"power": 600_000, "magnitude": 1_200_000}[spectrum]
