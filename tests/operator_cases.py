"""The table of operator cases: shapes and attributes of kernel calls, the edges that have bitten others among them.

It drives the tests of the kernels in C and of the Relay reference against the NumPy rules. A new operator adds its
rows here, or in layer_cases.py where it has weights, windows or steps; `CASES` holds all of them.
"""

from __future__ import annotations

import itertools
from typing import List

import numpy as np
from kernel_case import INT8, Case, constant_of, random_of, uniform, weighted
from layer_cases import LAYERS
from wide_cases import moved, widened

# --- elementwise ------------------------------------------------------------------------------------------


def _elementwise() -> List[Case]:
    cases = []
    pair = (((2, 3, 4, 5), "int8"),) * 2
    for operator in ("add", "sub"):
        for a, b, shift, clamp in (
            (0, 0, 0, INT8),
            (0, 0, 1, INT8),
            (2, 0, 1, (0, 127)),
            (0, 3, 4, (-100, 50)),
            (0, 1, -1, INT8),
            (0, 0, -8, INT8),
            (22, 0, 22, INT8),
            (0, 22, 30, INT8),
        ):
            attributes = {"shift_a": a, "shift_b": b, "shift": shift, "clamp": clamp}
            cases.append(Case(f"<< {a}, << {b}, >> {shift}, {clamp}", operator, pair, attributes))
    for shift, clamp in ((0, INT8), (7, INT8), (8, (0, 127)), (15, INT8), (16, INT8), (-1, INT8), (-8, (-3, 100))):
        cases.append(Case(f">> {shift}, {clamp}", "mul", pair, {"shift": shift, "clamp": clamp}))
    every = (((256,), "int8"),)
    for shift, clamp in (
        (0, (0, 127)),
        (0, (-5, 96)),
        (1, INT8),
        (3, (-2, 9)),
        (8, INT8),
        (9, INT8),
        (-1, INT8),
        (-8, INT8),
    ):
        cases.append(Case(f">> {shift}, {clamp}", "requantize", every, {"shift": shift, "clamp": clamp}))
    table = random_of("table").randint(-128, 128, 256).astype(np.int8)
    cases.append(Case("any table", "lookup", (((3, 100), "int8"),), {"table": table}))
    cases.append(Case("of bytes", "lookup", (((3, 100), "uint8"),), {"table": table}))
    fine = {size: random_of(f"table {size}").randint(-(2**15), 2**15, size).astype(np.int16) for size in (256, 513)}
    for x, output in (("int8", "int16"), ("uint8", "int16"), ("int16", "int16"), ("int16", "int8")):
        attributes = {"table": fine[513 if x == "int16" else 256], "output": output}
        cases.append(Case(f"{x} to {output}", "lookup_s16", (((3, 100), x),), attributes))
    return cases  # fmt: skip


# --- float, movement --------------------------------------------------------------------------------------


def _quantize(exponent: int, zero_point: int) -> Case:
    attributes = {"exponent": exponent, "zero_point": zero_point}
    return Case(f"2^{exponent}, zero at {zero_point}", "quantize", (((3, 400), "float32"),), attributes)


def _floats() -> List[Case]:
    cases = []
    for exponent in (0, -7, 3, -40, 60, 127, -120, -126, -127, -149):
        cases.append(_quantize(exponent, 0))
        cases.append(Case(f"2^{exponent}", "dequantize", (((4, 150), "int8"),), {"exponent": exponent}))
    cases += [_quantize(-3, zero_point) for zero_point in (-128, -1, 44, 127, 128)]
    cases += [_quantize(exponent, -128) for exponent in (-149, -126, -125, 120, 121, 127)]
    random = random_of("pixels")
    for shape, channels, axis in (
        ((1, 5, 7, 3), 3, 3),
        ((2, 3, 4, 5), 3, 1),
        ((1, 9, 8, 1), 1, 0),
        ((6,), 6, 0),
        ((), 1, 0),
    ):
        table = uniform(random, (channels, 256), "int8")
        cases.append(Case(f"{shape}, axis {axis}", "pixels", ((shape, "uint8"),), {"table": table, "axis": axis}))
    for exponent, output in ((-4, None), (0, None), (-20, None), (5, None), (-3, -7), (-6, -8), (-1, 0)):
        attributes = {"exponent": exponent, "output_exponent": output}
        kind = "float" if output is None else f"2^{output}"
        cases.append(Case(f"2^{exponent} to {kind}", "softmax", (((7, 33), "int8"),), attributes))
    # More than TVM's compiler has stack for, where each column is a sum of its own.
    cases.append(Case("32 000 columns", "softmax", (((1, 32000), "int8"),), {"exponent": -4, "output_exponent": None}))
    cases.append(Case("one column", "softmax", (((5, 1), "int8"),), {"exponent": -4, "output_exponent": None}))
    cases.append(Case("four axes", "softmax", (((2, 2, 3, 10), "int8"),), {"exponent": -4, "output_exponent": -7}))
    return cases


