"""Random calls of the operators that the ESP32-S3's vector unit computes, of the sizes that its kernels tell apart."""

from __future__ import annotations

from dataclasses import replace
from typing import Tuple

import numpy as np
from kernel_case import filled
from variant_cases import CLAMPS, random_call

from esp_tvm.compile.kernels.esp32s3.values import BROADCASTING, MOVES
from esp_tvm.program import Call, Tensor


def sixteens(operator: str, random: np.random.RandomState) -> Call:
    """A convolution with channels that the assembly has ways of its own for, now and then larger than most."""
    depthwise, large = operator == "depthwise_conv2d", random.randint(6) == 0
    channels, outputs = (
        int(random.choice([1, 3, 4, 8, 16, 24, 32, 40, 48, 56, 64])),
        int(random.choice([8, 16, 32, 64, 33, 24, 20, 1, 2, 4])),
    )
    kernel = (int(random.choice([3, 3, 5] if depthwise else [1, 1, 3, 5])),) * 2
    size = random.randint(kernel[0], 24 if large else 8, 2)
    if depthwise:
        channels = outputs = int(random.choice([8, 8, 24, 40, 16, 32, 48, 80]))
    elif random.randint(6) == 0:
        # Tall windows of few bytes in a row.
        channels = int(random.choice([1, 2, 4]))
        kernel, size = (
            (int(random.randint(2, 11)), 4 // channels * int(random.choice([1, 2]))),
            random.randint(10, 30, 2),
        )
    padding = (0,) * 4 if random.randint(2) else tuple(random.randint(0, kernel * 2))
    strides = tuple(int(v) for v in random.randint(1, 4 if depthwise else 3, 2))
    dilation = (1, 1)
    if depthwise and random.randint(3) == 0:
        dilation, size = tuple(int(v) for v in random.randint(1, 4, 2)), size + 2 * kernel[0]
    spans = [(taps - 1) * step + 1 for taps, step in zip(kernel, dilation)]
    shape = [(size[i] + padding[i] + padding[2 + i] - spans[i]) // strides[i] + 1 for i in (0, 1)]
    deviation = random.choice([6, 30])
    weights_shape = (*kernel, channels) if depthwise else (outputs, *kernel, channels)
    weights = np.clip(np.round(random.randn(*weights_shape) * deviation), -128, 127)
    inner = 1 if depthwise else channels
    shift = random.randint(0, random.choice([1, 2, 3, 4, 6, 9]), outputs) + int(
        np.log2(inner * kernel[0] * kernel[1] * 8)
    )
    if random.randint(4) == 0:
        # A channel whose results are finer than its products.
        shift[random.randint(outputs)] = -random.randint(1, 5)
    attributes = {
        "weights": weights.astype(np.int8),
        "bias": random.randint(-3000, 3000, outputs).astype(np.int32),
        "shift": shift,
        "clamp": CLAMPS[random.randint(len(CLAMPS))],
        "strides": strides,
        "padding": padding,
        "dilation": dilation,
    }
    if not depthwise:
        attributes["groups"] = 1
    x, y = Tensor("x", (1, *size, channels), "int8"), Tensor("y", (1, *shape, outputs), "int8")
    return Call("", operator, [x], [y], filled(attributes))


def elementwise(operator: str, random: np.random.RandomState) -> Call:
    """A sum, a product or a change of exponent, of any count."""
    shape = (1, int(random.randint(1, 100)))
    attributes = {"shift": int(random.randint(-8, 15)), "clamp": CLAMPS[random.randint(len(CLAMPS))]}
    if operator in ("add", "sub"):
        attributes.update(shift_a=int(random.randint(0, 8)), shift_b=int(random.randint(0, 8)))
    count = 1 if operator == "requantize" else 2
    inputs = [Tensor(f"x{i}", shape, "int8") for i in range(count)]
    return Call("", operator, inputs, [Tensor("y", shape, "int8")], attributes)


_S16_CLAMPS = ((-32768, 32767), (0, 32767), (-3000, 9000))


def wide_elementwise(operator: str, random: np.random.RandomState) -> Call:
    """The same from or to int16, in place of every input of the output's width."""
    call = elementwise(operator.replace("_s16", ""), random)
    count = len(call.inputs)
    while True:
        *inputs, output = (str(random.choice(["int8", "int16"])) for _ in range(count + 1))
        if "int16" in (*inputs, output):
            break
    attributes = {**call.attributes, "output": output}
    if operator == "mul_s16":
        attributes["shift"] = int(random.randint(-2, 31))
    else:
        attributes["shift"] = int(random.choice([0, 8, random.randint(-15, 17)]))
    for name in ("shift_a", "shift_b"):
        if name in attributes:
            attributes[name] = int(random.randint(0, 15))
    if output == "int16":
        attributes["clamp"] = _S16_CLAMPS[random.randint(len(_S16_CLAMPS))]
    tensors = [replace(x, dtype=dtype) for x, dtype in zip(call.inputs, inputs)]
    outputs = [replace(call.output, dtype=output)]
    return replace(call, operator=operator, inputs=tensors, outputs=outputs, attributes=attributes)


def pooling(operator: str, random: np.random.RandomState) -> Call:
    """Pooling with windows of any size, with and without borders, and of whole planes."""
    images, size = int(random.randint(1, 3)), random.randint(1, 14, 2)
    channels = int(random.choice([3, 5, 8, 16, 16, 20, 32, 33, 48]))
    if random.randint(4) == 0:
        kernel, dilation, strides, padding = tuple(map(int, size)), (1, 1), (1, 1), (0, 0, 0, 0)
    else:
        kernel = tuple(int(k) for k in random.choice([[2, 2], [3, 3], random.randint(1, 6, 2)][random.randint(3)], 2))
        dilation = (1, 1) if random.randint(4) else tuple(int(v) for v in random.randint(1, 3, 2))
        strides = tuple(int(v) for v in random.randint(1, 4, 2))
        padding = tuple(int(v) for v in random.randint(0, max(kernel), 4) * random.randint(2))
    spans = [(kernel[i] - 1) * dilation[i] + 1 for i in (0, 1)]
    rooms = [int(size[i]) + padding[i] + padding[2 + i] - spans[i] for i in (0, 1)]
    if min(rooms) < 0:
        return pooling(operator, random)
    # ceil_mode: the last windows may begin where the last whole ones do not end.
    more = random.randint(3) == 0
    shape = [(room + (stride - 1) * more) // stride + 1 for room, stride in zip(rooms, strides)]
    for i in (0, 1):
        if (shape[i] - 1) * strides[i] >= size[i] + padding[i]:
            shape[i] -= 1
    attributes = {"kernel": kernel, "strides": strides, "padding": padding, "dilation": dilation}
    attributes.update(clamp=CLAMPS[random.randint(len(CLAMPS))])
    if operator == "average_pool2d":
        attributes.update(count_include_pad=bool(random.randint(2)), shift=int(random.randint(-4, 5)))
    x, y = (images, *map(int, size), channels), (images, *map(int, shape), channels)
    return Call("", operator, [Tensor("x", x, "int8")], [Tensor("y", y, "int8")], attributes)


def max_pool_s16(random: np.random.RandomState) -> Call:
    """The same of int16."""
    call = pooling("max_pool2d", random)
    attributes = {**call.attributes, "clamp": _S16_CLAMPS[random.randint(len(_S16_CLAMPS))], "output": "int16"}
    inputs, outputs = ([replace(one, dtype="int16")] for one in (call.inputs[0], call.output))
    return replace(call, operator="max_pool2d_s16", inputs=inputs, outputs=outputs, attributes=attributes)


def resize_nearest(random: np.random.RandomState) -> Call:
    """Every pixel several times, or now and then another choice of pixels."""
    size, more = random.randint(1, 8, 2), random.randint(1, 4, 2)
    places = [np.repeat(np.arange(length), times) for length, times in zip(size, more)]
    if random.randint(4) == 0:
        places[0] = np.sort(random.randint(0, size[0], len(places[0])))
    channels = int(random.choice([3, 8, 16, 32, 48]))
    images = int(random.randint(1, 3))
    x = Tensor("x", (images, *map(int, size), channels), "int8")
    y = Tensor("y", (images, *map(len, places), channels), "int8")
    return Call("", "resize_nearest", [x], [y], {"rows": places[0], "columns": places[1]})


def broadcasting(operator: str, random: np.random.RandomState) -> Call:
    """Two tensors of one shape, or one of them a single value or a row of channels; now and then a constant."""
    channels = int(random.choice([16, 32, 48, 24, 40, 20, 7]))
    whole, other = image_and_row(channels, random)
    shapes = [whole, [other, whole][random.randint(3) == 0]]
    if random.randint(2):
        shapes = shapes[::-1]
    zero = operator in ("maximum", "minimum")
    attributes = {"clamp": CLAMPS[random.randint(len(CLAMPS))], "shift": 0 if zero else int(random.randint(0, 14))}
    if operator != "mul_broadcast":
        attributes.update({name: 0 if zero else int(random.randint(0, 7)) for name in ("shift_a", "shift_b")})
    inputs = [Tensor(f"x{i}", shape, "int8") for i, shape in enumerate(shapes)]
    if random.randint(3) == 0:
        first = shapes[0] != whole
        constant = random.randint(-128, 128, shapes[0 if first else 1]).astype(np.int8)
        attributes.update(constant=constant, constant_first=first)
        del inputs[0 if first else 1]
    return Call("", operator, inputs, [Tensor("y", whole, "int8")], attributes)


def image_and_row(channels: int, random: np.random.RandomState) -> Tuple[Tuple[int, ...], Tuple[int, ...]]:
    """The shapes of an image, and of a row of channels for all its pixels; or of values, and of one of them."""
    if random.randint(3) == 0:
        return (1, channels + 16), (1, 1)
    return (1, int(random.randint(1, 12)), 5, channels), (1, 1, 1, channels)


def prelu(random: np.random.RandomState) -> Call:
    """A slope for every channel, for all or for every value."""
    whole, slope = image_and_row(int(random.choice([8, 16, 24, 32, 33, 64])), random)
    slopes = random.randint(-128, 128, whole if random.randint(6) == 0 else slope)
    shifts = {"shift": int(random.choice([0, random.randint(-6, 8)])), "shift_negative": int(random.randint(0, 14))}
    attributes = {"slope": slopes.astype(np.int8), "clamp": (-128, 127), **shifts}
    return Call("", "prelu", [Tensor("x", whole, "int8")], [Tensor("y", whole, "int8")], attributes)


def floats(count: int, exponent: int, zero_point: int, random: np.random.RandomState) -> np.ndarray:
    """Values around halves of steps of 2^exponent and beside them, at the ends of int8, and any bits at all."""
    steps = random.randint(-300, 300, count) / 2.0 - zero_point
    with np.errstate(over="ignore", invalid="ignore"):
        values = (steps * 2.0**exponent).astype(np.float32)
    # The next floats to both sides.
    values.view(np.int32)[:] += random.randint(-1, 2, count) * (values != 0)
    bits = random.randint(0, 2**32, count, np.uint64).astype(np.uint32).view(np.float32)
    special = np.array([np.nan, -np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-45, -1e-45, 3e38, -3e38], np.float32)
    kind = random.randint(0, 4, count)
    return np.where(kind == 0, bits, np.where(kind == 1, special[random.randint(0, len(special), count)], values))


def quantization(random: np.random.RandomState) -> Call:
    """Any exponent that the floating-point unit takes; most often that of values up to 1. Planes may have more rows."""
    shape = tuple(int(size) for size in random.randint(1, 7, 4))
    n, channels, h, w = shape
    rows = h + int(random.choice([0, 0, 3]))
    exponent = int(random.choice([-7, -7, 0, -126, 126, random.randint(-126, 127)]))
    x, attributes = Tensor("x", (n, channels, rows, w), "float32"), {"exponent": exponent, "plane": rows * w}
    attributes["zero_point"] = int(random.choice([0, -128, 128, random.randint(-127, 128)]))
    return Call("", "quantize", [x], [Tensor("y", shape, "int8")], attributes)


def dequantization(random: np.random.RandomState, wide: bool = False) -> Call:
    """Any exponent that the floating-point unit takes; wide: from int16."""
    shape = (1, int(random.randint(1, 60)))
    if wide:
        exponent = int(random.choice([-15, -15, 0, -126, 112, random.randint(-126, 113)]))
        x, y = Tensor("x", shape, "int16"), Tensor("y", shape, "float32")
        return Call("", "dequantize_s16", [x], [y], {"exponent": exponent})
    exponent = int(random.choice([-7, -7, 0, -126, 120, random.randint(-126, 121)]))
    return Call("", "dequantize", [Tensor("x", shape, "int8")], [Tensor("y", shape, "float32")], {"exponent": exponent})


def scale(random: np.random.RandomState) -> Call:
    """A factor and an offset per channel."""
    shape = (1, int(random.randint(1, 40)), int(random.choice([5, 16, 20, 48])))
    attributes = {
        "multiplier": random.randint(-128, 128, shape[-1]).astype(np.int8),
        "bias": random.randint(-3000, 3000, shape[-1]).astype(np.int32),
        "shift": random.randint(0, 4, shape[-1]) + 5,
        "axis": 2,
        "clamp": CLAMPS[random.randint(len(CLAMPS))],
    }
    return Call("", "channelwise", [Tensor("x", shape, "int8")], [Tensor("y", shape, "int8")], attributes)


def lookup(random: np.random.RandomState) -> Call:
    """Any table."""
    shape = (1, int(random.randint(64, 200)))
    table = random.randint(-128, 128, 256).astype(np.int8)
    return Call("", "lookup", [Tensor("x", shape, "int8")], [Tensor("y", shape, "int8")], {"table": table})


def move(operator: str, random: np.random.RandomState) -> Call:
    """A move of NHWC values; channels in sixteens, or what begins between them."""
    n, h, w = (int(v) for v in random.randint(1, 5, 3))
    channels = int(random.choice([16, 32, 48, 80]))
    x = (n, h, w, channels)
    inputs, attributes = [x], {}
    if operator == "strided_slice":
        size = int(random.choice([16, 32])) if channels > 32 else 16
        first = int(random.randint(0, channels - size + 1))
        step = int(random.choice([-1, 1, 2]))
        begin = w - 1 if step < 0 else int(random.randint(0, w))
        width = (begin if step < 0 else w - 1 - begin) // abs(step) + 1
        y = (n, h, width, size)
        attributes = {"begin": [0, 0, begin, first], "steps": [1, 1, step, 1], "shape": y}
    elif operator == "tile":
        repeats = [1, *map(int, random.randint(1, 4, 2)), 1]
        y, attributes = (n, h * repeats[1], w * repeats[2], channels), {"repeats": repeats}
    elif operator == "broadcast":
        inputs, y = [(n, 1, w, channels)], x
        attributes = {"shape": y}
    elif operator == "depth_to_space":
        inputs, y = [(n, h, w, 4 * channels)], (n, 2 * h, 2 * w, channels)
        attributes = {"block": 2, "mode": "DCR"}
    elif operator == "space_to_depth":
        inputs, y = [(n, 2 * h, 2 * w, channels)], (n, h, w, 4 * channels)
        attributes = {"block": 2}
    elif operator == "concat":
        inputs.append((n, h, w, int(random.choice([5, 16, 48]))))
        y, attributes = (n, h, w, channels + inputs[1][3]), {"axis": 3}
    elif operator == "pad":
        before, after = [[0, *map(int, random.randint(0, 3, 2)), 0] for _ in range(2)]
        y = tuple(a + b + c for a, b, c in zip(before, x, after))
        attributes = {"before": before, "after": after, "mode": "constant", "value": int(random.randint(-9, 9))}
    else:
        axes = [*map(int, random.permutation(3)), 3]
        if random.randint(2):
            # Rows and columns of matrices, of any size from 16 on.
            x = (n, int(random.randint(1, 4)), *map(int, random.randint(14, 50, 2)))
            axes = [[0, 1, 3, 2], [0, 3, 1, 2], [0, 2, 3, 1], [2, 3, 0, 1]][random.randint(4)]
            inputs = [x]
        y, attributes = tuple(x[axis] for axis in axes), {"axes": axes}
    dtype = "int16" if operator != "pad" and random.randint(3) == 0 else "int8"
    tensors = [Tensor(f"x{i}", shape, dtype) for i, shape in enumerate(inputs)]
    return Call("", operator, tensors, [Tensor("y", y, dtype)], attributes)


def dense_s16(random: np.random.RandomState) -> Call:
    """From int8 or int16 to int16, or from int16 to int8, one row or several; outputs that are finer than their
    products, too."""
    outputs, wide = int(random.randint(1, 20)), random.randint(2)
    rows, inputs = (1, int(random.randint(1, 100))) if random.randint(2) else (3, 8 * int(random.randint(1, 10)))
    rows = int(random.choice([8, 9, 40])) if random.randint(4) == 0 else rows
    narrow = wide and random.randint(3) == 0
    attributes = {
        "weights": random.randint(-128, 128, (outputs, inputs)).astype(np.int8),
        "bias": random.randint(-300000, 300000, outputs).astype(np.int32),
        "shift": random.randint(*[(0, 9), (-6, 3), (20, 32)][random.randint(3)], outputs),
        "clamp": _S16_CLAMPS[random.randint(3)],
        "output": "int8" if narrow else "int16",
    }
    if narrow:
        attributes["clamp"] = CLAMPS[random.randint(len(CLAMPS))]
        attributes["shift"] = attributes["shift"] + 8 - 8 * (attributes["shift"] > 8)
    x = Tensor("x", (rows, inputs), "int16" if wide else "int8")
    return Call("", "dense_s16", [x], [Tensor("y", (rows, outputs), attributes["output"])], attributes)


def pointwise_s16(random: np.random.RandomState) -> Call:
    """A convolution of 1x1 from int8 to int16."""
    call = dense_s16(random)
    while (call.inputs[0].dtype, call.output.dtype) != ("int8", "int16"):
        call = dense_s16(random)
    call = replace(call, operator="conv2d_s16")
    (rows, inputs), outputs = call.inputs[0].shape, call.output.shape[1]
    call.attributes["weights"] = call.attributes["weights"].reshape(outputs, 1, 1, inputs)
    call.attributes.update(strides=(1, 1), padding=(0, 0, 0, 0), dilation=(1, 1), groups=1)
    x = Tensor("x", (1, rows, 1, inputs), "int8")
    return replace(call, inputs=[x], outputs=[replace(call.output, shape=(1, rows, 1, outputs))])


def wide_convolution(operator: str, random: np.random.RandomState) -> Call:
    """A convolution or depthwise convolution from or to int16, of any window; channels in eights or not."""
    call = random_call(operator.replace("_s16", ""), random)
    if random.randint(2):
        call = sixteens(operator.replace("_s16", ""), random)
    x, y = [("int16", "int16"), ("int16", "int8"), ("int8", "int16")][random.randint(3)]
    low, high = (-32768, 32767) if y == "int16" else (-128, 127)
    shift = np.asarray(call.attributes["shift"]) + (8 if x == "int16" else 0) - (8 if y == "int16" else 0)
    if random.randint(3) == 0:
        shift = shift + random.randint(-4, 5, len(shift))
    attributes = {**call.attributes, "shift": np.clip(shift, -8, 31), "output": y}
    attributes["clamp"] = [(low, high), (0, high), (low // 3, high // 2)][random.randint(3)]
    if x == "int16":
        attributes.pop("pad_value", None)
    inputs, outputs = [replace(call.inputs[0], dtype=x)], [replace(call.output, dtype=y)]
    return replace(call, operator=operator, inputs=inputs, outputs=outputs, attributes=attributes)


def conv2d_s16(random: np.random.RandomState) -> Call:
    """Of 1x1 from int8, or any other."""
    return wide_convolution("conv2d_s16", random) if random.randint(3) else pointwise_s16(random)


def conv2d_add_s16(random: np.random.RandomState) -> Call:
    """Of eights of channels, with an addend of either width, as large as the sums or not."""
    while True:
        call = wide_convolution("conv2d_s16", random)
        if call.inputs[0].shape[3] % 8 == 0 and call.output.shape[3] % 8 == 0:
            break
    if random.randint(3) == 0:
        x, y = ([replace(one, dtype="int8")] for one in (call.inputs[0], call.output))
        call = replace(call, inputs=x, outputs=y)
        call.attributes.update(output="int8", clamp=CLAMPS[random.randint(len(CLAMPS))])
    wide = "int16" not in (call.inputs[0].dtype, call.output.dtype) or random.randint(2)
    most, shift = 13 if wide else 21, np.asarray(call.attributes["shift"])
    left = shift + random.randint(-3, 2) if random.randint(2) else random.randint(0, most + 1, len(shift))
    addend = replace(call.output, name="addend", dtype="int16" if wide else "int8")
    attributes = {**call.attributes, "addend_shift": np.clip(left, 0, most).astype(np.int32)}
    return replace(call, operator="conv2d_add_s16", inputs=[call.inputs[0], addend], attributes=attributes)


def average_s16(random: np.random.RandomState) -> Call:
    """The average of whole images, from or to int16."""
    images, (h, w) = int(random.randint(1, 3)), (int(v) for v in random.choice([1, 2, 3, 4, 7, 8, 25], 2))
    channels = int(random.choice([8, 16, 32, 48]))
    x, y = [("int8", "int16"), ("int16", "int16"), ("int16", "int8")][random.randint(3)]
    attributes = {"kernel": (h, w), "strides": (1, 1), "padding": (0, 0, 0, 0), "dilation": (1, 1)}
    attributes.update(clamp=(CLAMPS if y == "int8" else _S16_CLAMPS)[random.randint(3)], output=y)
    shift = random.randint(-10, 1) if x == "int8" else random.randint(-8, 12)
    attributes.update(count_include_pad=False, shift=int(shift))
    inputs, outputs = Tensor("x", (images, h, w, channels), x), Tensor("y", (images, 1, 1, channels), y)
    return Call("", "average_pool2d_s16", [inputs], [outputs], attributes)


def softmax(random: np.random.RandomState) -> Call:
    """Steep or flat, of few or many values; at coarse exponents many quotients are halves."""
    shape = (int(random.randint(1, 5)), int(random.choice([1, 2, 3, 8, 16, random.randint(1, 120)])))
    attributes = {"exponent": int(random.randint(-12, 1)), "output_exponent": int(random.choice([-7, -7, -8, -2, -20]))}
    return Call("", "softmax", [Tensor("x", shape, "int8")], [Tensor("y", shape, "int8")], attributes)


def matmul(random: np.random.RandomState) -> Call:
    """Matrices of any size, or of sixteens; few or many products in a sum."""
    batch, rows, inner, columns = (int(v) for v in random.randint(1, [4, 9, 40, 40]))
    if random.randint(2):
        inner, columns = (16 * int(v) for v in random.randint(1, 4, 2))
    if random.randint(6) == 0:
        inner = int(random.randint(100, 290))
    if random.randint(10) == 0:
        columns = int(random.choice([100, 160, 200]))
    transpose_b = bool(random.randint(2))
    shapes = (batch, rows, inner), (batch, columns, inner) if transpose_b else (batch, inner, columns)
    attributes = {"transpose_b": transpose_b, "shift": int(random.randint(0, 15)), "clamp": CLAMPS[random.randint(4)]}
    inputs = [Tensor(f"x{i}", shape, "int8") for i, shape in enumerate(shapes)]
    return Call("", "matmul", inputs, [Tensor("y", (batch, rows, columns), "int8")], attributes)


_OWN = {
    "average_pool2d_s16": average_s16,
    "conv2d_add_s16": conv2d_add_s16,
    "conv2d_s16": conv2d_s16,
    "depthwise_conv2d_s16": lambda random: wide_convolution("depthwise_conv2d_s16", random),
    "channelwise": scale,
    "dense_s16": dense_s16,
    "dequantize": dequantization,
    "dequantize_s16": lambda random: dequantization(random, wide=True),
    "lookup": lookup,
    "matmul": matmul,
    "max_pool2d_s16": max_pool_s16,
    "prelu": prelu,
    "quantize": quantization,
    "resize_nearest": resize_nearest,
    "softmax": softmax,
}


def random_vector_call(operator: str, random: np.random.RandomState) -> Call:
    """A call of `operator`, by what is above or by `random_call`."""
    if operator in BROADCASTING:
        return broadcasting(operator, random)
    if operator in MOVES or operator == "transpose":
        return move(operator, random)
    if operator in ("add", "sub", "mul", "requantize"):
        return elementwise(operator, random)
    if operator in ("add_s16", "mul_s16", "requantize_s16"):
        return wide_elementwise(operator, random)
    if operator in ("max_pool2d", "average_pool2d"):
        return pooling(operator, random)
    if operator in ("conv2d", "depthwise_conv2d") and random.randint(3):
        return sixteens(operator, random)
    if operator in _OWN:
        return _OWN[operator](random)
    return random_call(operator, random)
