"""Which ONNX operator runs in which kernel, and within what limits: the table of docs/operators.md.

python -m esp_tvm.operator_table docs/operators.md
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import List, Sequence, Tuple

import onnx.defs

from .convert.lower import NEWEST_OPSET
from .model import MAX_OPSET
from .project.chips import CHIPS


@dataclass(frozen=True)
class Row:
    """An ONNX operator: the kernels that compute it (keys of `operators.OPERATORS`) and what they ask for.

    since: the opset that brought it, where that is one which is lowered (convert/lower.py)
    """

    operator: str
    kernels: Tuple[str, ...]
    limits: str = ""
    since: int = 0


_TABLE = "any function of one tensor, value by value, is one table; also x * sigmoid(x), gelu, ... spelled out"
_CONSTANT = "parameters constant"
_BROADCAST = "any broadcasting; one operand may be constant; with a single constant number it becomes a table"
_REDUCE = "any constant axes whose sum fits 32 bits"


def _rows(text: str, kernels: Sequence[str], limits: str = "") -> List[Row]:
    return [Row(operator, tuple(kernels), limits) for operator in text.split()]


ROWS: List[Row] = sorted(
    [
        *_rows(
            "Abs Atan Ceil Cos Elu Erf Exp Floor HardSigmoid HardSwish LeakyRelu Log Neg Pow Reciprocal Round Selu "
            "Sigmoid Sign Sin Softplus Softsign Sqrt Tanh ThresholdedRelu",
            ["lookup"],
            _TABLE,
        ),
        *_rows("Relu Clip", ["requantize"], "bounds constant; fused into the kernel before it where there is one"),
        *_rows("Add Sum", ["add", "add_broadcast", "channelwise", "lookup"], _BROADCAST),
        *_rows("Sub", ["sub", "sub_broadcast", "channelwise", "lookup"], _BROADCAST),
        *_rows("Mul", ["mul", "mul_broadcast", "channelwise", "lookup"], _BROADCAST),
        *_rows("Div", ["div", "lookup"], _BROADCAST),
        *_rows("Max", ["maximum", "lookup"], _BROADCAST),
        *_rows("Min", ["minimum", "lookup"], _BROADCAST),
        *_rows("PRelu", ["prelu", "lookup"], "slope constant"),
        *_rows(
            "Equal Greater GreaterOrEqual Less LessOrEqual", ["compare"], "of two int8 tensors, or one and a constant"
        ),
        *_rows("ArgMax ArgMin", ["argmax"], "behind a softmax: in float"),
        *_rows("Conv", ["conv2d", "depthwise_conv2d"], "1-D and 2-D, weights constant; 3-D: in float"),
        *_rows("ConvTranspose", ["conv_transpose2d"], "1-D and 2-D, weights constant; 3-D: in float"),
        *_rows("Gemm", ["dense", "matmul"], "constant weights without transA, or two activations"),
        *_rows("MatMul", ["dense", "matmul"], "constant weights, or two activations"),
        *_rows("BatchNormalization", ["channelwise"], "not in training mode; folded into a convolution before it"),
        *_rows("LayerNormalization InstanceNormalization LpNormalization", ["normalize"], _CONSTANT),
        *_rows("GRU", ["gru", "gather", "concat"], "weights constant, usual activations; each direction a kernel"),
        *_rows("LSTM", ["lstm", "gather", "concat"], "weights constant, usual activations; each direction a kernel"),
        *_rows("Softmax", ["softmax"], "at the end of the graph its output is float"),
        *_rows("LogSoftmax", ["log_softmax"]),
        *_rows("MaxPool", ["max_pool2d"], "1-D and 2-D, without indices; 3-D: in float"),
        *_rows("AveragePool", ["average_pool2d"], "1-D and 2-D; 3-D: in float"),
        *_rows("GlobalAveragePool", ["average_pool2d", "reduce_mean"]),
        *_rows("GlobalMaxPool", ["max_pool2d", "reduce_max"]),
        Row("ReduceMean", ("reduce_mean", "average_pool2d"), _REDUCE),
        Row("ReduceSum", ("reduce_sum",), _REDUCE),
        Row("ReduceL1", ("reduce_l1",), _REDUCE),
        Row("ReduceL2", ("reduce_l2",), _REDUCE),
        Row("ReduceSumSquare", ("reduce_sum_square",), _REDUCE),
        Row("ReduceMax", ("reduce_max",), "any constant axes"),
        Row("ReduceMin", ("reduce_min",), "any constant axes"),
        *_rows("Concat", ["concat"], "any number; inputs of another exponent are requantized"),
        *_rows("Split Slice", ["strided_slice"], _CONSTANT),
        *_rows(
            "Pad", ["pad"], "constant, edge and reflect; at most 6 axes; zeros before a convolution are its padding"
        ),
        *_rows(
            "Cast",
            ["requantize", "lookup"],
            "of float to float: no code; of uint8, int8, bool to float; others: in float",
        ),
        *_rows("Flatten Identity Reshape Squeeze Unsqueeze", ["reshape"], "no code where the memory can be shared"),
        *_rows("Transpose", ["transpose"], "at most 6 axes; pairs around a layout change vanish"),
        *_rows("Gather", ["gather"], "indices constant"),
        *_rows("GatherND", ["gather_rows"], "indices constant, no batch axes"),
        *_rows("ReverseSequence", ["gather_rows"], "lengths constant"),
        *_rows("ScatterND", ["scatter_rows"], "indices constant, no reduction"),
        *_rows("Expand", ["broadcast"], "shape constant"),
        *_rows("Tile", ["tile"], "repeats constant"),
        *_rows("DepthToSpace", ["depth_to_space"], "DCR and CRD"),
        *_rows("SpaceToDepth", ["space_to_depth"]),
        *_rows(
            "Resize Upsample",
            ["resize_nearest", "resize_linear"],
            "1-D and 2-D, nearest and linear; scales that give whole sizes; cubic: in float",
        ),
        Row("Gelu", ("lookup",), _TABLE, since=20),
        Row("Mish", ("lookup",), _TABLE, since=18),
        Row("Swish", ("lookup",), _TABLE, since=24),
        Row("RMSNormalization", ("normalize",), _CONSTANT, since=23),
        Row("GroupNormalization", ("normalize", "channelwise", "reshape"), _CONSTANT, since=18),
    ],
    key=lambda row: row.operator,
)


def opsets(row: Row) -> str:
    """The opsets in which a model may have the operator."""
    if row.since:
        return f"{row.since}-{NEWEST_OPSET}"
    operator = row.operator
    versions = [
        s.since_version for s in onnx.defs.get_all_schemas_with_history() if s.name == operator and not s.domain
    ]
    deprecated = [s for s in onnx.defs.get_all_schemas_with_history() if s.name == operator and s.deprecated]
    last = min([s.since_version - 1 for s in deprecated], default=MAX_OPSET)
    return f"{min(versions)}-{last}"


def imported() -> List[str]:
    """All ONNX operators that TVM imports."""
    from .compile.importing.importer_fixes import fix_importer, frontend

    fix_importer()
    names = {schema.name for schema in onnx.defs.get_all_schemas() if schema.domain in ("", "ai.onnx")}
    return sorted(names & set(frontend._get_convert_map(MAX_OPSET)))


def markdown() -> str:
    """The text of docs/operators.md."""
    chips = ", ".join(CHIPS)
    known = {row.operator for row in ROWS}
    rest = [name for name in imported() if name not in known]
    lines = [
        "# Operators",
        "",
        "Written by `python -m esp_tvm.operator_table` (tests check that it is up to date).",
        "",
        f"The table holds for every target ({chips}): kernels in plain C, some of them",
        "for the vector unit on the ESP32-S3 ([esp32-s3.md](esp32-s3.md)), with the same bytes everywhere; the rules",
        "they follow to the last bit are in [arithmetic.md](arithmetic.md). Models below opset 13 are converted to 13",
        "when they are read, those above 17 to 17.",
        "What does not keep to a limit runs in float, and the export says so and why.",
        "Conv, Gemm and MatMul with constant weights, Add of two activations, 2-D pooling, Relu and Clip, Reshape and",
        "Transpose also take and make int16 (`..._s16`, see [quantization.md](quantization.md#mixed-precision)).",
        "",
        "| operator | opset | kernel | limits |",
        "| --- | --- | --- | --- |",
    ]
    for row in ROWS:
        lines.append(f"| {row.operator} | {opsets(row)} | {', '.join(row.kernels)} | {row.limits} |")
    lines += [
        "",
        "## Without a kernel",
        "",
        "These run in float32 through TVM's generated C, between a dequantize and a quantize; neighbours share one",
        "such island. The export names each with its nodes, its cost and the reason. What needs TVM's runtime library",
        "there (sorting and the like), is random or has a body of its own (control flow) is refused with a reason.",
        "",
        ", ".join(rest) + ".",
    ]
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str]) -> int:
    """Write the table to the path given, or to standard output."""
    if arguments:
        Path(arguments[0]).write_text(markdown(), encoding="utf-8")
    else:
        print(markdown(), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