def _moves() -> List[Case]:
    cases = []
    for shape, axes in (
        ((5,), (0,)),
        ((3, 4), (1, 0)),
        ((1, 3, 4, 5), (0, 2, 3, 1)),
        ((2, 3, 4, 5), (0, 3, 1, 2)),
        ((2, 3, 4, 5), (3, 2, 1, 0)),
        ((2, 1, 3, 2, 2, 4), (5, 0, 3, 1, 4, 2)),
    ):
        cases.append(Case(f"{shape} {axes}", "transpose", ((shape, "int8"),), {"axes": axes}))
    cases.append(Case("pixels", "transpose", (((1, 5, 7, 3), "uint8"),), {"axes": (0, 3, 1, 2)}))
    cases.append(Case("flatten", "reshape", (((2, 3, 4), "int8"),), {"shape": (2, 12)}))
    return cases


# --- broadcasting, reductions, values per channel ---------------------------------------------------------


def _broadcasts() -> List[Case]:
    cases = []
    shapes = (
        ((2, 3, 4, 5), (5,)),
        ((2, 3, 4, 5), (1, 3, 1, 5)),
        ((3, 1, 5), (1, 4, 1)),
        ((1,), (2, 2, 3)),
        ((6, 7), (6, 7)),
        ((2, 1, 3, 1, 2, 1), (1, 2, 1, 3, 1, 2)),
    )
    by_shift = {
        "add_broadcast": [{"shift_a": 0, "shift_b": 3, "shift": 4}, {"shift_a": 22, "shift_b": 0, "shift": 20}],
        "sub_broadcast": [{"shift_a": 0, "shift_b": 1, "shift": -1}, {"shift_a": 2, "shift_b": 0, "shift": 1}],
        "maximum": [{"shift_a": 0, "shift_b": 1, "shift": 1}, {"shift_a": 0, "shift_b": 0, "shift": 0}],
        "minimum": [{"shift_a": 3, "shift_b": 0, "shift": 2}, {"shift_a": 0, "shift_b": 0, "shift": -2}],
        "mul_broadcast": [{"shift": 7}, {"shift": -8}],
        "div": [{"shift": -6}, {"shift": 0}, {"shift": 5}, {"shift": -20}, {"shift": 20}],
    }
    for operator, shifts in by_shift.items():
        for (a, b), clamp, attributes in zip(shapes, itertools.cycle([INT8, (0, 127)]), itertools.cycle(shifts)):
            attributes = {"clamp": clamp, **attributes}
            cases.append(Case(f"{a} and {b}", operator, ((a, "int8"), (b, "int8")), attributes))
            for first in (False, True):
                constant = {"constant": constant_of(f"{operator} {b}", b), "constant_first": first}
                name = f"{a} and constant {b}, {'first' if first else 'second'}"
                cases.append(Case(name, operator, ((a, "int8"),), {**attributes, **constant}))
        a, b = shapes[4]
        for attributes in shifts:
            name = f"{a}, {attributes}"
            cases.append(Case(name, operator, ((a, "int8"), (b, "int8")), {"clamp": INT8, **attributes}))
    for relation in ("equal", "greater", "greater_equal", "less", "less_equal"):
        attributes = {"relation": relation, "shift_a": 0, "shift_b": 2}
        cases.append(Case(relation, "compare", (((4, 40, 9), "int8"), ((40, 1), "int8")), attributes))
        attributes = {**attributes, "constant": constant_of(relation, (9,)), "constant_first": True}
        cases.append(Case(f"{relation}, constant", "compare", (((40, 9), "int8"),), attributes))
    for slope, shift, negative in (((5,), 0, 7), ((1,), -2, 6), ((3, 1, 1), 2, 9), ((3, 4, 5), 9, 16), ((5,), -8, -8)):
        attributes = {"slope": constant_of(f"slope {slope}", slope), "shift": shift, "shift_negative": negative}
        name = f"slope {slope}, >> {shift}, >> {negative}"
        cases.append(Case(name, "prelu", (((2, 3, 4, 5), "int8"),), {**attributes, "clamp": INT8}))
    x = (2, 3, 4, 5)
    for shapes, shift_a, shift_b, constant in (
        ((x, x, x), 0, 0, ""),
        (((3, 1, 5), (5,), (2, 1, 4, 1)), 1, -2, ""),
        (((4, 1), x, (1,)), 9, 3, "b"),
        ((x, (), x), -8, 0, "a"),
        (((3, 1, 1), x, x), 0, 2, "condition"),
        (((3, 4, 5), (), (5,)), 0, 1, "a b"),
    ):
        names = ("condition", "a", "b")
        title = f"{shapes}, >> {shift_a}, >> {shift_b}, constant: {constant or 'none'}"
        attributes = {"shift_a": shift_a, "shift_b": shift_b, "clamp": (0, 100) if constant == "b" else INT8}
        for name, shape in zip(names, shapes):
            if name in constant.split():
                values = constant_of(f"select {name} {shape}", shape)
                attributes[name] = values > 0 if name == "condition" else values
        types = {"condition": "bool"}
        inputs = tuple((s, types.get(n, "int8")) for n, s in zip(names, shapes) if n not in constant.split())
        cases.append(Case(title, "select", inputs, attributes))
    for shape, axis, clamp in (((2, 3, 4, 5), 3, INT8), ((2, 3, 4), 1, (0, 127)), ((12,), 0, INT8), ((3, 4), 0, INT8)):
        parts = weighted(f"channelwise {shape}", (shape[axis],), shape[axis], clamp=clamp)
        parts["multiplier"] = parts.pop("weights")
        cases.append(Case(f"{shape}, axis {axis}", "channelwise", ((shape, "int8"),), {**parts, "axis": axis}))
    return cases


