"""From the ONNX model to Relay: TVM's importer, and corrections of its errors and gaps."""

from ... import tvm_import  # noqa: F401  before every other import of TVM
