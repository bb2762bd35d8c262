"""ONNX Runtime's fused operators (domain com.microsoft) as the standard operators that they stand for.

ONNX Runtime writes them into models that it optimized (`optimized_model_filepath`, its transformer optimizer), and with
them LayerNormalization and SimplifiedLayerNormalization of the standard domain in any opset. Formulas: its documents of
contrib operators. What is not spelled out here is refused by name.
"""

from __future__ import annotations

from typing import Callable, Dict, List, NoReturn, Sequence, Tuple

import numpy as np
import onnx
from onnx import TensorProto

from ..errors import UserError
from ..naming import one_line, shown
from ..onnx_graph import (
    Chain,
    Graph,
    attribute,
    attributes,
    copied,
    copied_node,
    inferred_values,
    is_standard,
    keep_opsets,
    opset_of,
    string_attribute,
)
from .attention import MASKED, MOST_STEPS

DOMAIN = "com.microsoft"
# Layer normalization with one output is an operator of ONNX from this opset on.
_LAYER_NORMALIZATION = 17
# Attributes of a fused activation, not of the convolution or the product.
_ACTIVATIONS = ("activation", "activation_params", "activation_alpha", "activation_beta", "activation_gamma")


def spell_out(model: onnx.ModelProto, path) -> None:
    """Replace these operators, in place; the model is of opset 17 or older. A `UserError` names what cannot be read."""
    if not any(_is_fused(node, opset_of(model)) for node in model.graph.node):
        return
    rewriting = _Rewriting(model, path)
    graph = rewriting.graph
    for node in graph.nodes:
        if _is_fused(node, opset_of(model)):
            graph.replace(node, *rewriting.replaced(node))
    graph.write()
    kept = {entry.domain for entry in model.opset_import} - {DOMAIN}
    keep_opsets(model, kept | {node.domain for node in graph.nodes})


def _is_fused(node: onnx.NodeProto, opset: int) -> bool:
    if is_standard(node, "SimplifiedLayerNormalization"):
        return True
    if is_standard(node, "LayerNormalization"):
        return opset < _LAYER_NORMALIZATION
    return node.domain == DOMAIN and node.op_type in _RULES


