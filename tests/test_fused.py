"""ONNX Runtime's fused operators as standard ones: the same numbers as ONNX Runtime's own."""

from __future__ import annotations

import zlib
from typing import Dict, List, Optional

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from esp_tvm.errors import UserError
from esp_tvm.model import load_model, session

MICROSOFT = "com.microsoft"


def fused(
    op: str,
    inputs: Dict[str, List[int]],
    constants: Optional[Dict[str, np.ndarray]] = None,
    order: Optional[List[str]] = None,
    outputs: int = 1,
    domain: str = MICROSOFT,
    opset: int = 13,
    **attributes,
) -> onnx.ModelProto:
    """A model of one node, between two standard ones (whose shapes must get through); order: of its inputs."""
    constants = constants or {}
    names = order or [*inputs, *constants]
    made = [f"y{i}" for i in range(outputs)]
    if outputs == 4:
        made[1:3] = ["", ""]
    read = made[:1] if op.startswith("Embed") else list(filter(None, made))
    node = helper.make_node(op, names, made, "fused", domain=domain, **attributes)
    ends = [helper.make_node("Identity", [name], [f"out_{name}"], f"end_{name}") for name in read]
    kinds = {name: TensorProto.INT32 if name in ("ids", "segments", "mask") else TensorProto.FLOAT for name in inputs}
    graph = helper.make_graph(
        [node, *ends],
        op,
        [helper.make_tensor_value_info(name, kinds[name], shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(end.output[0], TensorProto.FLOAT, None) for end in ends],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()],
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid(MICROSOFT, 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def values(*shape: int) -> np.ndarray:
    random = np.random.RandomState(zlib.crc32(repr(shape).encode()))
    return random.standard_normal(shape).astype(np.float32)


X = {"x": [2, 5, 8]}
NORM = {"scale": values(8), "beta": values(1, 8)[0]}
ATTENTION = {"w": values(8, 24) / 3, "b": values(24)}
TABLES = {"words": values(11, 8), "places": values(7, 8), "rows": values(2, 8), **NORM}
MASK = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]], np.int32)
IMAGE = {"x": [1, 3, 6, 6]}
KERNEL = {"w": values(4, 3, 3, 3), "b": values(4)}

CASES = {
    "Gelu": fused("Gelu", X),
    "BiasGelu": fused("BiasGelu", X, {"b": values(8)}),
    "FastGelu": fused("FastGelu", X),
    "FastGelu with a bias": fused("FastGelu", X, {"b": values(8)}),
    "QuickGelu": fused("QuickGelu", X, alpha=1.5),
    "FusedMatMul": fused("FusedMatMul", X, {"w": values(6, 8)}, transB=1, alpha=0.5),
    "FusedMatMul of two": fused("FusedMatMul", {"x": [2, 5, 8], "y": [2, 5, 6]}, transA=1),
    "FusedGemm": fused("FusedGemm", {"x": [2, 8]}, {"w": values(8, 4), "b": values(4)}, activation="Relu"),
    "LayerNormalization": fused("LayerNormalization", X, NORM, domain="", axis=-1, epsilon=1e-3),
    "LayerNormalization of two axes": fused(
        "LayerNormalization", X, {"scale": values(5, 8), "beta": values(8, 5).T.copy()}, domain="", axis=1
    ),
    "SimplifiedLayerNormalization": fused("SimplifiedLayerNormalization", X, {"scale": values(8)}, domain=""),
    "SkipLayerNormalization": fused("SkipLayerNormalization", {"x": [2, 5, 8], "s": [2, 5, 8]}, NORM, epsilon=1e-5),
    "SkipLayerNormalization with its sum": fused(
        "SkipLayerNormalization", {"x": [2, 5, 8], "s": [2, 5, 8]}, {**NORM, "bias": values(2, 4).ravel()}, outputs=4
    ),
    "EmbedLayerNormalization": fused(
        "EmbedLayerNormalization", {"ids": [2, 5], "segments": [2, 5]}, TABLES, outputs=2, epsilon=1e-5
    ),
    "Attention": fused("Attention", X, ATTENTION, num_heads=2),
    "Attention, causal": fused("Attention", X, ATTENTION, num_heads=2, unidirectional=1),
    "Attention, sizes": fused(
        "Attention", X, {"w": values(8, 16), "b": values(16)}, num_heads=2, qkv_hidden_sizes=[4, 4, 8]
    ),
    "Attention, mask": fused("Attention", X, {**ATTENTION, "m": MASK}, num_heads=2),
    "Attention, mask given": fused(
        "Attention", {**X, "mask": [2, 5]}, ATTENTION, order=["x", "w", "b", "mask"], num_heads=2
    ),
    **{
        f"FusedConv {kind}": fused("FusedConv", IMAGE, KERNEL, activation=kind, pads=[1, 1, 1, 1], **more)
        for kind, more in (
            ("Relu", {}),
            ("Clip", {"activation_params": [0.0, 1.0]}),
            ("LeakyRelu", {"activation_params": [0.1]}),
            ("HardSigmoid", {"activation_params": [0.2, 0.4]}),
        )
    },
    "FusedConv with an addend": fused(
        "FusedConv", {**IMAGE, "z": [1, 4, 6, 6]}, KERNEL, ["x", "w", "b", "z"], activation="Relu", pads=[1, 1, 1, 1]
    ),
    "FusedConv, opset 10": fused(
        "FusedConv", IMAGE, KERNEL, opset=10, activation="Clip", activation_params=[0.0, 1.0], pads=[1, 1, 1, 1]
    ),
}


