"""The quantizer on several cores, and the threads of the libraries that it uses."""

from __future__ import annotations

from small_models import random, small_cnn

from esp_tvm.preprocess import preprocess_model
from esp_tvm.quantize import Passes, quantize_model


def test_linear_algebra_is_held_to_one_thread():
    """Two threads take seconds for a thousand small systems where others use the machine; one a millisecond."""
    from esp_tvm import blas

    before = [threads for threads, _, _ in blas._libraries()]
    with blas.one_thread():
        inside = [threads for threads, _, _ in blas._libraries()]
    assert before and inside == [1] * len(before), "NumPy and SciPy of the lock file both bring OpenBLAS"
    assert [threads for threads, _, _ in blas._libraries()] == before


def test_the_number_of_cores_changes_no_byte(monkeypatch):
    from esp_tvm.quantize import parallel

    model, samples = preprocess_model(small_cnn()).model, {"x": random(24, 1, 3, 8, 8, seed=7)}
    made = []
    for cores in (1, 3):
        monkeypatch.setattr(parallel, "cores", lambda cores=cores: cores)
        made.append(quantize_model(model, samples, Passes(effort="quick")).model.SerializeToString(deterministic=True))
    assert made[0] == made[1]
