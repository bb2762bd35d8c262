"""A quantized model against its float model on evaluation samples, by the exact integer reference."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Callable, Dict, List, Optional, Sequence

import numpy as np
import onnx

from ..model import outputs_of, run_session, session
from ..onnx_graph import Graph, copied, edited
from ..terminal import Progress
from .calibrate import samples_of
from .report import Noise


@dataclass
class Judgement:
    """Over all samples and outputs, softmax at the end left away.

    decibels: signal-to-noise ratio; cosine: mean over samples; agreement: share of samples with the float model's
    largest output; accuracy, float_accuracy: share with the label's, where labels were given
    """

    samples: int
    decibels: float
    cosine: float
    agreement: float
    accuracy: Optional[float] = None
    float_accuracy: Optional[float] = None
    predictions: List[int] = field(default_factory=list)


def without_softmax(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy in which every output that a Softmax makes is replaced by what that Softmax reads.

    Softmax hides noise of large logits and blows up that of small ones: noise is counted before it.
    """
    copy = copied(model)
    with edited(copy) as graph:
        for name in [value.name for value in copy.graph.output]:
            chain = _made_by(graph, name, ("DequantizeLinear", "QuantizeLinear", "Softmax"))
            chain = chain or _made_by(graph, name, ("Softmax",))
            inner = [node.output[0] for node in chain[1:]]
            if not chain or graph.consumers(name) or any(graph.only_consumer(tensor) is None for tensor in inner):
                continue
            # Softmax keeps shape and type: only the name changes.
            graph.rename_output(name, chain[-1].input[0])
            graph.remove(*chain)
    return copy


def _made_by(graph: Graph, name: str, kinds: Sequence[str]) -> List[onnx.NodeProto]:
    """The nodes of these kinds, the last first, that compute a tensor; none where others compute it."""
    chain: List[onnx.NodeProto] = []
    for kind in kinds:
        node = graph.producer(name)
        if node is None or node.op_type != kind:
            return []
        chain.append(node)
        name = node.input[0]
    return chain


def exact_runner(model: onnx.ModelProto) -> Callable[[Dict[str, np.ndarray]], List[np.ndarray]]:
    """A function from one sample to the outputs of a quantized model, by the rules in `esp_tvm.arithmetic`."""
    from ..compile.importing.import_onnx import import_onnx
    from ..compile.partition import partition
    from ..evaluate import NumpyEvaluator

    imported = import_onnx(model)
    evaluator = NumpyEvaluator(imported, partition(imported))
    names = [port.name for port in imported.outputs]

    def run(sample: Dict[str, np.ndarray]) -> List[np.ndarray]:
        outputs = evaluator.run(sample).outputs
        return [np.asarray(outputs[name]) for name in names]

    return run


def judge(
    real: onnx.ModelProto,
    quantized: onnx.ModelProto,
    samples: Dict[str, Sequence[np.ndarray]],
    labels: Optional[np.ndarray] = None,
) -> Judgement:
    """Compare `quantized` with the float model `real` on `samples` {input: [N, *shape]}; labels: int [N]."""
    real, quantized = without_softmax(real), without_softmax(quantized)
    run = exact_runner(quantized)
    float_run, names = session(real), [name for name, _, _ in outputs_of(real)]
    noise = Noise()
    cosines, ours_top, theirs_top = [], [], []
    count = min(len(array) for array in samples.values())
    with Progress("evaluating", count) as progress:
        for sample in samples_of(samples):
            theirs, ours = run_session(float_run, names, sample), run(sample)
            for a, b in zip(theirs, ours):
                noise.add(a, b)
            a, b = (np.concatenate([v.reshape(-1).astype(np.float64) for v in group]) for group in (theirs, ours))
            lengths = float(np.linalg.norm(a) * np.linalg.norm(b))
            cosines.append(float(a @ b) / lengths if lengths else float(not (a.any() or b.any())))
            theirs_top.append(int(np.argmax(theirs[0])))
            ours_top.append(int(np.argmax(ours[0])))
            progress.step()
    ours_top, theirs_top = np.array(ours_top), np.array(theirs_top)
    result = Judgement(
        count,
        noise.decibels,
        float(np.mean(cosines)),
        float(np.mean(ours_top == theirs_top)),
        predictions=ours_top.tolist(),
    )
    if labels is not None:
        result.accuracy = float(np.mean(ours_top == labels))
        result.float_accuracy = float(np.mean(theirs_top == labels))
    return result
