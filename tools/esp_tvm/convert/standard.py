"""skl2onnx's operators for tables (domain ai.onnx.ml) as standard ONNX: scalers, linear models, normalization.

Formulas: the operators' text in ONNX's ai.onnx.ml reference. Trees, kernels and everything else of that domain have
no equal in operators that a chip computes here, and are refused by name.
"""

from __future__ import annotations

from typing import Dict, List

import numpy as np
import onnx
from onnx import helper, numpy_helper

from ..errors import UserError
from ..naming import shown

_NORMS = {"L1": "ReduceL1", "L2": "ReduceL2", "MAX": "ReduceMax"}


def drop_labels(model: onnx.ModelProto) -> None:
    """Leave out outputs that are not floats (the label of a classifier) and what only they need, in place."""
    graph = model.graph
    if len(graph.output) > 1:
        floats = [v for v in graph.output if v.type.tensor_type.elem_type == onnx.TensorProto.FLOAT]
        del graph.output[:]
        graph.output.extend(floats)
    needed = {value.name for value in graph.output}
    kept: List[onnx.NodeProto] = []
    for node in reversed(graph.node):
        if needed & set(node.output):
            kept.append(node)
            needed.update(node.input)
    del graph.node[:]
    graph.node.extend(reversed(kept))


def standardize(model: onnx.ModelProto, path) -> None:
    """Replace all nodes of ai.onnx.ml in place; `UserError` names the first one that can't be."""
    drop_labels(model)
    graph = model.graph
    rewriting = _Rewriting(graph, path)
    nodes: List[onnx.NodeProto] = []
    for node in graph.node:
        nodes.extend(rewriting.rewrite(node) if node.domain == "ai.onnx.ml" else [node])
    del graph.node[:]
    graph.node.extend(nodes)
    del graph.value_info[:]
    versions = [entry for entry in model.opset_import if entry.domain != "ai.onnx.ml"]
    del model.opset_import[:]
    model.opset_import.extend(versions)


