"""From the ONNX model to Relay: TVM's importer, and corrections of its errors and gaps."""
