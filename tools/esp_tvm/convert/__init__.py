"""Models of other frameworks into ONNX that the rest of the package reads."""
