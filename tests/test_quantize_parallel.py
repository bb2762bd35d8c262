"""The quantizer on several cores, and the threads of the libraries that it uses."""

from __future__ import annotations

import threading

import pytest
from small_models import random, small_cnn

from esp_tvm.preprocess import preprocess_model
from esp_tvm.quantize import Passes, parallel, quantize_model, simulate


def test_linear_algebra_is_held_to_one_thread():
    """Two threads take seconds for a thousand small systems where others use the machine; one a millisecond."""
    from esp_tvm import blas

    before = [threads for threads, _, _ in blas._libraries()]
    with blas.one_thread():
        inside = [threads for threads, _, _ in blas._libraries()]
    assert before and inside == [1] * len(before), "NumPy and SciPy of the lock file both bring OpenBLAS"
    assert [threads for threads, _, _ in blas._libraries()] == before


def test_the_number_of_cores_changes_no_byte(monkeypatch):
    monkeypatch.setattr(simulate, "SHARED", 1)  # Such small networks, too, are simulated in parts.
    model, samples = preprocess_model(small_cnn()).model, {"x": random(24, 1, 3, 8, 8, seed=7)}
    made = []
    for cores in (1, 3):
        monkeypatch.setattr(parallel, "cores", lambda cores=cores: cores)
        made.append(quantize_model(model, samples, Passes(effort="quick")).model.SerializeToString(deterministic=True))
    assert made[0] == made[1]


def test_cores_that_are_at_work_are_not_shared(monkeypatch):
    """Work within work is spread over what is idle, and no more."""
    monkeypatch.setattr(parallel, "cores", lambda: 2)
    together = threading.Barrier(2, timeout=60)
    used, done = [], []

    def within(item):
        done.append(item)
        return threading.get_ident()

    def outer(_item):
        together.wait()
        spare, mine = parallel.spare_cores(), set()
        parallel.spread(lambda item: mine.add(within(item)), range(9))
        together.wait()
        used.append((spare, mine == {threading.get_ident()}))

    list(parallel.in_order(outer, range(2)))
    assert used == [(0, True)] * 2 and sorted(done) == sorted([*range(9)] * 2)

    # Two items that wait for each other end only in two threads.
    assert parallel.spare_cores() == 1
    parallel.spread(lambda _item: together.wait(), range(2))
    assert parallel.spare_cores() == 1


def test_what_fails_in_parts_is_told_and_leaves_no_core_behind(monkeypatch):
    monkeypatch.setattr(parallel, "cores", lambda: 2)

    def fail(item):
        if item == 3:
            raise ValueError("three")

    with pytest.raises(ValueError, match="three"):
        parallel.spread(fail, range(40))
    assert parallel.spare_cores() == 1
