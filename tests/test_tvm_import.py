"""What esp_tvm makes quicker in TVM as it imports it does the same."""

from __future__ import annotations

import pytest

tvm = pytest.importorskip("tvm")

from tvm import relay  # noqa: E402
from tvm._ffi import registry  # noqa: E402
from tvm.runtime import _ffi_node_api  # noqa: E402

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


def test_attributes_are_those_of_the_library():
    """Each that the library lists is there, and what is not there is told as before, also by objects of any keys."""
    x = relay.var("x", shape=(1, 3))
    call = relay.nn.softmax(x, axis=1)
    span = relay.Span(relay.SourceName("n0"), 1, 2, 3, 4)
    keys = tvm.ir.make_node("DictAttrs", Compiler="esp")
    for node in (x, call, call.op, call.attrs, span, keys, relay.Tuple([x]), tvm.IRModule.from_expr(call)):
        at = _ffi_node_api.NodeListAttrNames(node)
        names = [at(i) for i in range(at(-1))]
        assert names
        for name in names:
            found, wanted = getattr(node, name), _ffi_node_api.NodeGetAttr(node, name)
            assert found is wanted or found == wanted or found.same_as(wanted), name
        for name in ("no_such_attribute", "__array__"):
            with pytest.raises(AttributeError, match=name):
                getattr(node, name)
    assert keys.Compiler == "esp" and span.type_key == "Span" and not hasattr(call.op, "span")
    with pytest.raises(AttributeError, match="handle"):
        relay.Var.__new__(relay.Var).handle  # noqa: B018


def test_elements_are_those_of_the_library():
    x = relay.var("x", shape=(5, 3, 7))
    fields, shape = relay.Tuple([x, relay.const(1), x]).fields, x.type_annotation.shape
    assert [int(size) for size in shape] == [5, 3, 7] and list(relay.Tuple([]).fields) == []
    assert [field.same_as(x) for field in fields] == [True, False, True]
    assert int(shape[2]) == int(shape[-1]) == 7 and [int(size) for size in shape[1:]] == [3, 7]
    for index in (3, -4):
        with pytest.raises(IndexError):
            shape[index]
    assert list(tvm.runtime.convert(["a", "b"])) == ["a", "b"] and list(tvm.runtime.convert([None, x]))[0] is None
