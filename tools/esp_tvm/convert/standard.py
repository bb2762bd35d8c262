"""skl2onnx's operators for tables (domain ai.onnx.ml) as standard ONNX: scalers, linear models, normalization.

The formulas are from ONNX's ai.onnx.ml reference. Trees, kernels and everything else in that domain have no equivalent
among the supported operators, and are refused by name.
"""

from __future__ import annotations

from typing import Dict, List

import numpy as np
import onnx

from ..errors import UserError
from ..naming import shown
from ..onnx_graph import Chain, Graph, attribute, attributes, copied_node, edited, keep_opsets

_NORMS = {"L1": "ReduceL1", "L2": "ReduceL2", "MAX": "ReduceMax"}


def drop_labels(model: onnx.ModelProto) -> None:
    """Remove outputs that are not floats (the label of a classifier) and the nodes that only they need, in place."""
    outputs = model.graph.output
    if len(outputs) > 1:
        floats = [value for value in outputs if value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT]
        del outputs[:]
        outputs.extend(floats)
    with edited(model) as graph:
        graph.remove_unused()


def standardize(model: onnx.ModelProto, path) -> None:
    """Replace all nodes of ai.onnx.ml in place; a `UserError` names the first one that cannot be replaced."""
    drop_labels(model)
    with edited(model) as graph:
        rewriting = _Rewriting(graph, path)
        for node in graph.nodes:
            if node.domain == "ai.onnx.ml":
                graph.replace(node, *rewriting.rewrite(node))
    del model.graph.value_info[:]
    keep_opsets(model, [entry.domain for entry in model.opset_import if entry.domain != "ai.onnx.ml"])


class _Rewriting:
    def __init__(self, graph: Graph, path):
        self.graph, self.path = graph, path

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
        return rules[node.op_type](node, attributes(node))

    def scaler(self, node: onnx.NodeProto, given: Dict) -> List[onnx.NodeProto]:
        """(x - offset) * scale."""
        chain = Chain(self.graph, node)
        centred = chain.add("Sub", node.input[0], chain.constant(given["offset"]))
        return chain.end("Mul", centred, chain.constant(given["scale"]))

    def linear(self, chain: Chain, coefficients, intercepts, rows: int) -> List[str]:
        """What a Gemm (transB) of x takes."""
        inputs = [chain.node.input[0], chain.constant(np.reshape(coefficients, (rows, -1)))]
        if intercepts is not None and len(intercepts):
            inputs.append(chain.constant(np.resize(intercepts, rows)))
        return inputs

    def linear_regressor(self, node: onnx.NodeProto, given: Dict) -> List[onnx.NodeProto]:
        self.transform_of(node, given, (b"NONE",))
        chain, rows = Chain(self.graph, node), int(given.get("targets", 1))
        return chain.end("Gemm", *self.linear(chain, given["coefficients"], given.get("intercepts"), rows), transB=1)

    def linear_classifier(self, node: onnx.NodeProto, given: Dict) -> List[onnx.NodeProto]:
        """The second output, the scores; the label is removed."""
        transform = self.transform_of(node, given, (b"NONE", b"SOFTMAX", b"LOGISTIC"))
        labels = given.get("classlabels_ints") or given.get("classlabels_strings") or ()
        intercepts = given.get("intercepts")
        rows = len(intercepts) if intercepts else len(labels)
        if rows != len(labels):
            raise UserError(f"{self.path}: its classifier has {len(labels)} classes but {rows} rows of coefficients")
        scores = copied_node(node)
        scores.output[:] = node.output[1:2]
        chain = Chain(self.graph, scores)
        inputs = self.linear(chain, given["coefficients"], intercepts, rows)
        after = {b"SOFTMAX": "Softmax", b"LOGISTIC": "Sigmoid"}.get(transform)
        if after is None:
            return chain.end("Gemm", *inputs, transB=1)
        options = {"axis": -1} if after == "Softmax" else {}
        return chain.end(after, chain.add("Gemm", *inputs, transB=1), **options)

    def transform_of(self, node: onnx.NodeProto, given: Dict, known) -> bytes:
        transform = given.get("post_transform", b"NONE")
        if transform not in known:
            raise UserError(f"{self.path}: {node.op_type} ends in {transform.decode()}, for which there is no kernel")
        return transform

    def normalizer(self, node: onnx.NodeProto, given: Dict) -> List[onnx.NodeProto]:
        """x / |x|, by the norm over the last axis."""
        x = node.input[0]
        norm = given.get("norm", b"MAX").decode()
        chain, maker = Chain(self.graph, node), self.graph.producer(x)
        if norm == "L1" and maker is not None and _is_softmax(maker):
            # A softmax sums to 1 already.
            return chain.end("Identity", x)
        measured = chain.add("Abs", x) if norm == "MAX" else x
        length = chain.add(_NORMS[norm], measured, axes=[-1], keepdims=1)
        # A row of zeros stays zero, as in scikit-learn.
        return chain.end("Div", x, chain.add("Max", length, chain.constant(1e-30)))

    def feature_extractor(self, node: onnx.NodeProto, given: Dict) -> List[onnx.NodeProto]:
        """Some columns of x, by constant indices."""
        columns = self.graph.constant(node.input[1])
        if columns is None:
            raise UserError(f"{self.path}: it picks columns that are computed, for which there is no kernel")
        chain = Chain(self.graph, node)
        return chain.end("Gather", node.input[0], chain.integers(columns.astype(np.int64).ravel()), axis=-1)


def _is_softmax(node: onnx.NodeProto) -> bool:
    return node.op_type == "Softmax" or attribute(node, "post_transform") == b"SOFTMAX"
