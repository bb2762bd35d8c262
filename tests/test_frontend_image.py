"""Pictures and camera frames to a model's input: NumPy against its formulas, the generated C against NumPy."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from esp_tvm import arithmetic
from esp_tvm.errors import UserError
from esp_tvm.frontend import image
from esp_tvm.frontend.host import ImageProgram, inputs_of_parts, write_files
from esp_tvm.frontend.image_c import emit_preprocess
from esp_tvm.frontend.image_spec import FORMATS, load_image_spec

SPEC = """\
width: {width}
height: {height}
layout: {layout}
channels: {channels}
scale: 1/255
mean: {mean}
std: 0.25
resize: {resize}
fit: {fit}
pad: [10, 200, 90]
camera: {{width: {frame_width}, height: {frame_height}, formats: [{formats}], parts: {parts}}}
"""
ALL = ", ".join(FORMATS)


def spec_of(tmp_path, **values):
    defaults = {
        "width": 12,
        "height": 9,
        "layout": "NCHW",
        "channels": "RGB",
        "mean": 0.5,
        "resize": "area",
        "fit": "stretch",
        "frame_width": 40,
        "frame_height": 30,
        "formats": ALL,
        "parts": "false",
    }
    path = tmp_path / "image.yaml"
    path.write_text(SPEC.format(**{**defaults, **values}))
    return load_image_spec(path)


def written(tmp_path, text):
    path = tmp_path / "image.yaml"
    path.write_text(text)
    return path


# --- formulas ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["nearest", "bilinear", "area"])
@pytest.mark.parametrize("source, target", [(7, 3), (3, 7), (5, 5), (1, 4), (4, 1), (640, 96), (97, 32)])
def test_weights_of_an_axis_follow_the_definition(mode, source, target):
    axis = image.axis(mode, source, target)
    ratio = Fraction(source, target)
    for i, (start, weights) in enumerate(zip(axis.starts, axis.weights)):
        assert sum(weights) == axis.total and min(weights) >= 0
        assert 0 <= start and start + len(weights) <= source
        if mode == "nearest":
            assert start == int((i + Fraction(1, 2)) * ratio)
        elif mode == "area":
            for k, weight in enumerate(weights):
                low, high = max(start + k, i * ratio), min(start + k + 1, (i + 1) * ratio)
                assert Fraction(weight, axis.total) == (high - low) / ratio
        else:
            centre = sum((start + k) * Fraction(w, axis.total) for k, w in enumerate(weights))
            wanted = min(max((i + Fraction(1, 2)) * ratio - Fraction(1, 2), 0), source - 1)
            assert 0 <= wanted - centre < Fraction(1, 2048)


@pytest.mark.parametrize("mode", ["nearest", "bilinear", "area"])
def test_resize_keeps_what_has_the_size_and_what_is_flat(mode):
    pixels = np.random.default_rng(1).integers(0, 256, (11, 17, 3)).astype(np.uint8)
    assert np.array_equal(image.resize(pixels, mode, 17, 11), pixels)
    flat = np.full((31, 77, 3), 255, np.uint8)
    assert np.array_equal(image.resize(flat, mode, 50, 8), np.full((8, 50, 3), 255))


def test_area_is_the_mean_rounded_half_up():
    pixels = np.random.default_rng(2).integers(0, 256, (12, 20, 1)).astype(np.uint8)
    means = pixels.reshape(3, 4, 5, 4, 1).astype(np.float64).mean(axis=(1, 3))
    assert np.array_equal(image.resize(pixels, "area", 5, 3), np.floor(means + 0.5).astype(np.uint8))


def test_int8_input_is_the_float_input_quantized(tmp_path):
    spec = spec_of(tmp_path, mean="[0.485, 0.456, 0.406]")
    pixels = np.random.default_rng(3).integers(0, 256, (50, 60, 3)).astype(np.uint8)
    values = image.float_input(pixels, spec)
    prepared = image.prepare(pixels, spec).astype(np.float64)
    wanted = (prepared / 255 - [0.485, 0.456, 0.406]) / 0.25
    assert values.dtype == np.float32 and values.shape == (1, 3, 9, 12)
    np.testing.assert_allclose(values[0], wanted.transpose(2, 0, 1), atol=1e-6)
    assert np.array_equal(image.int8_input(pixels, spec, -5, "NCHW"), arithmetic.quantize(values, exponent=-5))
    centred = image.int8_input(pixels, spec, -5, "NCHW", -10)
    assert np.array_equal(centred, arithmetic.quantize(values, exponent=-5, zero_point=-10))
    last = image.int8_input(pixels, spec, -5, "NHWC")
    assert np.array_equal(last.transpose(0, 3, 1, 2), image.int8_input(pixels, spec, -5, "NCHW"))


def test_rgb565_of_both_byte_orders_comes_back_as_its_upper_bits():
    pixels = np.random.default_rng(4).integers(0, 256, (6, 8, 3)).astype(np.uint8)
    for form in ("rgb565_be", "rgb565_le"):
        back = image.unpack_frame(image.pack_frame(pixels, form), form, 8, 6)
        assert np.array_equal(back >> [3, 2, 3], pixels >> [3, 2, 3])
    word = image.pack_frame(np.array([[[255, 0, 8]]], np.uint8), "rgb565_be")
    assert word.tobytes() == b"\xf8\x01"
    white = np.full((1, 1, 3), 255, np.uint8)
    assert np.array_equal(image.unpack_frame(image.pack_frame(white, "rgb565_le"), "rgb565_le", 1, 1), white)


def test_crop_and_pad_keep_the_shape_of_things(tmp_path):
    crop = image.geometry(spec_of(tmp_path, fit="crop", width=10, height=10), 40, 30)
    assert crop.source == (5, 0, 30, 30) and crop.target == (0, 0, 10, 10)
    pad = image.geometry(spec_of(tmp_path, fit="pad", width=10, height=10), 40, 30)
    assert pad.source == (0, 0, 40, 30) and pad.target == (0, 1, 10, 8)
    prepared = image.prepare(np.full((30, 40, 3), 7, np.uint8), spec_of(tmp_path, fit="pad", width=10, height=10))
    assert (prepared[0] == [10, 200, 90]).all() and (prepared[1:9] == 7).all() and (prepared[9] == [10, 200, 90]).all()


# --- generated C ------------------------------------------------------------------------------------------

CASES = {
    f"{resize}-{fit}-{channels}-{layout}": {"resize": resize, "fit": fit, "channels": channels, "layout": layout}
    for resize in ("nearest", "bilinear", "area")
    for fit, channels, layout in (
        ("stretch", "RGB", "NHWC"),
        ("crop", "BGR", "NCHW"),
        ("pad", "gray", "NHWC"),
        ("pad", "RGB", "NCHW"),
    )
}
SIZES = {
    "frame of one column": {"frame_width": 1, "frame_height": 7},
    "frame of one row": {"frame_width": 9, "frame_height": 1, "resize": "bilinear"},
    "frame smaller than the input": {"frame_width": 5, "frame_height": 4, "resize": "bilinear"},
    "frame as large as the input": {"frame_width": 12, "frame_height": 9, "resize": "nearest", "formats": "rgb565_be"},
    "odd factors": {"frame_width": 97, "frame_height": 61, "width": 32, "height": 20},
    "QVGA": {"frame_width": 320, "frame_height": 240, "width": 96, "height": 96, "fit": "crop"},
}


QUICK = ["nearest-crop-BGR-NCHW", "bilinear-pad-gray-NHWC", "area-pad-RGB-NCHW", "QVGA", "frame as large as the input"]


@pytest.mark.parametrize(
    "case", [case if case in QUICK else pytest.param(case, marks=pytest.mark.slow) for case in [*CASES, *SIZES]]
)
def test_generated_c_gives_the_bytes_of_python(case, tmp_path):
    spec = spec_of(tmp_path, mean="0.45", **CASES.get(case, SIZES.get(case)))
    exponent, zero_point = -6, -12
    write_files(emit_preprocess(spec, exponent, spec.layout, zero_point), tmp_path)
    program = ImageProgram(tmp_path, spec, tmp_path, sanitize=True)
    rng = np.random.default_rng(5)
    width, height = spec.camera.width, spec.camera.height
    for form in spec.camera.formats:
        size = width * height * FORMATS[form]
        frames = [rng.integers(0, 256, size).astype(np.uint8) for _ in range(3)]
        frames += [np.zeros(size, np.uint8), np.full(size, 255, np.uint8)]
        computed = program.run(frames, form)
        for frame, row in zip(frames, computed):
            pixels = image.unpack_frame(frame, form, width, height)
            expected = image.int8_input(pixels, spec, exponent, spec.layout, zero_point)
            assert np.array_equal(row, expected.ravel()), form


# Of a frame of 40 x 30 pixels: all, one pixel, a row, a column, as large as the input, a multiple of it.
PARTS = [(0, 0, 40, 30), (3, 4, 1, 1), (39, 29, 1, 1), (0, 7, 40, 1), (39, 0, 1, 30), (28, 21, 12, 9), (2, 3, 24, 18)]
OUTSIDE = [(0, 0, 41, 30), (0, 0, 40, 31), (-1, 0, 5, 5), (0, -1, 5, 5), (36, 0, 5, 5), (0, 26, 5, 5), (4, 4, 0, 5)]
OUTSIDE += [(4, 4, 5, 0), (4, 4, -1, 5), (2**31 - 1, 0, 5, 5), (0, -(2**31), 5, 2**31 - 1), (40, 0, 2**31 - 1, 1)]


@pytest.mark.parametrize("channels, form", [("RGB", "rgb565_be"), ("BGR", "bgr888"), ("gray", "rgb565_le")])
@pytest.mark.parametrize("resize", ["nearest", "bilinear", "area"])
def test_generated_c_takes_parts_of_a_frame(resize, channels, form, tmp_path):
    spec = spec_of(tmp_path, channels=channels, resize=resize, formats=form, parts="true")
    write_files(emit_preprocess(spec, -5, "NHWC", -3), tmp_path)
    rng = np.random.default_rng(7)
    corners = [(int(rng.integers(0, 40)), int(rng.integers(0, 30))) for _ in range(60)]
    parts = PARTS + [(x, y, int(rng.integers(1, 41 - x)), int(rng.integers(1, 31 - y))) for x, y in corners]
    frame = rng.integers(0, 256, 40 * 30 * FORMATS[form]).astype(np.uint8)
    pixels = image.unpack_frame(frame, form, 40, 30)
    taken, inputs = inputs_of_parts(tmp_path, tmp_path, frame, form, parts + OUTSIDE)
    assert list(taken) == [True] * len(parts) + [False] * len(OUTSIDE)
    for (x, y, width, height), row in zip(parts, inputs):
        wanted = image.int8_input(pixels[y : y + height, x : x + width], spec, -5, "NHWC", -3)
        assert np.array_equal(row, wanted.ravel()), (x, y, width, height)
    assert (inputs[len(parts) :] == 85).all(), "nothing is written of what is outside"
    (whole,) = ImageProgram(tmp_path, spec, tmp_path, sanitize=True).run([frame], form)
    assert np.array_equal(whole, inputs[0])


def test_parts_go_with_a_stretched_picture_only(tmp_path):
    with pytest.raises(UserError, match="camera.parts goes with fit: stretch, not with pad"):
        spec_of(tmp_path, fit="pad", parts="true")


def test_rgb565_without_interpolation_uses_small_tables(tmp_path):
    spec = spec_of(tmp_path, resize="nearest", formats="rgb565_be, rgb565_le")
    text = emit_preprocess(spec, -6, "NHWC")["src/preprocess.c"]
    assert "red5[32]" in text and "green6[64]" in text and "256" not in text


# --- the YAML ---------------------------------------------------------------------------------------------

GOOD = "width: 8\nheight: 8\nlayout: NHWC\nscale: 1/255\nmean: 0\nstd: 1\n"


@pytest.mark.parametrize(
    "text, words",
    [
        ("width: 8", "height: is missing"),
        (GOOD + "stdd: 1", "stdd: is not known here"),
        (GOOD.replace("height", "hieght"), "hieght: is not known here; did you mean height?"),
        (
            GOOD + "camera: {widht: 9, height: 9, formats: gray8}",
            "camera.widht: is not known here; did you mean width?",
        ),
        (GOOD + "label: x", "label: is not known here; did you mean labels?"),
        (GOOD + "2001-01-01: 4", "is not known here; known are input, width"),
        (GOOD + "resize: !!binary aGk=", "resize: b'hi' is not one of"),
        (GOOD + 'resize: "\\ud800"', "resize: has text that is not Unicode"),
        (GOOD + 'labels: ["\\ud800"]', "labels: is not a list of names"),
        (GOOD + "camera: {width: 9, height: 9, formats: []}", "camera.formats: names nothing"),
        (GOOD.replace("NHWC", "HWC"), "'HWC' is not one of NCHW, NHWC"),
        (GOOD.replace("std: 1", "std: [1, 0, 1]"), "std: 0 is not larger than 0"),
        (GOOD.replace("std: 1", "std: 0"), "is not larger than 0"),
        (GOOD.replace("mean: 0", "mean: [1, 2]"), "has 2 numbers, 3 are needed"),
        (GOOD.replace("mean: 0", "mean: .nan"), "is not a number"),
        (GOOD.replace("1/255", "1/0"), "is not a number"),
        (GOOD.replace("1/255", "true"), "is not a number"),
        (GOOD.replace("width: 8", "width: 0"), "width: 0 is not a whole number from 1"),
        (GOOD.replace("width: 8", "width: 2.5"), "width: 2.5 is not a whole number"),
        (GOOD + "pad: [1, 2]", "pad: is not a colour"),
        (GOOD + "pad: [1, 2, 256]", "pad: is not a colour"),
        (GOOD + "resize: cubic", "'cubic' is not one of nearest, bilinear, area"),
        (GOOD + "camera: {width: 9, height: 9}", "camera.formats: is missing"),
        (GOOD + "camera: {width: 9, height: 9, formats: [yuv]}", "'yuv' is not one of rgb565_be"),
        (GOOD + "camera: {width: 4096, height: 4096, formats: rgb888}", "no chip has room"),
        (GOOD + "camera: 5", "is not a list of 'key: value' lines"),
        ("- 1\n- 2\n", "is not a list of 'key: value' lines"),
        ("a: [", "is not YAML in line"),
        ("a: !!python/object:os.system x", "is not YAML"),
        ("", "is not a list of 'key: value' lines"),
    ],
)
def test_bad_values_are_one_clear_line(text, words, tmp_path):
    with pytest.raises(UserError) as error:
        load_image_spec(written(tmp_path, text))
    assert words in str(error.value) and "image.yaml" in str(error.value) and "\n" not in str(error.value)


def test_a_file_that_is_not_there_or_no_text(tmp_path):
    with pytest.raises(UserError, match="cannot be read"):
        load_image_spec(tmp_path / "none.yaml")
    (tmp_path / "image.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="UTF-8"):
        load_image_spec(tmp_path / "image.yaml")


def test_numbers_are_taken_as_written(tmp_path):
    spec = load_image_spec(written(tmp_path, GOOD.replace("mean: 0", "mean: [0.1, 1e-3, 1/3]")))
    assert spec.mean == (Fraction(1, 10), Fraction(1, 1000), Fraction(1, 3))


# --- picture files ----------------------------------------------------------------------------------------


def test_pictures_of_many_formats_are_read_alike(tmp_path):
    from PIL import Image

    pixels = np.random.default_rng(6).integers(0, 256, (9, 13, 3)).astype(np.uint8)
    picture = Image.fromarray(pixels)
    for name in ("a.png", "a.bmp", "a.tif", "a.ppm"):
        picture.save(tmp_path / name)
        assert np.array_equal(image.read_picture(tmp_path / name), pixels)
    picture.convert("L").save(tmp_path / "gray.png")
    gray = image.read_picture(tmp_path / "gray.png")
    assert gray.shape == (9, 13, 3) and (gray == gray[:, :, :1]).all()
    picture.convert("P").save(tmp_path / "palette.gif")
    assert image.read_picture(tmp_path / "palette.gif").shape == (9, 13, 3)
    Image.fromarray(pixels[:, :, 0].astype(np.uint16) << 8).save(tmp_path / "deep.png")
    assert np.array_equal(image.read_picture(tmp_path / "deep.png")[:, :, 0], pixels[:, :, 0])
    picture.convert("RGBA").save(tmp_path / "alpha.png")
    assert np.array_equal(image.read_picture(tmp_path / "alpha.png"), pixels)
    clear = Image.fromarray(np.dstack([pixels, np.zeros((9, 13), np.uint8)]))
    clear.save(tmp_path / "clear.png")
    assert not image.read_picture(tmp_path / "clear.png").any()


def test_a_picture_on_its_side_is_put_upright(tmp_path):
    from PIL import Image

    picture = Image.fromarray(np.zeros((4, 10, 3), np.uint8))
    exif = picture.getexif()
    exif[0x0112] = 6
    picture.save(tmp_path / "side.jpg", exif=exif)
    assert image.read_picture(tmp_path / "side.jpg").shape == (10, 4, 3)


def test_what_is_no_picture_is_one_clear_line(tmp_path):
    (tmp_path / "text.png").write_text("hello")
    (tmp_path / "cut.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    for name in ("text.png", "cut.png", "none.png"):
        with pytest.raises(UserError, match=name):
            image.read_picture(tmp_path / name)
    with pytest.raises(UserError, match="no such picture or folder"):
        image.find_pictures([tmp_path / "missing"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="has no pictures"):
        image.find_pictures([tmp_path / "empty"])
