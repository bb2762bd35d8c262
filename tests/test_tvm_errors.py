"""What TVM says when it fails, for people."""

from __future__ import annotations

import os

import onnx
import pytest
from onnx import TensorProto, helper

pytest.importorskip("tvm")

from esp_tvm.compile import compile_model  # noqa: E402
from esp_tvm.errors import UserError  # noqa: E402
from esp_tvm.tvm_errors import tvm_reason, without_tvm_log  # noqa: E402

CHECK = "InternalError: Check failed: (it != end) is false: "
STACK = 'Traceback (most recent call last):\n  3: tvm::Foo::Bar(int)\n  File "/home/x/tvm/src/ir/y.cc", line 7\n'
BANNER = (
    "---------------\nAn error occurred during the execution of TVM.\nFor more information, please see: https://x\n"
)
TEXTS = [
    ("plain", "plain"),
    (STACK + CHECK + "no such axis", "no such axis"),
    (STACK + "InternalError: Check failed: a == b (49 vs. 48) : sizes differ", "sizes differ"),
    ("[03:55:47] /home/x/tvm/src/relay/op/z.cc:123: " + CHECK + "no such axis", "no such axis"),
    ("TVMError: [03:55:47] /home/x/tvm/src/z.cc:123: \n" + BANNER + "  Check failed: (x) is false: no\n", "no"),
    (STACK + CHECK, "a check inside TVM failed: (it != end) is false"),
    ("[03:55:47] ../src/z.cc:1: not a number: 3", "not a number: 3"),
    ("x\nDiagnosticError: one or more error diagnostics were emitted, please check", "do not go together"),
    ("In f(0: double): converting argument 1: [06:24:20] /home/x/y.h:7: no bool", "converting argument 1: no bool"),
    ("", "RuntimeError"),
    ("ratio a:b: 3", "ratio a:b: 3"),
]


@pytest.mark.parametrize("text, wanted", TEXTS)
def test_reason(text, wanted):
    found = tvm_reason(RuntimeError(text))
    assert found.endswith(wanted) and "/" not in found and "\n" not in found


def test_what_the_library_logs_stays_away(capfd):
    with without_tvm_log():
        os.write(2, b"[03:55:47] /home/x/tvm/src/te/schedule/bound.cc:119: not in the graph\nlast words\n")
    assert capfd.readouterr().err == "last words\n"
    with pytest.raises(ValueError), without_tvm_log():
        os.write(2, b"a picture of a program\n")
        raise ValueError
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "after\n"


def test_message_of_a_real_failure():
    """A model that TVM's importer stumbles on: no path of TVM's build in the text, no stack."""
    tensor = helper.make_tensor_value_info
    ports = [tensor("x", TensorProto.FLOAT, [1, 3, 4, 4])], [tensor("y", TensorProto.FLOAT, [7, 7])]
    shape = helper.make_tensor("shape", TensorProto.INT64, [2], [7, 7])
    node = helper.make_node("Reshape", ["x", "shape"], ["y"], "wrong")
    model = helper.make_model(helper.make_graph([node], "g", *ports, [shape]))
    model.opset_import[0].version = 13
    with pytest.raises(UserError) as caught:
        compile_model(onnx.load_model_from_string(model.SerializeToString()))
    text = str(caught.value)
    assert ".cc" not in text and "Check failed" not in text and "\n" not in text
    assert "are not compatible" in text
