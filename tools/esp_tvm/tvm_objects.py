"""TVM's objects in Python: attributes, elements, lengths and hashes take half of the time that TVM's own Python takes.

An export reads hundreds of thousands of attributes. For each, TVM without its part in Cython asks of both arguments
which of twenty kinds they are, and calls its library once more for the class of the result. Besides, an attribute that
is not there is an exception in C++: for the first one that reads the symbols of the whole library, a tenth of a second.
"""

from __future__ import annotations

import ctypes
from typing import Any, Callable, Dict, Iterator

import tvm
from tvm._ffi.base import _LIB as LIBRARY
from tvm._ffi.base import raise_last_ffi_error
from tvm.ir.container import Array
from tvm.runtime import Object, _ffi_node_api, convert


class _Names:
    """The attributes of each class, as texts in C.

    A class has the same ones in all its objects, except the two that stand for many.
    """

    def __init__(self) -> None:
        self.addresses: Dict[type, Dict[str, int]] = {}
        self._texts: Dict[str, ctypes.Array] = {}

    def address(self, made: Object, name: str) -> int:
        """Where the text stands; 0 where the class may have any attribute. Raises AttributeError if it has not this."""
        cls = type(made)
        missing = name == "handle" or name.startswith("__")
        if not missing and cls in (Object, tvm.ir.DictAttrs):
            return 0
        if not missing and cls not in self.addresses:
            at = _ffi_node_api.NodeListAttrNames(made)
            self.addresses[cls] = {each: self._kept(each) for each in ("type_key", *(at(i) for i in range(at(-1))))}
        if missing or name not in self.addresses[cls]:
            raise AttributeError(f"{cls} has no attribute {name}")
        return self.addresses[cls][name]

    def _kept(self, name: str) -> int:
        text = self._texts.setdefault(name, ctypes.create_string_buffer(name.encode("utf-8")))
        return ctypes.addressof(text)


def quicken() -> None:
    """Replace how TVM reads attributes and elements; its part in Cython, where a TVM has that, is as fast."""
    if Object.__base__.__module__ == "tvm._ffi._ctypes.object" and _class_stands_first(convert([])):
        from tvm._ffi._ctypes.types import ArgTypeCode

        _return_objects()
        Object.__getattr__ = _attribute(_caller(_ffi_node_api.NodeGetAttr, ArgTypeCode.STR), Object.__getattr__)
        element = _caller(tvm.runtime._ffi_api.ArrayGetItem, ArgTypeCode.INT)
        Array.__getitem__, Array.__iter__ = _element(element, Array.__getitem__), _elements(element)
        Array.__len__ = _length(tvm.runtime._ffi_api.ArraySize)
        one = convert([])
        if hash(one) == hash(one.handle.value):  # Asked of TVM's library it is the address, too.
            Object.__hash__ = _address


def _caller(function: Any, code: int) -> Callable[[Object, int], Any]:
    """`function` of an object and a second argument: its 64 bits, where it is of this kind."""
    from tvm._ffi._ctypes.types import RETURN_SWITCH, ArgTypeCode, TVMValue

    byref, call, handle = ctypes.byref, LIBRARY.TVMFuncCall, function.handle
    numbers, number, integer = ctypes.c_int64 * 2, ctypes.c_int64, ctypes.c_int
    codes, count = (integer * 2)(ArgTypeCode.OBJECT_HANDLE, code), integer(2)

    def called(made: Object, second: int) -> Any:
        result, kind = number(), integer()
        if call(handle, numbers(made.handle.value, second), codes, count, byref(result), byref(kind)):
            raise_last_ffi_error()
        return RETURN_SWITCH[kind.value](TVMValue.from_buffer(result))

    return called


def _length(function: Any) -> Callable[[Array], int]:
    from tvm._ffi._ctypes.types import ArgTypeCode

    byref, call, handle = ctypes.byref, LIBRARY.TVMFuncCall, function.handle
    number, integer = ctypes.c_int64, ctypes.c_int
    code, count = integer(ArgTypeCode.OBJECT_HANDLE), integer(1)

    def length(made: Array) -> int:
        result, kind = number(), integer()
        if call(handle, byref(number(made.handle.value)), byref(code), count, byref(result), byref(kind)):
            raise_last_ffi_error()
        return result.value

    return length


def _address(made: Object) -> int:
    return made.handle.value


def _attribute(of: Callable[[Object, int], Any], by_tvm: Callable[[Object, str], Any]) -> Callable[[Object, str], Any]:
    names = _Names()
    known = names.addresses

    def get(self: Object, name: str) -> Any:
        try:
            text = known[type(self)][name]
        except KeyError:
            text = names.address(self, name)
        return of(self, text) if text else by_tvm(self, name)

    return get


def _element(of: Callable[[Array, int], Any], by_tvm: Callable[[Array, Any], Any]) -> Callable[[Array, Any], Any]:
    def get(self: Array, index: Any) -> Any:
        if type(index) is int and 0 <= index < len(self):
            return of(self, index)
        return by_tvm(self, index)

    return get


def _elements(of: Callable[[Array, int], Any]) -> Callable[[Array], Iterator[Any]]:
    """Python would ask for one more than there are, and TVM answer with an exception."""

    def each(self: Array) -> Iterator[Any]:
        return iter([of(self, index) for index in range(len(self))])

    return each


def _return_objects() -> None:
    """Objects that TVM returns have their class by what they begin with."""
    from tvm._ffi._ctypes import object as objects
    from tvm._ffi._ctypes import types

    by_tvm, classes, native = objects._return_object, objects.OBJECT_TYPE, objects.PyNativeObject
    read, pointer = ctypes.c_uint32.from_address, ctypes.c_void_p

    def returned(result: Any) -> Any:
        address = result.v_handle
        cls = classes.get(read(address).value)
        if cls is None or issubclass(cls, native):
            return by_tvm(result)
        made = cls.__new__(cls)
        made.handle = pointer(address)
        return made

    code = types.ArgTypeCode.OBJECT_HANDLE
    types.RETURN_SWITCH[code] = returned
    types.C_TO_PY_ARG_SWITCH[code] = types._wrap_arg_func(returned, code)


def _class_stands_first(made: Object) -> bool:
    """Whether an object's first four bytes are the number of its class, as in every TVM with Relay so far."""
    number = ctypes.c_uint()
    LIBRARY.TVMObjectGetTypeIndex(made.handle, ctypes.byref(number))
    return ctypes.c_uint32.from_address(made.handle.value).value == number.value


__all__ = ["quicken"]
