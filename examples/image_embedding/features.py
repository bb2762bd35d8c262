#!/usr/bin/env python3
"""The network of examples/image_classification without its last layer: its 64 features describe a picture.

Writes <out>, a float ONNX model: image [N, 3, 32, 32] -> features [N, 64].
"""

import argparse
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "tools"))

from esp_tvm import cli  # noqa: E402
from esp_tvm.files import whole_file  # noqa: E402


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", required=True, type=Path, help="the ONNX model to write")
    args = parser.parse_args()

    import onnx
    from onnx import helper

    model = onnx.load(str(HERE.parent / "image_classification/model.onnx"))
    graph = model.graph
    (last,) = [node for node in graph.node if node.op_type == "Gemm"]
    features = last.input[0]
    kept = [node for node in graph.node if node.op_type not in ("Gemm", "Softmax")]
    for node in kept:
        node.output[:] = ["features" if name == features else name for name in node.output]
    used = {name for node in kept for name in node.input}
    tensors = [tensor for tensor in graph.initializer if tensor.name in used]
    shape = ["batch", 64]
    output = helper.make_tensor_value_info("features", onnx.TensorProto.FLOAT, shape)
    whole = helper.make_graph(kept, "features", list(graph.input), [output], tensors)
    result = helper.make_model(whole, opset_imports=model.opset_import, ir_version=model.ir_version)
    onnx.checker.check_model(result, full_check=True)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(args.out) as temporary:
        onnx.save(result, str(temporary))


if __name__ == "__main__":
    cli.run(main)
