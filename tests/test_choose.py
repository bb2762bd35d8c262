"""Which kernel a layer gets: the fastest that fits, or a leaner one where scratch memory would enlarge the arena."""

from __future__ import annotations

import numpy as np
import pytest
from qdq import QdqBuilder

pytest.importorskip("tvm")

from esp_tvm.boards import choose_board  # noqa: E402
from esp_tvm.compile import compile_model, import_model  # noqa: E402
from esp_tvm.project.compile_for_board import compile_for_board  # noqa: E402


def kernels(compiled):
    return [call.kernel.replace("esp_dl_", "") for call in compiled.program.kernels if call.variant is not None]


def test_each_shape_gets_its_kernel():
    b = QdqBuilder(seed=5)
    x = b.input("x", [1, 3, 12, 12], -4)
    x = b.conv(x, [8, 3, 3, 3], -3, e_w=-9, relu=True)
    x = b.conv(x, [8, 1, 3, 3], -3, e_w=-9, relu=True, group=8, pads=[1, 1, 1, 1])
    x = b.conv(x, [8, 1, 5, 5], -3, e_w=-9, relu=True, group=8, pads=[2, 2, 2, 2])
    x = b.conv(x, [8, 4, 1, 1], -3, e_w=-9, relu=True, group=2)
    b.quantize(b.node("GlobalAveragePool", [x]), -3, "y")
    b.output("y", [1, 8, 1, 1])
    compiled = compile_model(b.model())
    assert kernels(compiled) == [
        "quantize_s8_nhwc",
        "conv2d_s8_6x2",
        "depthwise_conv2d_s8_3x3",
        "depthwise_conv2d_s8_1x4",
        "average_pool2d_s8_global",
    ]
    # Grouped convolutions have no faster kernel: the plain one, and the generated code says so.
    assert "esp_dl_conv2d_s8(" in compiled.code.lib1 and "by esp_dl_conv2d_s8_6x2 */" in compiled.code.lib1
    assert "esp_dl_conv2d_s8_6x2" not in compile_model(b.model(), fast=False).code.lib1


def test_no_scratch_where_it_would_enlarge_the_arena():
    b = QdqBuilder(seed=6)
    x = b.input("x", [1, 1, 16, 16], -4)
    x = b.conv(x, [8, 1, 3, 3], -3, e_w=-9, relu=True, pads=[1, 1, 1, 1])
    y = b.conv(x, [8, 8, 3, 3], None, e_w=-10, pads=[1, 1, 1, 1])
    x = b.quantize(b.node("Add", [x, y]), -2)
    # Small from here on: there is room for scratch memory.
    x = b.conv(x, [8, 8, 3, 3], -2, e_w=-10, relu=True, strides=[2, 2])
    x = b.conv(x, [4, 8, 1, 1], -2, e_w=-10)
    b.quantize(b.node("GlobalAveragePool", [x]), -3, "y")
    b.output("y", [1, 4, 1, 1])
    compiled = compile_model(b.model())
    assert kernels(compiled)[1:4] == ["conv2d_add_s8_3x4", "conv2d_s8_6x2", "conv2d_s8_8x2"]


def test_minimal_filtering_where_the_arena_has_room():
    b = QdqBuilder(seed=6)
    x = b.conv(b.input("x", [1, 8, 40, 40], -4), [8, 8, 1, 1], -3, e_w=-9, relu=True)
    x = b.quantize(b.node("MaxPool", [x], kernel_shape=[2, 2], strides=[2, 2]), -3)
    for _ in range(2):
        x = b.conv(x, [8, 8, 3, 3], -3, e_w=-10, relu=True, pads=[1, 1, 1, 1])
    b.quantize(b.node("GlobalAveragePool", [x]), -3, "y")
    b.output("y", [1, 8, 1, 1])
    found = [name for name in kernels(compile_model(b.model())) if "conv" in name]
    assert found == ["conv2d_s8_8x2", "conv2d_s8_winograd", "conv2d_s8_winograd"]


def test_a_larger_arena_is_used_for_speed():
    b = QdqBuilder(seed=6)
    b.conv(b.input("x", [1, 8, 16, 16], -4), [8, 8, 3, 3], -3, e_w=-10, relu=True, pads=[1, 1, 1, 1], output="y")
    b.output("y", [1, 8, 16, 16])
    model, board = b.model(), choose_board("esp32c3")
    relay = import_model(model)
    small, large = (compile_for_board(model, relay, board, arena=arena) for arena in ("auto", "20000"))
    assert kernels(small)[-1] == "conv2d_s8_6x2" and kernels(large)[-1] == "conv2d_s8_winograd"
    assert small.program.arena_bytes < large.program.arena_bytes <= 20000


