"""Samples for inputs that are integers or pixels: converted, or taken as they are."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from esp_tvm.errors import UserError
from esp_tvm.program import Port
from esp_tvm.program.form import Pixels
from esp_tvm.program.ports import to_onnx, to_port
from esp_tvm.program.samples import as_onnx, load_port_sample, load_port_samples


def port_of(**more) -> Port:
    return Port("x", (1, 4, 5, 3), more.pop("dtype", "int8"), -4, c_name="x", inside="int8", onnx_dtype="float32",
                onnx_shape=(1, 3, 4, 5), axes=(0, 2, 3, 1), **more)  # fmt: skip


def test_samples_are_converted_by_the_rule_of_quantize_or_taken_as_they_are(tmp_path):
    port, random = port_of(), np.random.RandomState(1)
    real = (random.standard_normal((7, 3, 4, 5)) * 9).astype(np.float32)
    real.reshape(-1)[:4] = (0.03125, -0.03125, 1e9, -1e9)
    wanted = np.clip(np.floor(real.transpose(0, 2, 3, 1).astype(np.float64) * 16 + 0.5), -128, 127).astype(np.int8)
    for name, array in {
        "model": real,
        "bytes": wanted,
        "moved": wanted.transpose(0, 3, 1, 2),
        "double": real * 1.0,
    }.items():
        np.save(tmp_path / f"{name}.npy", array)
        loaded = load_port_samples(tmp_path / f"{name}.npy", [port])["x"]
        assert loaded.shape == (7, 1, 4, 5, 3) and loaded.dtype == np.int8 and len(loaded) == 7
        assert np.asarray(loaded)[:, 0].tobytes() == wanted.tobytes(), name
        assert loaded[-1].tobytes() == wanted[-1].tobytes()
        back = as_onnx([port], {"x": loaded})["x"]
        assert np.array_equal(np.asarray(back)[:, 0], wanted.transpose(0, 3, 1, 2) / np.float32(16))
    np.save(tmp_path / "odd.npy", real[:, :, :3])
    with pytest.raises(UserError, match="has shape"):
        load_port_samples(tmp_path / "odd.npy", [port])
    with pytest.raises(UserError, match="7 samples"):
        load_port_sample(tmp_path / "bytes.npy", [port])


def test_pixels_from_reals(tmp_path):
    pixels = Pixels(Fraction(1, 255), (Fraction(1, 2),) * 3, (Fraction(1, 4),) * 3, 3)
    port = port_of(dtype="uint8", pixels=pixels)
    picture = np.random.RandomState(2).randint(0, 256, (1, 4, 5, 3)).astype(np.uint8)
    real = to_onnx(port, picture)
    assert real.shape == (1, 3, 4, 5) and real.dtype == np.float32
    assert to_port(port, real).tobytes() == picture.tobytes()
    np.save(tmp_path / "picture.npy", picture)
    assert load_port_sample(tmp_path / "picture.npy", [port])["x"].tobytes() == picture.tobytes()
    with pytest.raises(UserError, match=r"pixel 637\.5, and pixels are 0 to 255"):
        to_port(port, np.full((1, 3, 4, 5), 8, np.float32))
