"""From a trained float model (ONNX) to a verified int8 program on an Espressif chip."""

__version__ = "1.0.0"