class _Rewriting:
    def __init__(self, graph: onnx.GraphProto, path):
        self.graph, self.path, self.count = graph, path, 0
        self.taken = {name for node in graph.node for name in [*node.input, *node.output]}
        self.makers = {output: node for node in graph.node for output in node.output}

    def name(self, base: str) -> str:
        while True:
            self.count += 1
            name = f"{base}_{self.count}"
            if name not in self.taken:
                self.taken.add(name)
                return name

    def constant(self, base: str, value) -> str:
        name = self.name(base)
        self.graph.initializer.append(numpy_helper.from_array(np.asarray(value, np.float32), name))
        return name

    def rewrite(self, node: onnx.NodeProto) -> List[onnx.NodeProto]:
        rules = {
            "ArrayFeatureExtractor": self.feature_extractor,
            "LinearClassifier": self.linear_classifier,
            "LinearRegressor": self.linear_regressor,
            "Normalizer": self.normalizer,
            "Scaler": self.scaler,
        }
        if node.op_type not in rules:
            kind = (
                "decision trees" if node.op_type.startswith("TreeEnsemble") else f"its operator {shown(node.op_type)}"
            )
            raise UserError(
                f"{self.path}: {kind} cannot be computed by int8 kernels; linear models, MLPs, scalers and PCA can"
            )
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        return rules[node.op_type](node, attributes)

    def scaler(self, node: onnx.NodeProto, attributes: Dict) -> List[onnx.NodeProto]:
        """(x - offset) * scale."""
        centred = self.name("centred")
        offset, scale = self.constant("offset", attributes["offset"]), self.constant("scale", attributes["scale"])
        return [
            helper.make_node("Sub", [node.input[0], offset], [centred], self.name("offset")),
            helper.make_node("Mul", [centred, scale], [node.output[0]], self.name("scale")),
        ]

    def linear(self, x: str, output: str, coefficients, intercepts, rows: int) -> onnx.NodeProto:
        weights = self.constant("weights", np.reshape(coefficients, (rows, -1)))
        inputs = [x, weights]
        if intercepts is not None and len(intercepts):
            inputs.append(self.constant("bias", np.resize(intercepts, rows)))
        return helper.make_node("Gemm", inputs, [output], self.name("linear"), transB=1)

    def linear_regressor(self, node: onnx.NodeProto, attributes: Dict) -> List[onnx.NodeProto]:
        self.no_transform(node, attributes, (b"NONE",))
        rows = int(attributes.get("targets", 1))
        coefficients = attributes["coefficients"]
        return [self.linear(node.input[0], node.output[0], coefficients, attributes.get("intercepts"), rows)]

    def linear_classifier(self, node: onnx.NodeProto, attributes: Dict) -> List[onnx.NodeProto]:
        """The second output, the scores; the label is left out."""
        transform = self.no_transform(node, attributes, (b"NONE", b"SOFTMAX", b"LOGISTIC"))
        labels = attributes.get("classlabels_ints") or attributes.get("classlabels_strings") or ()
        intercepts = attributes.get("intercepts")
        rows = len(intercepts) if intercepts else len(labels)
        if rows != len(labels):
            raise UserError(f"{self.path}: its classifier has {len(labels)} classes but {rows} rows of coefficients")
        output = node.output[1]
        after = {b"SOFTMAX": "Softmax", b"LOGISTIC": "Sigmoid"}.get(transform)
        scores = self.name("scores") if after else output
        nodes = [self.linear(node.input[0], scores, attributes["coefficients"], intercepts, rows)]
        if after:
            options = {"axis": -1} if after == "Softmax" else {}
            nodes.append(helper.make_node(after, [scores], [output], self.name(after.lower()), **options))
        return nodes

    def no_transform(self, node: onnx.NodeProto, attributes: Dict, known) -> bytes:
        transform = attributes.get("post_transform", b"NONE")
        if transform not in known:
            raise UserError(f"{self.path}: {node.op_type} ends in {transform.decode()}, for which there is no kernel")
        return transform

    def normalizer(self, node: onnx.NodeProto, attributes: Dict) -> List[onnx.NodeProto]:
        """x / |x|, by the norm over the last axis."""
        x, y = node.input[0], node.output[0]
        norm = attributes.get("norm", b"MAX").decode()
        maker = self.makers.get(x)
        softmax = maker is not None and any(
            a.name == "post_transform" and helper.get_attribute_value(a) == b"SOFTMAX" for a in maker.attribute
        )
        if norm == "L1" and softmax:
            # A softmax sums to 1 already.
            return [helper.make_node("Identity", [x], [y], self.name("normalized"))]
        nodes, measured = [], x
        if norm == "MAX":
            measured = self.name("magnitude")
            nodes.append(helper.make_node("Abs", [x], [measured], self.name("abs")))
        length = self.name("norm")
        nodes.append(helper.make_node(_NORMS[norm], [measured], [length], self.name("norm"), axes=[-1], keepdims=1))
        # A row of zeros stays zero, as in scikit-learn.
        divisor = self.name("divisor")
        nodes.append(helper.make_node("Max", [length, self.constant("tiny", 1e-30)], [divisor], self.name("not_zero")))
        return [*nodes, helper.make_node("Div", [x, divisor], [y], self.name("normalized"))]

    def feature_extractor(self, node: onnx.NodeProto, attributes: Dict) -> List[onnx.NodeProto]:
        """Some columns of x, by constant indices."""
        for tensor in self.graph.initializer:
            if tensor.name == node.input[1]:
                name = self.name("columns")
                columns = numpy_helper.to_array(tensor).astype(np.int64).ravel()
                self.graph.initializer.append(numpy_helper.from_array(columns, name))
                return [helper.make_node("Gather", [node.input[0], name], [node.output[0]], self.name("pick"), axis=-1)]
        raise UserError(f"{self.path}: it picks columns that are computed, for which there is no kernel")