def _reductions() -> List[Case]:
    cases = []
    shape = (2, 3, 4, 5)
    for operator, shifts in {
        "reduce_sum": (0, 3, -2),
        "reduce_mean": (0, -3, 2),
        "reduce_l1": (1, 4),
        "reduce_sum_square": (5, 10),
        "reduce_l2": (0, 3, -3),
        "reduce_max": (None,),
        "reduce_min": (None,),
    }.items():
        for i, axes in enumerate([(1, 2), (3,), (0,), (0, 2), (1, 3), (0, 1, 2, 3), (2,)]):
            shift = shifts[i % len(shifts)]
            attributes = {"axes": axes, "keepdims": i % 2 == 0, "clamp": (-90, 100) if i == 2 else INT8}
            if shift is not None:
                attributes["shift"] = shift
            cases.append(Case(f"axes {axes}, >> {shift}", operator, ((shape, "int8"),), attributes))
    for axis, last, smallest in ((0, False, False), (1, True, False), (3, False, True), (2, True, True)):
        attributes = {"axis": axis, "keepdims": axis % 2 == 0, "last": last, "smallest": smallest}
        cases.append(Case(f"axis {axis}, last {last}, smallest {smallest}", "argmax", ((shape, "int8"),), attributes))
    for axis, k, smallest, dtype in ((0, 1, True, "int8"), (3, 4, False, "int8"), (1, 2, True, "float32")):
        attributes = {"axis": axis, "k": k, "smallest": smallest}
        name = f"axis {axis}, {k} of {dtype}"
        cases.append(Case(name, "topk_indices", ((shape, dtype),), attributes))
        exponent = -3 if dtype == "int8" else 0
        cases.append(Case(name, "topk", ((shape, dtype),), {**attributes, "exponent": exponent}))
    for kernel, strides, padding, dilation, dtype in (
        ((1, 2, 2), (1, 2, 2), (0, 0, 0), (1, 1, 1), "int8"),
        ((2, 3, 2), (2, 1, 2), (1, 1, 0), (1, 1, 1), "int8"),
        ((1, 1, 2), (2, 3, 2), (-1, -1, 0), (1, 1, 1), "int8"),
        ((2, 2, 3), (1, 2, 1), (0, 1, 2), (2, 2, 1), "float32"),
    ):
        attributes = {"kernel": kernel, "strides": strides, "padding": padding, "dilation": dilation}
        attributes.update(output_size=(2, 2, 3), by_columns=strides == (2, 1, 2))
        name = f"{kernel} of {dtype}, strides {strides}, pads {padding}, dilation {dilation}"
        cases.append(Case(name, "max_pool_indices", (((2, 3, 4, 5, 7), dtype),), attributes))
    for dtype in ("int8", "float32"):
        inputs = (((2, 3, 2, 4), dtype), ((2, 3, 2, 4), "int64"))
        cases.append(Case(f"{dtype}, places outside too", "max_unpool", inputs, {"shape": (2, 3, 4, 5)}))
    places = np.arange(12).reshape(1, 3, 4)[..., ::-1] * 3
    cases.append(Case("constant places", "max_unpool", (((1, 3, 4), "int8"),), {"shape": (1, 3, 12), "places": places}))
    for dtype, axis, indices in (("int8", 0, "int64"), ("int16", 1, "int32"), ("float32", 2, "int64")):
        inputs = (((3, 70, 4), dtype), ((2, 5), indices))
        cases.append(Case(f"{dtype} by {indices}, axis {axis}", "take", inputs, {"axis": axis}))
    for dtype in ("int8", "float32"):
        table = uniform(random_of(f"rows of {dtype}"), (90, 7), dtype)
        cases.append(Case(f"a table of {dtype}", "take", (((40,), "int64"),), {"axis": 0, "table": table}))
    for sizes, one in (((3, 40, 1), 64), ((1, 7, 5), 127), ((4, 1, 3), 1), ((2, 300, 2), 0)):
        cases.append(Case(f"{sizes}, one {one}", "hardmax", ((sizes, "int8"),), {"one": one}))
    return cases


