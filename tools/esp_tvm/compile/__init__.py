"""From the quantized ONNX model to C: import, layout, rewrites, partition, code generation, memory plan."""
