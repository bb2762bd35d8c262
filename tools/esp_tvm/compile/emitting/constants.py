"""The constant data of a model as one file, constants.bin, for projects that keep it in a data partition.

The file, little-endian: a header of 32 bytes, then every array at its offset, aligned to 16. The program refuses a file
that is damaged or was not made for it; template_project_for_model/components/tvm_model/src/tvm_model.c reads it.

    offset  0  "TVMCONST"
            8  u32 version of this format, 1
           12  u32 layout: CRC-32 of the generated code and of the offsets of the arrays
           16  u32 bytes after the header
           20  u32 CRC-32 of those bytes
           24  the first 64 bits of the SHA-256 of the quantized model
"""

from __future__ import annotations

import struct
import zlib
from typing import List, Sequence

import numpy as np

from ...program import Constant

MAGIC = b"TVMCONST"
VERSION = 1
ALIGNMENT = 16
_HEADER = struct.Struct("<8sIIII8s")
# The C names of the variable that points to the data, and of the macro that is defined if it is used.
BASE = "tvmgen_default_constants"
MAPPED = "TVMGEN_DEFAULT_CONSTANTS_MAPPED"


def offsets(constants: Sequence[Constant]) -> List[int]:
    """Where each array starts, in bytes from the end of the header."""
    places, end = [], 0
    for constant in constants:
        places.append(end)
        end += -(-constant.array.nbytes // ALIGNMENT) * ALIGNMENT
    return places


def constants_offsets(constants: Sequence[Constant]) -> List[int]:
    """Where each array starts in constants.bin."""
    return [_HEADER.size + offset for offset in offsets(constants)]


def data_bytes(constants: Sequence[Constant]) -> bytes:
    """All arrays at their offsets: the content after the header."""
    blob = bytearray()
    for constant, offset in zip(constants, offsets(constants)):
        blob += bytes(offset - len(blob))
        array = np.ascontiguousarray(constant.array)
        blob += array.astype(array.dtype.newbyteorder("<")).tobytes()
    return bytes(blob)


def layout(constants: Sequence[Constant], code: str) -> int:
    """A number that changes whenever the program expects another layout of the file; code: its generated C."""
    places = "".join(
        f"{c.name} {c.c_type} {c.array.size} {offset}\n" for c, offset in zip(constants, offsets(constants))
    )
    return zlib.crc32((places + code).encode())


def constants_file(data: bytes, layout_number: int, model_hash: str) -> bytes:
    """The content of constants.bin. data: from `data_bytes`; model_hash: SHA-256 in hexadecimal digits"""
    header = _HEADER.pack(MAGIC, VERSION, layout_number, len(data), zlib.crc32(data), bytes.fromhex(model_hash[:16]))
    return header + data


def declarations(constants: Sequence[Constant]) -> str:
    """C for default_lib1.c: the arrays of default_lib0.c, or their places in the mapped file under the same names."""
    if not constants:
        return ""
    places = zip(constants, offsets(constants))
    return "\n".join(
        [
            "/* Constant data: in default_lib0.c, or in constants.bin where that is mapped (see crt_config.h). */",
            f"#ifndef {MAPPED}",
            "#define TVMGEN_DEFAULT_STATIC static",
            *[f"extern const {c.c_type} {c.name}[{c.array.size}];" for c in constants],
            "#else",
            "#define TVMGEN_DEFAULT_STATIC",
            f"extern const uint8_t *{BASE};",
            *[f"#define {c.name} ((const {c.c_type} *)({BASE} + {offset}))" for c, offset in places],
            "#endif",
            "",
        ]
    )
