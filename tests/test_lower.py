"""ONNX that is newer than what the pinned tools read: lowered to the same function, or refused by name."""

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from small_models import model_of, random

from esp_tvm.errors import UserError
from esp_tvm.model import load_model, opset_of, session


def newer(nodes, inputs, outputs, constants=(), opset=20, ir_version=10):
    return model_of(nodes, inputs, outputs, constants, opset, ir_version, check=False)


def load(model, tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return load_model(path)


def result(model, tmp_path, **feeds):
    lowered = load(model, tmp_path)
    assert opset_of(lowered) == 17 and lowered.ir_version == 8
    return session(lowered).run(None, feeds)


def node(kind, inputs, **attributes):
    outputs = attributes.pop("outputs", ["y"])
    return helper.make_node(kind, inputs, outputs, "the_node", **attributes)


def complaint(model, tmp_path):
    with pytest.raises(UserError) as error:
        load(model, tmp_path)
    text = str(error.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize("opset", [18, 20, 22, 25, 28])
def test_operators_that_only_gained_types_are_kept(tmp_path, opset):
    x, w = random(1, 3, 8, 8), random(4, 3, 3, 3)
    nodes = [helper.make_node("Conv", ["x", "w"], ["c"], "conv"), helper.make_node("Relu", ["c"], ["y"], "relu")]
    shapes = {"x": [1, 3, 8, 8]}, {"y": [1, 4, 6, 6]}, {"w": w}
    (new,) = result(newer(nodes, *shapes, opset=opset), tmp_path, x=x)
    (old,) = session(model_of(nodes, *shapes, opset=13)).run(None, {"x": x})
    assert np.array_equal(new, old)


@pytest.mark.parametrize(
    "kind, function",
    [
        ("ReduceMean", lambda x, a: x.mean(a)),
        ("ReduceMax", lambda x, a: x.max(a)),
        ("ReduceL2", lambda x, a: np.sqrt((x**2).sum(a))),
    ],
)
@pytest.mark.parametrize("axes", [(2, 3), (-1,), None])
def test_reductions_take_their_axes_back(tmp_path, kind, function, axes):
    x = random(1, 3, 4, 5)
    constants = {} if axes is None else {"a": np.array(axes, np.int64)}
    inputs = ["x"] if axes is None else ["x", "a"]
    model = newer(
        [node(kind, inputs, keepdims=0)], {"x": x.shape}, {"y": np.shape(function(x, axes))}, constants, opset=18
    )
    np.testing.assert_allclose(result(model, tmp_path, x=x)[0], function(x, axes), rtol=1e-5)


def test_axes_in_a_constant_node(tmp_path):
    x = random(1, 3, 4)
    axes = helper.make_node("Constant", [], ["a"], "axes", value=numpy_helper.from_array(np.array([2], np.int64)))
    model = newer([axes, node("ReduceMean", ["x", "a"])], {"x": x.shape}, {"y": [1, 3, 1]})
    np.testing.assert_allclose(result(model, tmp_path, x=x)[0], x.mean(2, keepdims=True), rtol=1e-5)


def test_reduction_of_nothing_is_the_identity(tmp_path):
    x = random(1, 3)
    relu = helper.make_node("Relu", ["z"], ["y"], "relu")
    nodes = [node("ReduceMean", ["x"], outputs=["z"], noop_with_empty_axes=1), relu]
    model = newer(nodes, {"x": x.shape}, {"y": x.shape})
    assert np.array_equal(result(model, tmp_path, x=x)[0], np.maximum(x, 0))


def test_pad_of_some_axes(tmp_path):
    x = random(1, 2, 3, 4)
    constants = {"p": np.array([1, 0, 2, 3], np.int64), "a": np.array([-1, 2], np.int64)}
    model = newer([node("Pad", ["x", "p", "", "a"])], {"x": x.shape}, {"y": [1, 2, 6, 7]}, constants)
    assert np.array_equal(result(model, tmp_path, x=x)[0], np.pad(x, ((0, 0), (0, 0), (0, 3), (1, 2))))


def test_even_split(tmp_path):
    x = random(1, 6)
    split = node("Split", ["x"], outputs=["y", "z"], axis=1, num_outputs=2)
    y, z = result(newer([split], {"x": x.shape}, {"y": [1, 3], "z": [1, 3]}, opset=18), tmp_path, x=x)
    assert np.array_equal(np.hstack([y, z]), x)


@pytest.mark.parametrize("declared", [True, False])
@pytest.mark.parametrize("mode", ["constant", "edge", "reflect"])
@pytest.mark.parametrize("axes", [[-1], [3, 1], [2]])
def test_pads_of_some_axes(tmp_path, declared, mode, axes):
    """Also of a tensor whose shape nothing declares."""
    x = random(1, 3, 5, 6)
    amounts = [1, 2][: len(axes)] + [2, 0][: len(axes)]
    nodes = [node("Relu", ["x"], outputs=["r"]), node("Pad", ["r", "p", "", "axes"], mode=mode)]
    nodes = nodes if not declared else [node("Pad", ["x", "p", "", "axes"], mode=mode)]
    widths = [(0, 0)] * 4
    for i, axis in enumerate(axes):
        widths[axis] = (amounts[i], amounts[i + len(axes)])
    wanted = np.pad(x if declared else np.maximum(x, 0), widths, mode)
    constants = {"p": np.int64(amounts), "axes": np.int64(axes)}
    model = newer(nodes, {"x": x.shape}, {"y": wanted.shape}, constants, opset=18)
    np.testing.assert_array_equal(result(model, tmp_path, x=x)[0], wanted)


@pytest.mark.parametrize("axes, pads", [(None, [0, 0, 1, 2, 0, 1, 4, 0]), ([-1, 1], [3, 0, 1, 2]), ([2], [0, 0])])
def test_pads_that_go_round(tmp_path, axes, pads):
    """padding_mode="circular" of PyTorch."""
    x, amounts = random(1, 3, 4, 5), np.zeros((2, 4), np.int64)
    amounts[:, slice(None) if axes is None else axes] = np.reshape(pads, (2, -1))
    wanted = np.pad(x, amounts.T, mode="wrap")
    constants = {"p": np.array(pads), **({} if axes is None else {"a": np.array(axes)})}
    inputs = ["x", "p"] if axes is None else ["x", "p", "", "a"]
    model = newer([node("Pad", inputs, mode="wrap")], {"x": x.shape}, {"y": wanted.shape}, constants, opset=19)
    assert np.array_equal(result(model, tmp_path, x=x)[0], wanted)


@pytest.mark.parametrize(
    "mode, old", [(None, "bilinear"), ("linear", "bilinear"), ("cubic", "bicubic"), ("nearest",) * 2]
)
def test_modes_of_grid_sample(tmp_path, mode, old):
    x, grid = random(1, 3, 4, 5), np.tanh(random(1, 2, 3, 2))
    given = {} if mode is None else {"mode": mode}
    new = newer([node("GridSample", ["x", "g"], **given)], {"x": x.shape}, {"y": [1, 3, 2, 3]}, {"g": grid})
    before = model_of([node("GridSample", ["x", "g"], mode=old)], {"x": x.shape}, {"y": [1, 3, 2, 3]}, {"g": grid}, 16)
    assert np.array_equal(result(new, tmp_path, x=x)[0], session(before).run(None, {"x": x})[0])


@pytest.mark.parametrize("axes", [[2, 3], [3, 2], [-1], [-1, -2]])
@pytest.mark.parametrize("sizes", [True, False])
@pytest.mark.parametrize("batch", [1, "N"])
def test_resizing_of_some_axes(tmp_path, axes, sizes, batch):
    x = random(1, 3, 4, 6)
    whole, scales = [1, 3, 4, 6], [1, 1, 1, 1]
    for axis, factor in zip(axes, (2, 3)):
        scales[axis], whole[axis] = factor, whole[axis] * factor
    given = np.int64([whole[axis] for axis in axes]) if sizes else np.float32([scales[axis] for axis in axes])
    resize = node("Resize", ["r", "", "", "g"] if sizes else ["r", "", "g"], axes=axes, mode="nearest")
    resize.attribute.append(helper.make_attribute("coordinate_transformation_mode", "asymmetric"))
    resize.attribute.append(helper.make_attribute("nearest_mode", "floor"))
    nodes, shapes = [node("Relu", ["x"], outputs=["r"]), resize], ({"x": [batch, 3, 4, 6]}, {"y": [batch, *whole[1:]]})
    model = newer(nodes, *shapes, {"g": given}, opset=18)
    wanted = np.maximum(x, 0)
    for axis in (2, 3):
        wanted = np.repeat(wanted, scales[axis], axis)
    np.testing.assert_array_equal(result(model, tmp_path, x=x)[0], wanted)


@pytest.mark.parametrize("shape, axis, sizes", [([1, 5], 1, [3, 2]), (["N", 3, 10], -1, [4, 4, 2])])
def test_uneven_split(tmp_path, shape, axis, sizes):
    """The last part is smaller."""
    x, names = random(*[size if size != "N" else 1 for size in shape]), ["y", "z", "w"][: len(sizes)]
    split = node("Split", ["x"], outputs=names, axis=axis, num_outputs=len(sizes))
    outputs = {name: [*shape[:-1], size] for name, size in zip(names, sizes)}
    made = result(newer([split], {"x": shape}, outputs, opset=18), tmp_path, x=x)
    assert [part.shape[-1] for part in made] == sizes and np.array_equal(np.concatenate(made, -1), x)


def erf(x):
    # Abramowitz and Stegun 7.1.26 is good for 1.5e-7.
    t = 1 / (1 + 0.3275911 * np.abs(x))
    poly = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    return np.sign(x) * (1 - poly * np.exp(-(x**2)))


@pytest.mark.parametrize(
    "kind, attributes, opset, function",
    [
        ("Gelu", {}, 20, lambda x: x * (1 + erf(x / np.sqrt(2))) / 2),
        (
            "Gelu",
            {"approximate": "tanh"},
            20,
            lambda x: x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))) / 2,
        ),
        ("Mish", {}, 18, lambda x: x * np.tanh(np.log1p(np.exp(x)))),
        ("Swish", {"alpha": 2.0}, 24, lambda x: x / (1 + np.exp(-2 * x))),
        ("Swish", {}, 24, lambda x: x / (1 + np.exp(-x))),
    ],
)
def test_new_activations_become_old_operators(tmp_path, kind, attributes, opset, function):
    x = random(1, 200, scale=3)
    model = newer([node(kind, ["x"], **attributes)], {"x": x.shape}, {"y": x.shape}, opset=opset)
    np.testing.assert_allclose(result(model, tmp_path, x=x)[0], function(x.astype(np.float64)), atol=2e-6)


