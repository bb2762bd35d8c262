"""Converts models of other frameworks to ONNX, and all ONNX models to the form that the package reads."""