def _log_softmaxes() -> List[Case]:
    from esp_tvm.operators.log_softmax import logarithm_table, power_table

    cases = []
    for exponent, output, columns in (
        (-4, -4, 10),
        (-4, None, 10),
        (-16, -8, 1),
        (5, 3, 33),
        (0, -3, 100),
        (-7, 14, 5),
    ):
        places = 30 - max(columns - 1, 0).bit_length()
        attributes = {
            "powers": power_table(exponent, places),
            "logarithms": logarithm_table(),
            "places": places,
            "exponent": exponent,
            "output_exponent": output,
        }
        name = f"2^{exponent} to {output}, {columns} columns"
        cases.append(Case(name, "log_softmax", (((6, columns), "int8"),), attributes))
    return cases


# --- resizes and moves ------------------------------------------------------------------------------------


def _resizes() -> List[Case]:
    cases = []
    for x, size in (((1, 3, 4, 5), (6, 8)), ((2, 5, 4, 3), (3, 9)), ((1, 1, 1, 2), (3, 2)), ((1, 7, 6, 1), (2, 1))):
        places = [np.minimum(np.arange(out) * n // out, n - 1) for n, out in zip(x[1:3], size)]
        attributes = dict(zip(("rows", "columns"), places))
        cases.append(Case(f"{x} to {size}", "resize_nearest", ((x, "int8"),), attributes))
        for shift, clamp in ((0, INT8), (2, (0, 60)), (-3, INT8)):
            random = random_of(f"{x} {size}")
            sides = [(low, np.minimum(low + 1, n - 1), random.randint(0, 1025, len(low)))
                     for low, n in zip(places, x[1:3])]  # fmt: skip
            attributes = {"rows": sides[0], "columns": sides[1], "shift": shift, "clamp": clamp}
            cases.append(Case(f"{x} to {size}, >> {shift}", "resize_linear", ((x, "int8"),), attributes))
    return cases


def _shuffles() -> List[Case]:
    def one(name, operator, shape, /, **attributes):
        return Case(name, operator, ((shape, "int8"),), attributes)

    x = (2, 3, 4, 5)
    cases = [
        one("inner", "strided_slice", x, begin=[0, 1, 0, 2], steps=[1, 1, 1, 1], shape=(2, 2, 4, 3)),
        one("steps", "strided_slice", x, begin=[1, 0, 0, 1], steps=[1, 2, 3, 2], shape=(1, 2, 2, 2)),
        one("backwards", "strided_slice", x, begin=[1, 2, 3, 4], steps=[-1, -2, -1, -3], shape=(2, 2, 4, 2)),
        one("one value", "strided_slice", (7,), begin=[3], steps=[1], shape=(1,)),
        one("a row", "tile", (5,), repeats=(3,)),
        one("two axes", "tile", x, repeats=(1, 2, 1, 3)),
        one("more axes", "tile", (2, 3), repeats=(2, 1, 2)),
        one("one value", "broadcast", (1,), shape=(3, 4)),
        one("inner axes", "broadcast", (2, 1, 3, 1), shape=(2, 4, 3, 5)),
        one("leading axis", "broadcast", (3, 1), shape=(2, 3, 4)),
        one("DCR", "depth_to_space", (2, 2, 3, 12), block=2, mode="DCR"),
        one("CRD", "depth_to_space", (1, 2, 3, 18), block=3, mode="CRD"),
        one("2", "space_to_depth", (2, 4, 6, 3), block=2),
        one("3", "space_to_depth", (1, 3, 6, 1), block=3),
        one("constant", "pad", x, before=[0, 1, 2, 0], after=[0, 0, 1, 3], mode="constant", value=-7),
        one("crop and pad", "pad", x, before=[0, -1, 2, 0], after=[0, 0, -1, 3], mode="constant", value=5),
        one("edge", "pad", x, before=[1, 0, 2, 1], after=[0, 2, 1, 1], mode="edge", value=0),
        one("reflect", "pad", x, before=[0, 2, 3, 0], after=[0, 1, 2, 4], mode="reflect", value=0),
        one("axis 1", "gather", x, indices=np.array([2, -1, 0, 0]), axis=1),
        one("last axis, two axes of indices", "gather", x, indices=np.array([[4, 0], [1, -5]]), axis=3),
        one("first axis, one index", "gather", x, indices=np.array(1), axis=0),
        one("rows", "gather_rows", x, rows=np.array([5, 0, 0, 3]), inner=20, shape=(4, 4, 5)),
        one("values", "gather_rows", (3, 4), rows=np.array([11, 3]), inner=1, shape=(2,)),
    ]
    for shapes, axis in ((((2, 3), (2, 1), (2, 4)), 1), ((x, x), 0), ((x, (2, 3, 1, 5)), 2), ((x, x, x), 3)):
        inputs = tuple((shape, "int8") for shape in shapes)
        cases.append(Case(f"{len(shapes)} along axis {axis}", "concat", inputs, {"axis": axis}))
    for shapes, axis, places in ((((2, 3), (2, 4)), 1, [1]), (((3, 4), (2, 4)), 0, [0, 3]), ((x,), 3, [0, 1])):
        inputs = tuple((shape, "int8") for shape in shapes)
        constants = [constant_of(f"part {place}", shapes[0]) for place in places]
        attributes = {"axis": axis, "places": places, "constants": constants}
        cases.append(Case(f"constants at {places} along axis {axis}", "concat", inputs, attributes))
    for rows, inner in (([1, 1, 0], 20), ([5], 20), ([119, 0], 1)):
        inputs = ((x, "int8"), ((len(rows), inner), "int8"))
        attributes = {"rows": np.array(rows), "inner": inner}
        cases.append(Case(f"rows {rows} of {inner}", "scatter_rows", inputs, attributes))
    return cases


CASES: List[Case] = [
    *LAYERS,
    *_elementwise(),
    *_floats(),
    *_moves(),
    *_broadcasts(),
    *_reductions(),
    *_log_softmaxes(),
    *_resizes(),
    *_shuffles(),
]
CASES += moved(CASES) + widened(CASES)
