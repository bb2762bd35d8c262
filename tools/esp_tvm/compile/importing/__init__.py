"""From the ONNX model to Relay: TVM's importer, and the corrections of what it reads wrongly or not at all."""
