"""TVM is imported with the names of its functions read once."""

from __future__ import annotations

import pytest

tvm = pytest.importorskip("tvm")

from tvm._ffi import registry  # noqa: E402

from esp_tvm.tvm_import import _names_read_once  # noqa: E402


def test_names_are_read_again_where_there_are_more(monkeypatch):
    """Modules of TVM register functions while they are imported, and others bind those."""
    names = _names_read_once(registry)
    assert set(names()) == set(registry.list_global_func_names())
    tvm.register_func("esp_tvm.test.one_more", lambda: None)
    try:
        assert "esp_tvm.test.one_more" in names()
        monkeypatch.setattr(registry, "list_global_func_names", None)
        assert "esp_tvm.test.one_more" in names()
    finally:
        registry.remove_global_func("esp_tvm.test.one_more")
