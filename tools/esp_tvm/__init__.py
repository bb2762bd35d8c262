"""From a trained float model (ONNX) to a verified int8 program on an Espressif chip."""
