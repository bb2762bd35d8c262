"""An ESP-DL network as standard ONNX: what its integers stand for, quantized as in the file or in float.

ESP-DL computes images channels last. Convolutions, pools and the like come out channels first, as ONNX has them; what
lies between follows, and a Transpose stands only where the two meet: at the ends, and where the file itself changes the
order. Inputs and outputs keep their names and shapes.
"""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import helper

from ...errors import UserError
from ...naming import shown
from .graph_writer import OPSETS, GraphWriter
from .network import Network, Node
from .node_writers import WRITERS

_REFUSED = {
    "LUT": "it is a table of a function that the file does not name",
    "GRU": "its gates have tables and exponents of ESP-DL's own",
    "LSTM": "its gates have tables and exponents of ESP-DL's own",
    "ConvTranspose": "the order of its weights in the file is not known here",
}


def to_onnx(network: Network, path: Path, as_float: bool, opset: int) -> onnx.ModelProto:
    """The network in ONNX, float32 inputs and outputs.

    as_float: without quantizers; opset: at least, more where an operator needs it. Raises `UserError` that names what
    cannot be said in ONNX.
    """
    return _Writer(network, path, as_float, opset).write()


class _Writer(GraphWriter):
    """Writes all nodes of a network."""

    def write(self) -> onnx.ModelProto:
        for name in self.network.inputs:
            self.forms[name] = {False: self.quantized(name, name, f"{name}_dequantized")}
        for node in self.network.nodes:
            self._node(node)
        for name in self.network.outputs:
            if name not in self.forms:
                raise UserError(f"{self.path}: no node makes the output '{shown(name)}'; export the model again")
            stored = self.form(name, False)
            if stored != name:
                self.add("Identity", [stored], [name])
        self.graph.remove_unused()
        self.graph.write()
        del self.model.opset_import[:]
        self.model.opset_import.append(helper.make_opsetid("", self.opset))
        self.model.ir_version = 8 if self.opset <= 17 else 10
        return self.model

    def _node(self, node: Node) -> None:
        self._check(node)
        how = WRITERS.get(node.op_type)
        if how is None:
            why = _REFUSED.get(node.op_type, "this operator of ESP-DL is not known here")
            raise self.refusal(node, f"{why}; convert the ONNX model that the file was made of")
        self.opset = max(self.opset, OPSETS.get(node.op_type, 0))
        how(self, node)

    def _check(self, node: Node) -> None:
        """16 bits, which kernels here do not have in this form; what is made twice; how a Relu is fused."""
        for name in [*node.inputs, *node.outputs]:
            known = self.network.tensors.get(name)
            constant = self.network.constants.get(name)
            kind = known.dtype if known is not None else constant.values.dtype.name if constant is not None else ""
            if kind == "int16" and not self.as_float:
                raise self.refusal(
                    node,
                    f"'{shown(name)}' is int16; int16 weights and tables have no kernel here: take the float model "
                    "(--float) and quantize it anew (docs/quantization.md, mixed precision)",
                )
        for name in node.outputs:
            if name in self.forms or name in self.network.constants:
                raise self.refusal(node, f"it makes tensor '{shown(name)}', which is there already: damaged")
        activation = node.attributes.get("activation", "Linear")
        if activation not in ("Linear", "Relu"):
            raise self.refusal(node, f"the activation '{shown(str(activation))}' in it is not known here")


__all__ = ["to_onnx"]
