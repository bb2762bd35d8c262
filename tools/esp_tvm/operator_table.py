"""Generates the parts of documents and build files that list operators from the table of operators.

docs/operators.md, the table of rules in docs/arithmetic.md and the list of the kernels' sources. `make operators`, or
python -m esp_tvm.operator_table, writes them.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Sequence, Tuple

import onnx.defs

from .chips import CHIPS
from .convert.lower import NEWEST_OPSET
from .model import MAX_OPSET
from .operators import OPERATORS, kernels_of
from .operators.rule import Rule


@dataclass(frozen=True)
class Row:
    """An ONNX operator: the kernels that compute it (keys of `operators.OPERATORS`) and their limits.

    since: the opset that introduced it, if models of that opset are lowered (convert/lower.py)
    """

    operator: str
    kernels: Tuple[str, ...]
    limits: str = ""
    since: int = 0


def _rows() -> List[Row]:
    """A row for every ONNX operator that an entry of the table of operators computes."""
    rules: Dict[str, List[Rule]] = {}
    for entry in OPERATORS.values():
        for rule in entry.rules:
            for name in rule.operators:
                rules.setdefault(name, []).append(rule)
    return [
        Row(name, tuple(kernels_of(name)), ", ".join(rule.limits for rule in own if rule.limits), own[0].since)
        for name, own in sorted(rules.items())
    ]


ROWS = _rows()


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
        "for the vector unit on the ESP32-S3 ([esp32-s3.md](esp32-s3.md)) or the MAC16 unit on the ESP32",
        "([esp32.md](esp32.md)), with the same bytes everywhere; the rules they follow to the last bit are in",
        "[arithmetic.md](arithmetic.md). Models below opset 13 are converted to 13 when they are read, those above 17",
        "to 17. ONNX Runtime's fused operators (FusedConv, BiasGelu, SkipLayerNormalization, Attention, ...) become",
        "the standard ones that they stand for, DFT and STFT of constant length products.",
        "What does not keep to a limit runs in float, and the export says so and why.",
        "Conv, Gemm and MatMul with constant weights, Add and Mul of two activations, 2-D pooling, Relu and Clip, RNN,",
        "GRU and LSTM (their states too), functions of one tensor (Sigmoid, Tanh, HardSwish, Gelu, ...), Reshape,",
        "Transpose, Concat, Split, Slice, Tile, Expand, DepthToSpace and SpaceToDepth also take and make int16",
        "(`..._s16`, see [quantization.md](quantization.md#mixed-precision)).",
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


def formulas() -> str:
    """The table of docs/arithmetic.md: the rule of every kernel, kernels with the same rule share a line."""
    kernels: Dict[str, List[str]] = {}
    for entry in OPERATORS.values():
        if not entry.name.endswith("_s16"):
            kernels.setdefault(entry.formula, []).append(entry.name)
    lines = ["| kernel | rule |", "| --- | --- |"]
    lines += [f"| {', '.join(names)} | {formula} |" for formula, names in kernels.items()]
    return "\n".join(lines) + "\n"


_BEGIN, _END = "<!-- rules: written by make operators -->\n", "<!-- end of rules -->\n"


def with_formulas(text: str) -> str:
    """docs/arithmetic.md with the table between its marks generated again."""
    head, rest = text.split(_BEGIN)
    return head + _BEGIN + formulas() + _END + rest.split(_END)[1]


def with_sources(text: str, component: Path) -> str:
    """The kernels' CMakeLists.txt with the list of the C files that the folder `component` has."""
    head, rest = text.split("set(sources\n", 1)
    names = sorted(path.relative_to(component).as_posix() for path in (component / "src").rglob("*.c"))
    return head + "set(sources\n" + "".join(f"    {name}\n" for name in names) + ")\n" + rest.split(")\n", 1)[1]


def written(repo: Path) -> Dict[Path, str]:
    """The files of the repository that are generated from the operators, completely or in part: path -> text."""
    component = repo / "template_project_for_model" / "components" / "esp-dl"
    arithmetic, sources = repo / "docs" / "arithmetic.md", component / "CMakeLists.txt"
    return {
        repo / "docs" / "operators.md": markdown(),
        arithmetic: with_formulas(arithmetic.read_text(encoding="utf-8")),
        sources: with_sources(sources.read_text(encoding="utf-8"), component),
    }


def main(arguments: Sequence[str]) -> int:
    """Write the generated texts into this repository, or into the one given as an argument."""
    repo = Path(arguments[0]) if arguments else Path(__file__).resolve().parents[2]
    for path, text in written(repo).items():
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
