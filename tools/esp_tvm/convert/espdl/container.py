"""What lies around ESP-DL's models: a header that says how one is stored, or a pack of several with their names."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import List, Optional, Tuple

from ...errors import UserError, did_you_mean
from ...naming import one_line, shown

# Of one model: how long its header is. Behind the magic: 1 when it is encrypted (uint32), bytes of the model (uint32).
_HEADERS = {b"EDL1": 12, b"EDL2": 16}
# Of a pack: where its number of models stands. Behind it (offset, offset of the name, length of the name) of each.
_PACKS = {b"PDL1": 4, b"PDL2": 4, b"PDL3": 56}
_EXPORT_AGAIN = "export it again with esp-ppq's espdl_quantize_onnx"


def model_in(data: bytes, path: Path, wanted: Optional[str] = None) -> bytes:
    """The FlatBuffers bytes of the model in a file, of a pack the one called `wanted` (or the only one).

    Raises `UserError` for a pack of several, an encrypted model, a newer format and what is no such file.
    """
    magic = data[:4]
    if magic in _PACKS:
        data, magic = _member(data, _PACKS[magic], path, wanted)
    elif wanted is not None:
        raise UserError(
            f"{path}: holds one model, and no pack in which '{shown(wanted)}' could be; leave its name away"
        )
    if magic not in _HEADERS:
        if magic[1:3] == b"DL" and magic[:1] in b"EP":
            raise UserError(
                f"{path}: is of ESP-DL's format {magic.decode('ascii', 'replace')}, newer than what is known here "
                f"({', '.join(sorted(m.decode() for m in {**_HEADERS, **_PACKS}))}); convert the ONNX model it was "
                "made of"
            )
        raise UserError(f"{path}: does not begin as a model of ESP-DL does; {_EXPORT_AGAIN}")
    start = _HEADERS[magic]
    if len(data) < start:
        raise _cut_off(path)
    encrypted, size = struct.unpack_from("<II", data, 4)
    if encrypted:
        raise UserError(f"{path}: is encrypted; {_EXPORT_AGAIN}, without encryption")
    if len(data) < start + size:
        raise _cut_off(path)
    return data[start : start + size]


def _cut_off(path: Path) -> UserError:
    return UserError(f"{path}: is cut off; copy it again, or {_EXPORT_AGAIN}")


def _member(data: bytes, place: int, path: Path, wanted: Optional[str]) -> Tuple[bytes, bytes]:
    """(a model of a pack from its header on, its magic)."""
    models: List[Tuple[str, int]] = []
    try:
        (count,) = struct.unpack_from("<I", data, place)
        if count * 12 > len(data):
            raise _cut_off(path)
        for i in range(count):
            start, name, length = struct.unpack_from("<III", data, place + 4 + 12 * i)
            if start >= len(data) or name + length > len(data):
                raise _cut_off(path)
            models.append((data[name : name + length].decode("utf-8", "replace"), start))
    except struct.error:
        raise _cut_off(path)
    names = [name for name, _ in models]
    if wanted is None and len(models) == 1:
        wanted = names[0]
    if wanted not in names:
        near = did_you_mean(wanted, names) if wanted is not None else ""
        which = f"has no model '{shown(wanted)}'{near}" if wanted is not None else f"is a pack of {len(models)} models"
        listed = one_line(", ".join(shown(name) for name in names), 300)
        raise UserError(f"{path}: {which}; name one of them: --signature NAME ({listed})")
    chosen = data[dict(models)[wanted] :]
    return chosen, chosen[:4]


__all__ = ["model_in"]