@pytest.mark.parametrize("opset", [20, 21])
def test_group_normalization(tmp_path, opset):
    """The factors are one per group before opset 21 and one per channel since."""
    x, count = random(2, 6, 4, 5), 3 if opset == 20 else 6
    scale, bias = random(count), random(count, seed=1)
    group = node("GroupNormalization", ["x", "s", "b"], num_groups=3, epsilon=0.1)
    model = newer([group], {"x": x.shape}, {"y": x.shape}, {"s": scale, "b": bias}, opset=opset)
    groups = x.astype(np.float64).reshape(2, 3, -1)
    wanted = (groups - groups.mean(-1, keepdims=True)) / np.sqrt(groups.var(-1, keepdims=True) + 0.1)
    scale, bias = (np.repeat(a, 6 // count).reshape(6, 1, 1) for a in (scale, bias))
    np.testing.assert_allclose(result(model, tmp_path, x=x)[0], wanted.reshape(x.shape) * scale + bias, atol=1e-5)


@pytest.mark.parametrize("axis", [-1, 1])
def test_rms_normalization(tmp_path, axis):
    x = random(2, 3, 5)
    scale, axes = (random(5), (2,)) if axis == -1 else (random(3, 5), (1, 2))
    rms = node("RMSNormalization", ["x", "s"], axis=axis, epsilon=0.1)
    model = newer([rms], {"x": x.shape}, {"y": x.shape}, {"s": scale}, opset=23)
    wanted = x / np.sqrt((x.astype(np.float64) ** 2).mean(axes, keepdims=True) + 0.1) * scale
    np.testing.assert_allclose(result(model, tmp_path, x=x)[0], wanted, atol=1e-5)


@pytest.mark.parametrize(
    "heads, flat, more",
    [((2, 2), True, ""), ((4, 2), True, "causal"), ((2, 1), False, "scale mask"), ((1, 1), False, "kept")],
)
def test_attention(tmp_path, heads, flat, more):
    """Heads that share keys, causal, with a mask that is added and one that says what is kept."""
    q, k, v = (random(1, h, steps, 4, seed=i) for i, (h, steps) in enumerate(zip((*heads, heads[1]), (3, 5, 5))))
    scale = 0.7 if "scale" in more else 0.5
    scores = q.astype(np.float64) @ np.repeat(k, heads[0] // heads[1], 1).transpose(0, 1, 3, 2) * scale
    constants, names, attributes = {}, ["q", "k", "v"], {"scale": scale} if "scale" in more else {}
    if "causal" in more:
        attributes["is_causal"] = 1
        scores = np.where(np.triu(np.ones((3, 5)), 1) > 0, -np.inf, scores)
    if "mask" in more:
        constants["m"] = random(3, 5, seed=7)
        scores = scores + constants["m"]
    if "kept" in more:
        constants["m"] = np.arange(15).reshape(3, 5) % 3 > 0
        scores = np.where(constants["m"], scores, -np.inf)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    wanted = weights / weights.sum(-1, keepdims=True) @ np.repeat(v, heads[0] // heads[1], 1)
    given = {"q": q, "k": k, "v": v}
    if flat:
        attributes.update(q_num_heads=heads[0], kv_num_heads=heads[1])
        wanted, *arrays = (a.transpose(0, 2, 1, 3).reshape(1, a.shape[2], -1) for a in (wanted, q, k, v))
        given = dict(zip("qkv", arrays))
    names += ["m"] * bool(constants)
    shapes = {name: array.shape for name, array in given.items()}
    model = newer([node("Attention", names, **attributes)], shapes, {"y": wanted.shape}, constants, opset=23)
    np.testing.assert_allclose(result(model, tmp_path, **given)[0], wanted, atol=1e-5)


def test_keys_that_a_mask_does_not_reach_are_masked(tmp_path):
    """Since opset 24."""
    q, k, v, mask = random(1, 1, 3, 4), random(1, 1, 5, 4, seed=1), random(1, 1, 5, 4, seed=2), random(3, 3, seed=3)
    shapes, out = {"q": q.shape, "k": k.shape, "v": v.shape}, {"y": q.shape}
    short, whole = (
        newer([node("Attention", ["q", "k", "v", "m"])], shapes, out, {"m": array}, opset=24)
        for array in (mask, np.concatenate([mask, np.full((3, 2), -1e9, np.float32)], 1))
    )
    ours, theirs = (result(model, tmp_path, q=q, k=k, v=v)[0] for model in (short, whole))
    assert np.array_equal(ours, theirs)


def test_new_attributes_at_their_old_meaning_are_dropped(tmp_path):
    x = random(1, 1, 4, 4)
    pool = node("AveragePool", ["x"], kernel_shape=[2, 2], dilations=[1, 1])
    model = newer([pool], {"x": x.shape}, {"y": [1, 1, 3, 3]})
    assert result(model, tmp_path, x=x)[0].shape == (1, 1, 3, 3)
    cast = node("Cast", ["x"], to=1, saturate=1)
    assert np.array_equal(result(newer([cast], {"x": x.shape}, {"y": x.shape}), tmp_path, x=x)[0], x)


@pytest.mark.parametrize(
    "refused, shape",
    [
        (node("GroupNormalization", ["x", "computed", "s"], num_groups=2), [1, 4, 4, 4]),
        (node("RMSNormalization", ["x", "s"], stash_type=11), [1, 4, 4, 4]),
        (node("AveragePool", ["x"], kernel_shape=[2, 2], dilations=[2, 2], ceil_mode=1), [1, 4, 2, 2]),
        (
            node(
                "Resize",
                ["x", "", "r"],
                antialias=1,
                mode="cubic",
                coordinate_transformation_mode="half_pixel_symmetric",
            ),
            [1, 4, 8, 8],
        ),
        (node("Col2Im", ["columns", "size", "block"]), [1, 1, 3]),
        (node("Pad", ["x", "far"], mode="wrap"), [1, 4, 4, 9]),
        (node("Pad", ["x", "less"], mode="wrap"), [1, 4, 4, 3]),
        (node("ReduceMean", ["x", "computed"]), [1, 1, 1, 1]),
        (node("GridSample", ["volume", "g"]), [1, 1, 4, 4, 4]),
    ],
)
def test_what_opset_17_cannot_say_is_refused_by_name(tmp_path, refused, shape):
    constants = {
        "s": random(2),
        "r": np.array([1, 1, 2, 2], np.float32),
        "far": np.array([0, 0, 0, 5, 0, 0, 0, 0]),
        "less": np.array([0, 0, 0, 0, 0, 0, 0, -1]),
        "volume": random(1, 1, 4, 4, 4),
        "g": random(1, 4, 4, 4, 3),
        "columns": random(1, 2, 2),
        "size": np.array([3]),
        "block": np.array([2]),
    }
    nodes = [helper.make_node("Shape", ["x"], ["computed"], "shape"), refused]
    text = complaint(newer(nodes, {"x": [1, 4, 4, 4]}, {"y": shape}, constants), tmp_path)
    assert "'the_node'" in text and "opset_version=17" in text


@pytest.mark.parametrize(
    "damaged, words",
    [
        (node("Pad", ["x", "p4", "", "far"]), "axes [2, 7] of a tensor of 4 axes"),
        (node("Pad", ["x", "p4", "", "same"]), "axes [3, -1] of a tensor of 4 axes"),
        (node("Pad", ["x", "p2", "", "hw"]), "2 pads for 2 axes"),
        (node("Pad", ["x", "p3", "", "hw"]), "3 pads for 2 axes"),
        (node("Pad", ["x", "", "", "hw"]), "0 pads for 2 axes"),
        (node("Resize", ["x", "", "", "p2"], axes=[2, 2]), "axes [2, 2]"),
        (node("Resize", ["x", "", "", "p3"], axes=[2, 3]), "3 sizes or scales for 2 axes"),
        (node("Resize", ["x", "", "", "none"], axes=[2, 3]), "sizes or scales that are not above 0"),
        (node("Split", ["x"], axis=4, num_outputs=3), "axes [4] of a tensor of 4 axes"),
        (node("Split", ["x"], axis=1, num_outputs=5), "num_outputs 5 of an axis of 4"),
        (node("RMSNormalization", ["x", "s"], axis=-5), "axes [-5]"),
        (node("GroupNormalization", ["x", "s", "s"], num_groups=3), "num_groups 3 of 4 channels"),
        (node("GroupNormalization", ["x", "s", "s"]), "attributes are not this operator's"),
        (node("Gelu", []), "its inputs, outputs or attributes are not this operator's"),
        (node("ReduceMax", ["x", "nan"]), "NaN"),
    ],
)
def test_damaged_nodes_of_a_new_opset_are_refused_by_name(tmp_path, damaged, words):
    """No checker of the pinned onnx knows them."""
    whole = {
        "p2": [1, 1],
        "p3": [1, 1, 1],
        "p4": [1, 1, 1, 1],
        "far": [2, 7],
        "same": [3, -1],
        "hw": [2, 3],
        "none": [4, 0],
    }
    constants = {name: np.array(values, np.int64) for name, values in whole.items()}
    constants.update(s=random(4), nan=np.array([np.nan], np.float32))
    text = complaint(newer([damaged], {"x": [1, 4, 4, 4]}, {"y": [1, 4, 4, 4]}, constants), tmp_path)
    assert "'the_node'" in text and words in text and "correct the model" in text


def test_unknown_opset_and_new_element_types(tmp_path):
    relu = node("Relu", ["x"])
    text = complaint(newer([relu], {"x": [1, 4]}, {"y": [1, 4]}, opset=99), tmp_path)
    assert "opset 99" in text and "opset_version=17" in text
    model = newer([relu], {"x": [1, 4]}, {"y": [1, 4]})
    model.graph.input[0].type.tensor_type.elem_type = 17
    assert "float32" in complaint(model, tmp_path)


def test_new_fields_of_the_format_are_dropped(tmp_path):
    model = newer([node("Relu", ["x"])], {"x": [1, 4]}, {"y": [1, 4]}, opset=17, ir_version=11)
    # metadata_props of a node, which came with IR 10: field 9 of NodeProto.
    model.graph.node[0].MergeFromString(b"\x4a\x06\x0a\x01k\x12\x01v")
    lowered = load(model, tmp_path)
    assert lowered.ir_version == 8 and b"\x0a\x01k\x12\x01v" not in lowered.SerializeToString()
    onnx.checker.check_model(lowered)


@pytest.mark.parametrize("counts_pads", [0, 1])
def test_dilated_average_pool(tmp_path, counts_pads):
    x = random(2, 3, 7, 6)
    window = {"kernel_shape": [2, 3], "dilations": [3, 2], "strides": [2, 1], "pads": [1, 0, 2, 3]}
    pool = node("AveragePool", ["x"], count_include_pad=counts_pads, **window)
    (got,) = result(newer([pool], {"x": x.shape}, {"y": [2, 3, 4, 5]}), tmp_path, x=x)
    padded = np.pad(x, [(0, 0), (0, 0), (1, 2), (0, 3)], constant_values=np.nan)
    taps = [padded[:, :, 3 * i : 3 * i + 8 : 2, 2 * j : 2 * j + 5] for i in range(2) for j in range(3)]
    wanted = np.nansum(taps, axis=0) / 6 if counts_pads else np.nanmean(taps, axis=0)
    np.testing.assert_allclose(got, wanted[:, :, :4], rtol=1e-5, atol=1e-6)


def test_columns_to_an_image(tmp_path):
    """Blocks of 2 x 3 with strides and dilations that overlap; the last rows are reached by none."""
    image, block = (8, 9), (2, 3)
    options = {"strides": [2, 1], "dilations": [3, 2], "pads": [1, 0, 0, 1]}
    places = [(2 * i - 1, j) for i in range(3) for j in range(6)]
    x, wanted = random(2, 2 * 6, len(places)), np.zeros((2, 2, *image), np.float32)
    for number, (row, column) in enumerate(places):
        for tap, (i, j) in enumerate((i, j) for i in range(2) for j in range(3)):
            at = row + 3 * i, column + 2 * j
            if 0 <= at[0] < image[0] and 0 <= at[1] < image[1]:
                wanted[:, :, at[0], at[1]] += x[:, tap::6, number]
    constants = {"size": np.array(image), "block": np.array(block)}
    model = newer([node("Col2Im", ["x", "size", "block"], **options)], {"x": x.shape}, {"y": wanted.shape}, constants)
    np.testing.assert_allclose(result(model, tmp_path, x=x)[0], wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "options, constant, wanted",
    [
        ({"mode": "linear"}, {"s": np.float32([1, 1, 0.6, 0.6])}, [[2.875, 4.5], [9.375, 11.0]]),
        ({"mode": "cubic"}, {"s": np.float32([1, 1, 0.6, 0.6])}, [[2.5180721, 4.2858863], [9.589329, 11.357142]]),
        (
            {"mode": "linear", "axes": [2, 3]},
            {"n": np.array([3, 3])},
            [[2.3636363, 3.590909, 4.818182], [7.2727275, 8.5, 9.727273], [12.181818, 13.409091, 14.636364]],
        ),
    ],
)
def test_resize_with_antialias(tmp_path, options, constant, wanted):
    """The numbers of ONNX's own tests."""
    x = np.arange(1, 17, dtype=np.float32).reshape(1, 1, 4, 4)
    inputs = ["x", "", "s"] if "s" in constant else ["x", "", "", "n"]
    resize = node("Resize", inputs, antialias=1, **options)
    model = newer([resize], {"x": x.shape}, {"y": [1, 1, *np.shape(wanted)]}, constant)
    np.testing.assert_allclose(result(model, tmp_path, x=x)[0][0, 0], wanted, rtol=1e-5)


@pytest.mark.parametrize("interleaved, turned, flat, ids", [(0, 0, 0, 0), (1, 0, 1, 1), (0, 4, 1, 0), (1, 4, 0, 1)])
def test_rotary_embedding(tmp_path, interleaved, turned, flat, ids):
    batch, heads, steps, width = 2, 3, 4, 6
    size = turned or width
    x, angles = random(batch, steps, heads, width), random(9, size // 2, seed=1)
    places = np.array([[3, 0, 8, 1], [2, 2, 5, 7]])
    own = angles[places] if ids else np.stack([angles[:steps], angles[steps : 2 * steps]])
    cosine, sine = np.cos(own)[:, :, None], np.sin(own)[:, :, None]
    part = x[..., :size]
    a, b = (part[..., 0::2], part[..., 1::2]) if interleaved else np.split(part, 2, axis=-1)
    pair = cosine * a - sine * b, sine * a + cosine * b
    made = np.stack(pair, -1).reshape(part.shape) if interleaved else np.concatenate(pair, -1)
    wanted = np.concatenate([made, x[..., size:]], -1)
    x, wanted = (v.reshape(batch, steps, -1) if flat else v.swapaxes(1, 2) for v in (x, wanted))
    tables = angles if ids else np.stack([angles[:steps], angles[steps : 2 * steps]])
    constants = {"c": np.cos(tables), "s": np.sin(tables), "p": places}
    options = {"interleaved": interleaved, "rotary_embedding_dim": turned, **({"num_heads": heads} if flat else {})}
    turn = node("RotaryEmbedding", ["x", "c", "s", *["p"] * ids], **options)
    model = newer([turn], {"x": x.shape}, {"y": wanted.shape}, constants, opset=23)
    np.testing.assert_allclose(result(model, tmp_path, x=x)[0], wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", ["max", "min"])
@pytest.mark.parametrize("elements", [True, False])
def test_scattered_extremes(tmp_path, kind, elements):
    x, choose = random(4, 5), np.maximum if kind == "max" else np.minimum
    places = np.array([[0, -1, 2], [1, 3, -5]]) if elements else np.array([[1, 2], [-1, 0], [0, -2]])
    updates, wanted = random(2, 3, seed=1) if elements else random(3, seed=1), x.copy()
    for at in np.ndindex(*updates.shape):
        where = (at[0], places[at]) if elements else tuple(places[at[0]])
        wanted[where] = choose(wanted[where], updates[at])
    options = {"axis": 1} if elements else {}
    scatter = node("ScatterElements" if elements else "ScatterND", ["x", "i", "u"], reduction=kind, **options)
    model = newer([scatter], {"x": x.shape, "u": updates.shape}, {"y": x.shape}, {"i": places})
    np.testing.assert_array_equal(result(model, tmp_path, x=x, u=updates)[0], wanted)
    twice = places.copy()
    twice[:, 0 if elements else slice(None)] = twice[:1, :1] if elements else twice[:1]
    twice = np.tile(twice[:, :1], (1, 3)) if elements else twice
    again = newer([scatter], {"x": x.shape, "u": updates.shape}, {"y": x.shape}, {"i": twice})
    assert "named more than once" in complaint(again, tmp_path)


@pytest.mark.parametrize(
    "large, constants",
    [
        (node("AveragePool", ["x"], kernel_shape=[30000, 30000], dilations=[2, 2], pads=[40000] * 4), {}),
        (node("Resize", ["x", "", "", "n"], antialias=1, mode="linear"), {"n": np.array([1, 3, 1 << 30, 8])}),
        (node("Resize", ["x", "", "", "n"], antialias=1, mode="linear"), {"n": np.array([1, 3, 0, 8])}),
    ],
)
def test_matrices_that_nothing_has_room_for_are_refused(tmp_path, large, constants):
    text = complaint(newer([large], {"x": [1, 3, 8, 8]}, {"y": [1, 3, 8, 8]}, constants), tmp_path)
    assert "of sizes " in text and "'the_node'" in text