def feeds(model: onnx.ModelProto) -> Dict[str, np.ndarray]:
    random, found = np.random.RandomState(3), {}
    for value in model.graph.input:
        shape = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        most = {"ids": 11, "segments": 2, "mask": 2}.get(value.name)
        made = random.standard_normal(shape).astype(np.float32)
        found[value.name] = made if most is None else random.randint(0, most, shape).astype(np.int32)
    return found


def run(model: onnx.ModelProto) -> List[np.ndarray]:
    return session(model).run([value.name for value in model.graph.output], feeds(model))


@pytest.mark.parametrize("name", CASES)
def test_the_same_numbers(name, tmp_path):
    model = CASES[name]
    onnx.save(model, str(tmp_path / "model.onnx"))
    loaded = load_model(tmp_path / "model.onnx")
    onnx.checker.check_model(loaded)
    assert {node.domain for node in loaded.graph.node} == {""}
    for ours, theirs in zip(run(loaded), run(model)):
        np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=2e-5)


def test_attention_of_three_tensors(tmp_path):
    """ONNX Runtime 1.14 has no MultiHeadAttention for processors: the formula in NumPy."""
    bias, heads = values(24), 2
    inputs = {"q": [2, 5, 8], "k": [2, 3, 8], "v": [2, 3, 8]}
    model = fused("MultiHeadAttention", inputs, {"b": bias}, num_heads=heads)
    onnx.save(model, str(tmp_path / "model.onnx"))
    (got,) = run(load_model(tmp_path / "model.onnx"))
    given = feeds(model)
    q, k, v = (
        (given[name] + bias[8 * i : 8 * i + 8]).reshape(2, -1, heads, 4).swapaxes(1, 2) for i, name in enumerate("qkv")
    )
    scores = np.exp(q @ k.swapaxes(2, 3) / 2)
    wanted = (scores / scores.sum(-1, keepdims=True) @ v).swapaxes(1, 2).reshape(2, 5, 8)
    np.testing.assert_allclose(got, wanted, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize(
    "model, why",
    [
        (fused("FusedConv", IMAGE, KERNEL, activation="Softsign"), "ends in the activation Softsign"),
        (
            fused("Attention", X, {"w": values(8, 24), "b": values(24)}, num_heads=3),
            "has 3 heads of tensors of 8, 8, 8",
        ),
        (fused("FusedMatMul", X, {"w": values(8, 6)}, transBatchA=1), "turns a batch axis"),
        (fused("SkipLayerNormalization", X), "has inputs or attributes that are not this operator's"),
        (fused("BeamSearch", X), "'com.microsoft'"),
        (fused("Conv", IMAGE, KERNEL, domain="com.microsoft.nchwc"), "save it with .* ORT_ENABLE_EXTENDED"),
    ],
)
def test_what_is_not_known_is_refused(model, why, tmp_path):
    onnx.save(model, str(tmp_path / "model.onnx"))
    with pytest.raises(UserError, match=why):
        load_model(tmp_path / "model.onnx")