def four_convolutions():
    b = QdqBuilder(seed=6)
    x = b.input("x", [1, 8, 24, 25], -4)
    for _ in range(4):
        x = b.conv(x, [8, 8, 3, 3], -3, e_w=-10, relu=True, pads=[1, 1, 1, 1])
    b.quantize(b.node("GlobalAveragePool", [x]), -3, "y")
    b.output("y", [1, 8, 1, 1])
    return b.model()


@pytest.mark.parametrize("chip", ["esp32", "esp32c3"])
def test_the_least_arena_within_a_slowdown(chip):
    """A larger one is never more; what it takes is said, and what it may take is kept, kernels given up included."""
    model, board = four_convolutions(), choose_board(chip)
    relay = import_model(model)
    found = [compile_for_board(model, relay, board, arena="least", slowdown=one) for one in (0.0, 0.05, 1.0)]
    whole = compile_for_board(model, relay, board).program.arena_bytes
    for one in found:
        assert one.saving.before == whole and one.saving.after == one.program.arena_bytes
        assert one.saving.slower <= one.saving.allowed
        assert "least arena: " in one.saving.line
    assert whole >= found[0].saving.after >= found[1].saving.after > found[2].saving.after
    assert found[1].saving.after < whole and found[2].saving.slower > 0.05


def test_strips_for_the_mac16_unit_are_chosen_by_its_times():
    """Portable kernels would take half as long again, beyond what is allowed."""
    model, board = four_convolutions(), choose_board("esp32")
    found = compile_for_board(model, import_model(model), board, arena="least", slowdown=0.05)
    assert found.saving.after < 0.6 * found.saving.before
    convolutions = [name for name in kernels(found) if "conv" in name]
    assert convolutions == ["conv2d_s8_esp32"] * 4


def test_two_cores_keep_to_the_bytes_that_are_asked_for():
    """What the parts of the second core and their scratch memory need besides stays within; the rest stays whole."""
    model = four_convolutions()
    relay = import_model(model)
    for name in ("esp32", "esp32s3"):
        board = choose_board(name)

        def bytes_with(arena, cores, board=board):
            return compile_for_board(model, relay, board, arena=arena, cores=cores).program.arena_bytes

        # Strips of a single row have no second part.
        free, least = bytes_with("auto", 2), bytes_with("least", 2)
        assert bytes_with("least", 1) <= least < free
        for asked in (least, (least + free) // 2, free):
            assert bytes_with(str(asked), 2) <= asked


@pytest.mark.parametrize("bound, expected", [(0.0, 0), (-8.0, -128)])
def test_dense_skips_what_a_relu_gives_most_often(bound, expected):
    """A relu that is stored less 128 steps (quantize/centre.py) is a clip at int8's own end."""
    b = QdqBuilder(seed=7)
    x = b.input("x", [1, 16], -4)
    y = b.node("Gemm", [x, b.weights([8, 16], -8), b.bias(8, -12)], transB=1)
    x = b.quantize(b.node("Clip", [y, b.initializer(np.float32(bound)), b.initializer(np.float32(8.0))]), -4)
    b.quantize(b.node("Gemm", [x, b.weights([8, 8], -8), b.bias(8, -12)], transB=1), -4, "y")
    b.output("y", [1, 8])
    first, second = [call for call in compile_model(b.model()).program.kernels if call.operator == "dense"]
    assert first.often == 0 and second.often == expected
    # It is the first byte of the weights.
    assert [int(call.constants[0].array.reshape(-1)[0]) for call in (first, second)] == [0, expected]


def test_distances_are_those_of_the_kernel_that_is_taken():
    """Kernels of one name differ in how far an output has to lie before the input."""
    b = QdqBuilder(seed=8)
    x = b.conv(b.input("x", [1, 8, 12, 12], -4), [8, 8, 3, 3], -3, e_w=-10, relu=True, pads=[1, 1, 1, 1])
    x = b.conv(x, [8, 1, 3, 3], -3, e_w=-9, relu=True, group=8, pads=[1, 1, 1, 1])
    b.conv(x, [8, 8, 1, 1], -3, e_w=-10, output="y")
    b.output("y", [1, 8, 12, 12])
    program = compile_model(b.model(), chip="esp32").program
    calls = [call for call in program.kernels if call.kernel.endswith("_esp32")]
    assert len(calls) == 3 and any(call.variant.rows(call) > 1 for call in calls)
    for call in calls:
        assert call.overlap_distance == call.variant.overlap_distance(call)