class _Rewriting:
    def __init__(self, model: onnx.ModelProto, path):
        self.model, self.path, self.opset = model, path, opset_of(model)
        self.graph = Graph(model)
        self.shapes: Dict[str, List[int]] = {}

    def replaced(self, node: onnx.NodeProto) -> List[onnx.NodeProto]:
        """The standard nodes for one; no checker knows these operators: one may lack inputs or have wrong ones."""
        try:
            return _RULES[node.op_type](self, copied_node(node))
        except (ArithmeticError, AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            self.refuse(node, f"has inputs or attributes that are not this operator's ({one_line(str(error))})")

    def refuse(self, node: onnx.NodeProto, what: str) -> NoReturn:
        label = shown(node.name or next(iter(node.output), ""))
        raise UserError(
            f"{self.path}: node '{label}' ({shown(node.op_type)}, an operator of ONNX Runtime) {what}; give the model "
            "as it was before ONNX Runtime optimized it"
        )

    def shape_of(self, node: onnx.NodeProto, name: str) -> List[int]:
        """The sizes of a tensor, 0 where one is free: inferred from the nodes replaced so far."""
        if name in self.graph.constants:
            return list(self.graph.constants[name].shape)
        if name not in self.shapes:
            self.graph.write()
            values = inferred_values(copied(self.model))
            known = {n: v.type.tensor_type for n, v in values.items() if v.type.tensor_type.HasField("shape")}
            self.shapes = {n: [dim.dim_value for dim in kind.shape.dim] for n, kind in known.items()}
        if name not in self.shapes:
            self.refuse(node, "reads a tensor whose shape is not known")
        return self.shapes[name]

    def given(self, node: onnx.NodeProto, place: int) -> str:
        """The name of an input, "" where it is left out."""
        return node.input[place] if len(node.input) > place else ""

    def only_first_output(self, node: onnx.NodeProto, *allowed: int) -> None:
        """Refuse a node of which another output is read."""
        for place, name in enumerate(node.output):
            if place and place not in allowed and name and self.graph.is_used(name):
                self.refuse(node, f"has its output {place} read")

    # --- products and their activations ---

    def conv(self, node: onnx.NodeProto) -> List[onnx.NodeProto]:
        """activation(Conv(x, w, b) + z)."""
        chain, z = Chain(self.graph, node), self.given(node, 3)
        inputs = list(node.input[:3])
        while inputs and not inputs[-1]:
            inputs.pop()
        made = chain.add("Conv", *inputs, **_without(node, *_ACTIVATIONS))
        return self.activated(chain, chain.add("Add", made, z) if z else made)

    def gemm(self, node: onnx.NodeProto) -> List[onnx.NodeProto]:
        chain = Chain(self.graph, node)
        return self.activated(chain, chain.add("Gemm", *node.input, **_without(node, *_ACTIVATIONS)))

    def activated(self, chain: Chain, x: str) -> List[onnx.NodeProto]:
        """The activation that the node names, with its parameters as a list or one by one."""
        node = chain.node
        kind = string_attribute(node, "activation")
        single = [attribute(node, f"activation_{name}") for name in ("alpha", "beta")]
        values = list(attribute(node, "activation_params") or [one for one in single if one is not None])
        if kind == "Clip":
            low, high = values
            if self.opset < 11:
                return chain.end("Clip", x, min=low, max=high)
            return chain.end("Clip", x, chain.constant(low), chain.constant(high))
        if kind in ("Relu", "Sigmoid", "Tanh"):
            return chain.end(kind, x)
        if kind in ("LeakyRelu", "HardSigmoid"):
            return chain.end(kind, x, **dict(zip(("alpha", "beta"), values)))
        if kind:
            self.refuse(node, f"ends in the activation {shown(kind)}")
        return chain.end("Identity", x)

    def matmul(self, node: onnx.NodeProto) -> List[onnx.NodeProto]:
        """alpha a b, each transposed before (its last two axes) where the node says so."""
        if attribute(node, "transBatchA", 0) or attribute(node, "transBatchB", 0):
            self.refuse(node, "turns a batch axis")
        chain = Chain(self.graph, node)
        operands = list(node.input[:2])
        for place, letter in enumerate("AB"):
            rank = len(self.shape_of(node, operands[place])) if attribute(node, f"trans{letter}", 0) else 0
            if rank < 2:
                continue
            order = [*range(rank - 2), rank - 1, rank - 2]
            values = self.graph.constant(operands[place])
            if values is not None:
                operands[place] = chain.constant(values.transpose(order), values.dtype)
            else:
                operands[place] = chain.add("Transpose", operands[place], perm=order)
        alpha = attribute(node, "alpha", 1.0)
        if alpha == 1.0:
            return chain.end("MatMul", *operands)
        return chain.end("Mul", chain.add("MatMul", *operands), chain.constant(alpha))

    # --- activations ---

    def gelu(self, node: onnx.NodeProto) -> List[onnx.NodeProto]:
        chain = Chain(self.graph, node)
        x = chain.add("Add", *node.input) if node.op_type == "BiasGelu" else node.input[0]
        shaped = chain.add("Erf", chain.add("Mul", x, chain.constant(np.sqrt(0.5))))
        return _half_of_one_more(chain, x, shaped)

    def fast_gelu(self, node: onnx.NodeProto) -> List[onnx.NodeProto]:
        chain = Chain(self.graph, node)
        x = chain.add("Add", *node.input) if self.given(node, 1) else node.input[0]
        cube = chain.add("Mul", chain.add("Mul", x, x), x)
        inner = chain.add("Add", x, chain.add("Mul", cube, chain.constant(0.044715)))
        return _half_of_one_more(
            chain, x, chain.add("Tanh", chain.add("Mul", inner, chain.constant(np.sqrt(2 / np.pi))))
        )

    def quick_gelu(self, node: onnx.NodeProto) -> List[onnx.NodeProto]:
        chain, x = Chain(self.graph, node), node.input[0]
        scaled = chain.add("Mul", x, chain.constant(attribute(node, "alpha", 1.702)))
        return chain.end("Mul", x, chain.add("Sigmoid", scaled))

    # --- normalization ---

    def layer_normalization(self, node: onnx.NodeProto) -> List[onnx.NodeProto]:
        self.only_first_output(node)
        x, scale, bias = node.input[0], node.input[1], self.given(node, 2)
        axis = attribute(node, "axis", -1)
        rank = 1 if axis == -1 else len(self.shape_of(node, x))
        axes = [-1] if axis == -1 else list(range(axis % rank, rank))
        simple = node.op_type == "SimplifiedLayerNormalization"
        return self.normalized(Chain(self.graph, node), x, axes, attribute(node, "epsilon", 1e-5), scale, bias, simple)

    def skip_normalization(self, node: onnx.NodeProto) -> List[onnx.NodeProto]:
        """Normalization of x + skip + bias; the sum is an output, too."""
        self.only_first_output(node, 3)
        simple = node.op_type == "SkipSimplifiedLayerNormalization"
        x, skip, scale = node.input[:3]
        beta, bias = ("", self.given(node, 3)) if simple else (self.given(node, 3), self.given(node, 4))
        chain = Chain(self.graph, node)
        addends = [x, *[name for name in (bias, skip) if name]]
        for place, addend in enumerate(addends[1:], 1):
            total = node.output[3] if place == len(addends) - 1 and len(node.output) > 3 else ""
            x = chain.add("Add", x, addend, output=total)
        return self.normalized(chain, x, [-1], self.epsilon(node), scale, beta, simple)

    def embed_normalization(self, node: onnx.NodeProto) -> List[onnx.NodeProto]:
        """Normalization of the sum of the rows that ids, places and segments take out of three tables."""
        self.only_first_output(node, 2)
        ids, segments, words, places, segment_rows, scale, beta, mask, place_ids = (
            self.given(node, place) for place in range(9)
        )
        chain = Chain(self.graph, node)
        if place_ids:
            own = chain.add("Gather", places, place_ids, axis=0)
        else:
            steps = self.shape_of(node, ids)[-1]
            if not steps or places not in self.graph.constants:
                self.refuse(node, "has a number of steps or a table of places that is not known")
            own = chain.constant(self.graph.constants[places][:steps])
        total = chain.add("Gather", words, ids, axis=0)
        if segments and segment_rows:
            total = chain.add("Add", total, chain.add("Gather", segment_rows, segments, axis=0))
        total = chain.add("Add", total, own, output=node.output[2] if len(node.output) > 2 else "")
        return self.normalized(chain, total, [-1], self.epsilon(node), scale, beta, False)

    @staticmethod
    def epsilon(node: onnx.NodeProto) -> float:
        return attribute(node, "epsilon", 1e-12)

    def normalized(
        self, chain: Chain, x: str, axes: Sequence[int], epsilon: float, scale: str, bias: str, simple: bool
    ) -> List[onnx.NodeProto]:
        """(x - mean) / sqrt(variance + epsilon) scale + bias; simple: with 0 in place of the mean."""
        if not simple:
            x = chain.add("Sub", x, chain.add("ReduceMean", x, axes=list(axes)))
        variance = chain.add("ReduceMean", chain.add("Mul", x, x), axes=list(axes))
        root = chain.add("Sqrt", chain.add("Add", variance, chain.constant(epsilon)))
        if not bias:
            return chain.end("Mul", chain.add("Div", x, root), scale)
        return chain.end("Add", chain.add("Mul", chain.add("Div", x, root), scale), bias)

    # --- attention ---

    def attention(self, node: onnx.NodeProto) -> List[onnx.NodeProto]:
        """Self-attention of x [batch, steps, width] with the weights of query, key and value in one matrix."""
        self.only_first_output(node)
        x, weights, bias, mask = (self.given(node, place) for place in range(4))
        if self.given(node, 4) or attribute(node, "past_present_share_buffer", 0) or attribute(node, "do_rotary", 0):
            self.refuse(node, "reads keys of earlier steps, or turns by place")
        chain, heads = Chain(self.graph, node), attribute(node, "num_heads")
        width = self.shape_of(node, weights)[1]
        sizes = list(attribute(node, "qkv_hidden_sizes") or [width // 3] * 3)
        parts = [chain.graph.fresh(f"{node.output[0]}_{name}") for name in ("query", "key", "value")]
        product = chain.add("MatMul", x, weights)
        product = chain.add("Add", product, bias) if bias else product
        ends = np.cumsum([0, *sizes])
        for part, start, end in zip(parts, ends, ends[1:]):
            chain.add("Slice", product, *map(chain.integers, ([start], [end], [2])), output=part)
        steps = self.shape_of(node, x)[1]
        return self.attended(chain, parts, sizes, heads, (steps, steps), mask, self.given(node, 5))

    def multi_head_attention(self, node: onnx.NodeProto) -> List[onnx.NodeProto]:
        """The same of three tensors [batch, steps, width] and one bias for the three."""
        self.only_first_output(node)
        chain, parts = Chain(self.graph, node), list(node.input[:3])
        bias, mask = self.given(node, 3), self.given(node, 4)
        if len(parts) < 3 or not all(parts) or any(node.input[6:]):
            self.refuse(node, "has query, key and value in one tensor, or keys of earlier steps")
        shapes = [self.shape_of(node, name) for name in parts]
        if any(len(shape) != 3 for shape in shapes):
            self.refuse(node, "has keys or values of other than three axes")
        sizes = [shape[2] for shape in shapes]
        if bias:
            values = self.graph.constants[bias]
            ends = np.cumsum([0, *sizes])
            each = zip(parts, ends, ends[1:])
            parts = [chain.add("Add", part, chain.constant(values[start:end])) for part, start, end in each]
        steps = (shapes[0][1], shapes[1][1])
        return self.attended(chain, parts, sizes, attribute(node, "num_heads"), steps, mask, self.given(node, 5))

    def attended(
        self,
        chain: Chain,
        parts: Sequence[str],
        sizes: Sequence[int],
        heads: int,
        steps: Tuple[int, int],
        mask: str,
        added: str,
    ) -> List[onnx.NodeProto]:
        """softmax(Q K^T scale + mask + added) V of each head."""
        node = chain.node
        if heads < 1 or any(size % heads for size in sizes):
            self.refuse(node, f"has {heads} heads of tensors of {', '.join(map(str, sizes))} columns")
        operands = []
        for name, size in zip(parts, sizes):
            apart = chain.add("Reshape", name, chain.integers([0, 0, heads, size // heads]))
            operands.append(chain.add("Transpose", apart, perm=[0, 2, 1, 3]))
        query, key, value = operands
        scale = attribute(node, "scale", 0.0) or 1 / np.sqrt(sizes[0] // heads)
        scores = chain.add("MatMul", query, chain.add("Transpose", key, perm=[0, 1, 3, 2]))
        scores = chain.add("Mul", scores, chain.constant(scale))
        if attribute(node, "unidirectional", 0):
            if not all(steps) or max(steps) > MOST_STEPS:
                self.refuse(node, "has a number of steps that is not known, or too large")
            scores = chain.add("Add", scores, chain.constant(MASKED * np.triu(np.ones(steps), 1)))
        if mask:
            scores = chain.add("Add", scores, self.penalty(chain, mask))
        if added:
            scores = chain.add("Add", scores, added)
        mixed = chain.add("MatMul", chain.add("Softmax", scores, axis=-1), value)
        mixed = chain.add("Transpose", mixed, perm=[0, 2, 1, 3])
        return chain.end("Reshape", mixed, chain.integers([0, 0, sizes[2]]))

    def penalty(self, chain: Chain, mask: str) -> str:
        """(1 - mask) times a large negative number, of a mask [batch, keys] of ones to keep and zeros."""
        node, shape = chain.node, self.shape_of(chain.node, mask)
        if len(shape) != 2:
            self.refuse(node, f"has a mask of {len(shape)} axes; one of [batch, steps] is known")
        least = attribute(node, "mask_filter_value", -10000.0)
        values = self.graph.constant(mask)
        if values is not None:
            return chain.constant(((1.0 - values) * least)[:, None, None])
        kept = chain.add("Cast", mask, to=TensorProto.FLOAT)
        kept = chain.add("Mul", chain.add("Sub", chain.constant(1.0), kept), chain.constant(least))
        return chain.add("Reshape", kept, chain.integers([0, 1, 1, -1]))


def _without(node: onnx.NodeProto, *names: str) -> Dict:
    return {name: value for name, value in attributes(node).items() if name not in names}


def _half_of_one_more(chain: Chain, x: str, shaped: str) -> List[onnx.NodeProto]:
    """x (1 + shaped) / 2."""
    half = chain.add("Mul", x, chain.constant(0.5))
    return chain.end("Mul", half, chain.add("Add", shaped, chain.constant(1)))


_RULES: Dict[str, Callable[[_Rewriting, onnx.NodeProto], List[onnx.NodeProto]]] = {
    "Attention": _Rewriting.attention,
    "BiasGelu": _Rewriting.gelu,
    "EmbedLayerNormalization": _Rewriting.embed_normalization,
    "FastGelu": _Rewriting.fast_gelu,
    "FusedConv": _Rewriting.conv,
    "FusedGemm": _Rewriting.gemm,
    "FusedMatMul": _Rewriting.matmul,
    "Gelu": _Rewriting.gelu,
    "LayerNormalization": _Rewriting.layer_normalization,
    "MultiHeadAttention": _Rewriting.multi_head_attention,
    "QuickGelu": _Rewriting.quick_gelu,
    "SimplifiedLayerNormalization": _Rewriting.layer_normalization,
    "SkipLayerNormalization": _Rewriting.skip_normalization,
    "SkipSimplifiedLayerNormalization": _Rewriting.skip_normalization,
    "TransposeMatMul": _Rewriting.matmul,
}

__all__ = ["spell_out"]
