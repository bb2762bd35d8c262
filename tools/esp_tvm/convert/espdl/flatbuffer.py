"""FlatBuffers by a description of their tables, with every offset checked."""

from __future__ import annotations

import struct
from types import SimpleNamespace
from typing import Any

import numpy as np
from flatbuffers import number_types
from flatbuffers.table import Table

from .schema import BLOCK, TABLES

# Many fields may point to the same bytes; a file that would grow by more than this is none that a tool wrote.
_GROWTH = 4


class Damaged(ValueError):
    """What is no file of this kind, or cut off."""


class Reader:
    """The tables of `data` as namespaces: None (or [] of a vector) where a field is left out, 0 of a number."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.budget = _GROWTH * len(data) + 1024

    def root(self, kind: str) -> SimpleNamespace:
        """The table that the file begins with."""
        try:
            return self._table(kind, self._offset(0))
        except (struct.error, IndexError, TypeError, OverflowError, UnicodeDecodeError, ValueError) as error:
            raise Damaged(str(error)) from None

    def _spend(self, start: int, size: int) -> None:
        self.budget -= size
        if start < 0 or start + size > len(self.data) or self.budget < 0:
            raise Damaged("an offset points out of the file")

    def _offset(self, place: int) -> int:
        """Where the offset at `place` points."""
        self._spend(place, 4)
        return place + struct.unpack_from("<I", self.data, place)[0]

    def _table(self, kind: str, place: int) -> SimpleNamespace:
        self._spend(place, 4)
        table = Table(self.data, place)
        vtable = place - table.Get(number_types.SOffsetTFlags, place)
        self._spend(vtable, 4)
        self._spend(vtable, struct.unpack_from("<H", self.data, vtable)[0])
        fields = SimpleNamespace()
        for number, (name, what) in enumerate(TABLES[kind]):
            offset = table.Offset(4 + 2 * number)
            setattr(fields, name, self._value(what, place + offset if offset else 0))
        return fields

    def _value(self, what: Any, place: int) -> Any:
        """The value of a field at `place`; 0 is none."""
        if isinstance(what, list):
            return self._vector(what[0], self._offset(place)) if place else []
        if what in ("float struct", "int64 struct"):
            return self._number("float32" if what == "float struct" else "int64", place) if place else None
        if what is None or (not place and (what in TABLES or what in ("text", "bytes"))):
            # Of a field that is not read: whether it is there.
            return bool(place) if what is None else None
        if what == "text":
            return self._text(self._offset(place))
        if what == "bytes":
            start, count = self._length(self._offset(place), BLOCK)
            return self.data[start : start + count * BLOCK]
        if what in TABLES:
            return self._table(what, self._offset(place))
        return self._number(what, place) if place else 0

    def _number(self, what: str, place: int) -> Any:
        kind = np.dtype(what).newbyteorder("<")
        self._spend(place, kind.itemsize)
        return np.frombuffer(self.data, kind, 1, place)[0].item()

    def _length(self, place: int, size: int) -> tuple:
        self._spend(place, 4)
        count = struct.unpack_from("<I", self.data, place)[0]
        self._spend(place + 4, count * size)
        return place + 4, count

    def _text(self, place: int) -> str:
        start, count = self._length(place, 1)
        return self.data[start : start + count].decode("utf-8")

    def _vector(self, what: str, place: int) -> Any:
        if what in TABLES or what == "text":
            start, count = self._length(place, 4)
            items = [self._offset(start + 4 * i) for i in range(count)]
            return [self._text(item) if what == "text" else self._table(what, item) for item in items]
        kind = np.dtype(what).newbyteorder("<")
        start, count = self._length(place, kind.itemsize)
        return np.frombuffer(self.data, kind, count, start).tolist()


__all__ = ["Damaged", "Reader"]
