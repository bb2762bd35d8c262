"""The tables of an ESP-DL model file, as FlatBuffers has them: the fields of each in the order of their numbers.

A field's type is a number's (NumPy's name), "text", "bytes" (a vector of 16-byte blocks, padded with zeros), the name
of a table, or a vector of any of these: [type]. "float struct" and "int64 struct" lie within the table itself. None is
a field that nothing here reads.
"""

from __future__ import annotations

from typing import Dict, Tuple

Fields = Tuple[Tuple[str, object], ...]

TABLES: Dict[str, Fields] = {
    "Model": (
        ("ir_version", "int32"),
        ("opset_import", ["OperatorSet"]),
        ("producer_name", "text"),
        ("producer_version", "text"),
        ("domain", "text"),
        ("model_version", "int64"),
        ("doc_string", "text"),
        ("graph", "Graph"),
        ("metadata_props", ["Entry"]),
        ("functions", None),
    ),
    "OperatorSet": (("domain", "text"), ("version", "int64")),
    "Entry": (("key", "text"), ("value", "text")),
    "Graph": (
        ("node", ["Node"]),
        ("name", "text"),
        ("initializer", ["Tensor"]),
        ("doc_string", "text"),
        ("input", ["ValueInfo"]),
        ("output", ["ValueInfo"]),
        ("value_info", ["ValueInfo"]),
        ("quantization_annotation", None),
        ("test_inputs_value", ["Tensor"]),
        ("test_outputs_value", ["Tensor"]),
    ),
    "Node": (
        ("input", ["text"]),
        ("output", ["text"]),
        ("name", "text"),
        ("op_type", "text"),
        ("domain", "text"),
        ("attribute", ["Attribute"]),
        ("doc_string", "text"),
    ),
    "Attribute": (
        ("name", "text"),
        ("ref_attr_name", "text"),
        ("doc_string", "text"),
        ("attr_type", "int32"),
        ("f", "float struct"),
        ("i", "int64 struct"),
        ("s", ["uint8"]),
        ("t", "Tensor"),
        ("g", None),
        ("tp", None),
        ("floats", ["float32"]),
        ("ints", ["int64"]),
        ("strings", ["text"]),
        ("tensors", None),
        ("graphs", None),
        ("type_protos", None),
    ),
    "Tensor": (
        ("dims", ["int64"]),
        ("data_type", "int32"),
        ("float_data", ["float32"]),
        ("int32_data", ["int32"]),
        ("string_data", None),
        ("int64_data", ["int64"]),
        ("name", "text"),
        ("doc_string", "text"),
        ("raw_data", "bytes"),
        ("external_data", ["Entry"]),
        ("data_location", "int32"),
        ("double_data", ["float64"]),
        ("uint64_data", ["uint64"]),
        ("exponents", ["int64"]),
    ),
    "ValueInfo": (
        ("name", "text"),
        # A union takes two fields: which of its tables it is (1: that of a tensor), and the table.
        ("value_info_type", "TypeInfo"),
        ("doc_string", "text"),
        ("exponents", ["int64"]),
    ),
    "TypeInfo": (("value_type", "uint8"), ("value", "TensorType"), ("denotation", "text")),
    "TensorType": (("elem_type", "int32"), ("shape", "Shape")),
    "Shape": (("dim", ["Dimension"]),),
    "Dimension": (("value", "DimensionValue"), ("denotation", "text")),
    "DimensionValue": (("dim_type", "int8"), ("dim_value", "int64"), ("dim_param", "text")),
}

# Of the union in TypeInfo.
TENSOR_TYPE = 1
# Kinds of attributes: where their value lies.
ATTRIBUTE_FIELDS = {1: "f", 2: "i", 3: "s", 4: "t", 6: "floats", 7: "ints", 8: "strings"}
# Element types, numbered as in ONNX.
ELEMENTS = {
    1: "float32",
    2: "uint8",
    3: "int8",
    4: "uint16",
    5: "int16",
    6: "int32",
    7: "int64",
    9: "bool",
    11: "float64",
    12: "uint32",
    13: "uint64",
}
BLOCK = 16

__all__ = ["ATTRIBUTE_FIELDS", "BLOCK", "ELEMENTS", "TABLES", "TENSOR_TYPE"]
