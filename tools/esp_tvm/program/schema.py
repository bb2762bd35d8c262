"""The types of metadata.json, which describes a project. docs/metadata.md describes them in words.

The file is data of unknown origin: every field is checked for type and range before it is used.
"""

from __future__ import annotations

from typing import Dict, List, Literal, Optional, Union

from pydantic import Field
from typing_extensions import Annotated

from ..record import Record

# Increases with every change of the content of metadata.json or reference.npz; another version is refused.
VERSION = 9
# The files of a program, in one folder (store.py).
METADATA, CONSTANTS, REFERENCE = "metadata.json", "constants.bin", "reference.npz"
# No tensor, and no file, of a model that fits a chip is larger; what is was not written by this tool.
MOST_BYTES = 1 << 30

Name = Annotated[str, Field(max_length=100_000)]
Identifier = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=1000)]
Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0, lt=2**48)]
Bytes = Annotated[int, Field(ge=0, lt=2**30)]
Id = Annotated[int, Field(ge=0, lt=2**31)]
Microseconds = Annotated[float, Field(ge=0, lt=2**48, allow_inf_nan=False)]
Exponent = Annotated[int, Field(ge=-1100, le=1100)]
Shape = Annotated[List[Annotated[int, Field(ge=0, lt=2**31)]], Field(max_length=32)]
Fraction = Annotated[str, Field(max_length=100)]
Channels = Field(min_length=1, max_length=2**16)
DType = Literal[
    "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float16", "float32", "float64", "bool"
]


class PlaceRecord(Record):
    """`Place`"""

    kind: Literal["arena", "psram_arena", "input", "output", "constant", "window"]
    offset: Bytes
    index: Id
    rows: Count
    kept: bool
    memory: Literal["", "internal", "psram", "flash"]


class TensorRecord(Record):
    """`Tensor`; id: its name in calls; source: id of the tensor whose bytes these are"""

    id: Id
    name: Name
    dtype: DType
    shape: Shape
    exponent: Optional[Exponent]
    source: Optional[Id]
    place: Optional[PlaceRecord]
    order: Annotated[List[Id], Field(max_length=2**16)]


class PixelsRecord(Record):
    """`Pixels`; numbers as text, so that they stay exact: 0.485, 1/255"""

    scale: Fraction
    mean: Annotated[List[Fraction], Channels]
    std: Annotated[List[Fraction], Channels]
    axis: Annotated[int, Field(ge=0, lt=32)]


class PortRecord(TensorRecord):
    """`Port`"""

    c_name: Identifier
    inside: Optional[DType]
    zero_point: Annotated[int, Field(ge=-128, le=128)]
    onnx_dtype: DType
    onnx_shape: Shape
    axes: Annotated[List[Annotated[int, Field(ge=0, lt=32)]], Field(max_length=32)]
    pixels: Optional[PixelsRecord]
    alignment: Literal[1, 16]


class StateRecord(Record):
    """`State`: places in the lists of inputs and of outputs"""

    input: Id
    output: Id


class ArrayRecord(Record):
    """An attribute that is an array: its name in reference.npz"""

    array: Name


Scalar = Union[bool, int, float, str, None]
Attribute = Union[ArrayRecord, Scalar, List[Union[ArrayRecord, Scalar, List[Union[ArrayRecord, Scalar]]]]]


class ScratchRecord(Record):
    """`Scratch`"""

    bytes: Bytes
    offset: Bytes


class SplitRecord(Record):
    """`Split`"""

    axis: Literal["images", "rows", "columns", "outputs"]
    size: Count
    cut: Count
    saved: Count


class CallTimeRecord(Record):
    """`CallTime`: instructions, and microseconds"""

    instructions: Optional[Count]
    compute: Microseconds
    weights: Microseconds
    activations: Microseconds


class CallRecord(Record):
    """`Call`; inputs, outputs: ids of tensors; constants: names of arrays; constant_bytes: of all of them"""

    index: Id
    symbol: Identifier
    operator: Name
    kernel: Union[Identifier, Literal[""]]
    is_view: bool
    nodes: List[Name]
    node_indices: List[Id]
    output_node: Optional[Id]
    inputs: List[Id]
    outputs: Annotated[List[Id], Field(min_length=1)]
    attributes: Dict[str, Attribute]
    input_range: Annotated[List[int], Field(min_length=2, max_length=2)]
    followers: List[CallRecord]
    scratch: Optional[ScratchRecord]
    overlap_distance: Optional[int]
    slowest: Annotated[float, Field(ge=1, le=100)]
    split: Optional[SplitRecord]
    not_split: Name
    constants: List[Identifier]
    constant_bytes: Count
    macs: Count
    estimate: Optional[CallTimeRecord]
    reason: Name
    relay: List[Name]
    operations: Count


class LoopRecord(Record):
    """`Loop`"""

    rows: Annotated[int, Field(ge=1, lt=2**31)]
    first_leads: bool
    loop: Annotated[List[CallRecord], Field(min_length=1)]


class ConstantRecord(Record):
    """`Constant`; offset: its position in constants.bin, in bytes"""

    name: Identifier
    c_type: Name
    dtype: DType
    shape: Shape
    offset: Bytes
    comment: Name


class RefusalRecord(Record):
    """Why no kernel computes an ONNX node."""

    node: Id
    reason: Name


class FilesRecord(Record):
    """SHA-256 of the files beside metadata.json that belong to it."""

    constants: Hash
    reference: Hash


class VerificationRecord(Record):
    """The comparison with ONNX Runtime at export (esp_tvm/onnx_check.py)

    samples, tensors: how many inputs it ran on, how many tensors it compared
    step_bound, several_steps_bound, float_bound: what no difference exceeds, in steps of an integer tensor (also where
        a rule rounds several times); of a float tensor, relative to its largest value
    """

    samples: Count
    tensors: Count
    step_bound: float
    several_steps_bound: float
    float_bound: float


class ExportedRecord(Record):
    """`Exported`"""

    options: Dict[Name, Name]
    internal: Count
    psram: Count
    flash: Count
    app: Count


class ProgramRecord(Record):
    """`Program`: the whole file.

    versions: of the tools that made it; files: hashes of constants.bin and reference.npz
    """

    version: Literal[9]
    target_chip: Name
    model_hash: Hash
    versions: Dict[str, Name]
    board: Name
    exported: Optional[ExportedRecord]
    kernels_for: Optional[Name]
    cores: Annotated[int, Field(ge=1, le=2)]
    arena_bytes: Bytes
    psram_arena_bytes: Bytes
    arena_limit: Optional[Count]
    constant_bytes: Count
    fallback_constant_bytes: Count
    macs: Count
    files: FilesRecord
    inputs: List[PortRecord]
    outputs: List[PortRecord]
    states: List[StateRecord]
    nodes: List[Name]
    refusals: List[RefusalRecord]
    tensors: List[TensorRecord]
    constants: List[ConstantRecord]
    items: List[Union[CallRecord, LoopRecord]]
    verification: Optional[VerificationRecord]


CallRecord.model_rebuild()
