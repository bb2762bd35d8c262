"""Projects with a front end: the model's int8 input, the component, the applications of the examples."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from idf_drivers import add_drivers
from idf_standin import StandIn
from onnx import TensorProto, helper
from qdq import QdqBuilder

pytest.importorskip("tvm")

from esp_tvm.compile import compile_model  # noqa: E402
from esp_tvm.errors import UserError  # noqa: E402
from esp_tvm.frontend import audio, command, detections, image  # noqa: E402
from esp_tvm.frontend.audio_spec import load_audio_spec  # noqa: E402
from esp_tvm.frontend.detect import Detector, detect, draw  # noqa: E402
from esp_tvm.frontend.host import AudioProgram, ImageProgram, run_application  # noqa: E402
from esp_tvm.frontend.image_spec import load_image_spec  # noqa: E402
from esp_tvm.frontend.interface import fed_input, fed_port, layout_in, port_options  # noqa: E402
from esp_tvm.frontend.project import _lay_over  # noqa: E402
from esp_tvm.port_options import PortOptions  # noqa: E402
from esp_tvm.program.store import load  # noqa: E402
from esp_tvm.project.users_files import again, changed, record  # noqa: E402
from esp_tvm.report.command import put_detections, write_report  # noqa: E402
from esp_tvm.run.host import HostProgram  # noqa: E402
from esp_tvm.states import note_states  # noqa: E402

REPO = Path(__file__).resolve().parents[1]
TEMPLATE = str(REPO / "template_project_for_model")
EXAMPLES = REPO / "examples"
IMAGE_YAML = """\
width: 16
height: 16
layout: NCHW
scale: 1/255
mean: 0.5
std: 0.25
resize: bilinear
camera: {width: 160, height: 120, formats: rgb565_be}
labels: [one, 'two "2"', three, four]
"""
AUDIO_YAML = """\
sample_rate: 16000
window: 480
hop: 320
fft: 512
bands: 20
low: 20
high: 7600
coefficients: 10
mean: -10
std: 10
shape: [1, 1, 8, 10]
labels: [other, a, b]
"""


def classifier(name, shape, classes, exponent, centre=0.0):
    """Quantized: convolution, mean, softmax. centre: is subtracted first."""
    b = QdqBuilder()
    x = b.input(name, shape)
    x = b.quantize(b.node("Sub", [x, b.initializer(np.float32(centre))]) if centre else x, exponent)
    x = b.conv(x, [classes, shape[1], 3, 3], -1, pads=[1, 1, 1, 1])
    x = b.quantize(b.node("GlobalAveragePool", [x]), -1)
    b.node("Softmax", [b.node("Flatten", [x])], ["probabilities"], axis=1)
    b.output("probabilities", [1, classes])
    return b.model()


def write_wav(path, samples):
    import wave

    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(samples.astype("<i2").tobytes())


@pytest.fixture(scope="module")
def image_project(tmp_path_factory):
    from PIL import Image

    folder = tmp_path_factory.mktemp("image")
    (folder / "image.yaml").write_text(IMAGE_YAML)
    onnx.save(classifier("image", [1, 3, 16, 16], 4, -5), str(folder / "model.onnx"))
    pixels = np.random.default_rng(0).integers(0, 256, (40, 50, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(folder / "sample.png")
    app = str(EXAMPLES / "image_classification/app")
    arguments = [str(folder / name) for name in ("image.yaml", "model.onnx", "sample.png")]
    return command.export(*arguments, "esp32s3", TEMPLATE, str(folder / "out"), app)


DETECTOR_YAML = (
    IMAGE_YAML.split("labels")[0]
    + """\
labels: [one, two]
embedding: {output: features}
detection:
  boxes: distances
  layout: NCHW
  score_threshold: 0.02
  iou_threshold: 0.5
  landmarks: {points: 2, from: cell, unit: stride, factor: 2, visibility: sigmoid}
  heads: [{boxes: boxes, scores: scores, landmarks: points, stride: 8}]
"""
)


@pytest.fixture(scope="module")
def detector_project(tmp_path_factory):
    """Boxes with two landmarks, scores of two classes, and a descriptor, from one grid of 2 x 2 cells."""
    folder = tmp_path_factory.mktemp("detector")
    b = QdqBuilder()
    x = b.conv(b.input("image", [1, 3, 16, 16], -5), [8, 3, 8, 8], -3, strides=[8, 8])
    for name, channels in (("boxes", 4), ("scores", 2), ("points", 6)):
        y = b.conv(x, [channels, 8, 1, 1], -4)
        b.node("Identity", [y], [name])
        b.output(name, [1, channels, 2, 2])
    b.node("GlobalAveragePool", [x], ["mean"])
    b.node("Flatten", [b.quantize("mean", -4)], ["features"])
    b.output("features", [1, 8])
    (folder / "image.yaml").write_text(DETECTOR_YAML)
    onnx.save(b.model(), str(folder / "model.onnx"))
    from PIL import Image

    pixels = np.random.default_rng(0).integers(0, 256, (40, 50, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(folder / "sample.png")
    arguments = [str(folder / name) for name in ("image.yaml", "model.onnx", "sample.png")]
    app = str(EXAMPLES / "object_detection/app")
    return command.export(*arguments, "esp32s3", TEMPLATE, str(folder / "out"), app)


@pytest.fixture(scope="module")
def audio_project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("audio")
    (folder / "audio.yaml").write_text(AUDIO_YAML)
    onnx.save(classifier("features", [1, 1, 8, 10], 3, -5, -2.5), str(folder / "model.onnx"))
    write_wav(folder / "sample.wav", np.random.default_rng(0).normal(0, 3000, 5000))
    app = str(EXAMPLES / "keyword_spotting/app")
    arguments = [str(folder / name) for name in ("audio.yaml", "model.onnx", "sample.wav")]
    return command.export(*arguments, "esp32s3", TEMPLATE, str(folder / "out"), app)


def test_a_front_end_fills_the_programs_port(image_project):
    """As int8, the camera's order of axes, where the model shows that its input is an image."""
    port, _ = fed_port(image_project, "image")
    assert (port.dtype, port.exponent, port.shape, port.onnx_shape) == ("int8", -5, (1, 16, 16, 3), (1, 3, 16, 16))
    header = (image_project / "components/frontend/include/preprocess.h").read_text()
    assert "#define PREPROCESS_INPUT_EXPONENT (-5)" in header and "int8[1,16,16,3]" in header


def test_an_image_that_the_model_does_not_show_stays_as_it_is():
    b = QdqBuilder()
    x = b.node("Flatten", [b.input("image", [1, 3, 4, 4], -5)])
    b.quantize(b.node("Gemm", [x, b.weights([4, 48], -8)], transB=1), -3, "y")
    b.output("y", [1, 4])
    program = compile_model(b.model(), ports=port_options("image", "NCHW", False)).program
    (port,) = program.inputs
    assert (port.dtype, port.shape, layout_in(port, "NCHW")) == ("int8", (1, 3, 4, 4), "NCHW")
    with pytest.raises(UserError, match="cannot be NHWC"):
        compile_model(b.model(), ports=PortOptions(input_layouts={"image": "NHWC"}))


def test_the_layout_of_the_camera_costs_nothing_on_the_chip(image_project):
    assert "transpose" not in {call.operator for call in load(image_project).calls()}


def test_a_detector_goes_from_frames_to_boxes(detector_project, tmp_path, capsys):
    from PIL import Image

    folder = detector_project.parents[1]
    spec = load_image_spec(folder / "image.yaml")
    rng = np.random.default_rng(2)
    blocks = rng.choice([0, 255], (12, 6, 8, 3)).astype(np.uint8).repeat(20, axis=1).repeat(20, axis=2)
    frames = [image.pack_frame(pixels, "rgb565_be") for pixels in blocks]
    pictures = [image.unpack_frame(frame, "rgb565_be", 160, 120) for frame in frames]
    detector = Detector(detector_project, spec, tmp_path)
    found = detector.in_pictures(pictures)
    assert sum(map(len, found)) > 0
    text = run_application(detector.program, tmp_path, b"".join(frame.tobytes() for frame in frames))
    lines = [line.strip() for line in text.splitlines() if "boxes (" not in line]
    assert lines == [each.text(spec.labels) for boxes in found for each in boxes]
    mapped = with_mapped_weights(detector.program.project)
    again = run_application(detector.program, tmp_path, b"".join(frame.tobytes() for frame in frames), mapped)
    assert [line.strip() for line in again.splitlines() if "boxes (" not in line] == lines
    seen = {visible >= 0.5 for boxes in found for each in boxes for _, _, visible in each.points}
    assert seen == {True, False}, "some landmarks are hidden, others are not"
    drawn = draw(pictures[0], found[0], spec.labels)
    assert drawn.shape == (360, 480, 3)
    (number, *_) = (n for n, boxes in enumerate(found) if boxes)
    path = tmp_path / "picture.png"
    Image.fromarray(pictures[number]).save(path)
    detect(detector_project, str(folder / "image.yaml"), [str(path)], str(tmp_path / "drawn"))
    assert "the same by detection.c and by NumPy" in capsys.readouterr().out
    assert (tmp_path / "drawn/000_picture.png").is_file()
    the_report_shows_the_boxes(detector_project, pictures[number], found[number], spec.labels, tmp_path)
    header = (detector_project / "components/frontend/include/embedding_model.h").read_text()
    assert "#define EMBEDDING_SIZE 8" in header and "#define EMBEDDING(results) ((results).features)" in header


@pytest.mark.parametrize(
    "place, command",
    [
        ("my build/board/new_project", r"does not exist; .*make frontend .* SPEC=.*image.yaml .*OUT='.*/my build'"),
        ("elsewhere/new_project", "esp-tvm frontend export --spec .*image.yaml --model .* --out .*/elsewhere"),
    ],
)
def test_where_no_detector_was_exported_it_says_what_to_type(place, command, repo, tmp_path):
    spec = load_image_spec(repo / "examples/object_detection/image.yaml")
    with pytest.raises(UserError, match=command):
        Detector(tmp_path / place, spec, tmp_path)


def with_mapped_weights(project):
    """Options of the compiler with which the application reads its weights from a file, as a board maps a partition."""
    constants = project / "components/tvm_model/model/constants.bin"
    return ["-DTVMGEN_DEFAULT_CONSTANTS_MAPPED", f'-DTVM_MODEL_CONSTANTS_FILE="{constants}"']


def the_report_shows_the_boxes(project, pixels, boxes, labels, folder):
    """Those that detect found, drawn on the picture, as long as they are this model's."""
    import base64
    import io

    from PIL import Image

    noted = detections.read(project.parent / "detections.json")
    assert noted.count == len(boxes) > 0
    (one,) = noted.pictures
    assert one.name == "picture.png"
    assert [(box.label, box.edges) for box in one.boxes] == [(labels[box.label], box.edges) for box in boxes]
    assert [[point[:2] for point in box.landmarks] for box in one.boxes] == [
        [point[:2] for point in box.points] for box in boxes
    ]
    seen = np.asarray(Image.open(io.BytesIO(base64.b64decode(one.jpeg)))).astype(int)
    wanted = draw(pixels, boxes, labels).astype(int)
    assert seen.shape == wanted.shape and np.abs(seen - wanted).mean() < 20
    board, page = project.parent, folder / "report.html"
    arguments = [str(project), *(str(board / name) for name in ("model_board.onnx", "input_board.npy")), str(page)]
    write_report(*arguments)
    assert page.read_text().count(f"data:image/jpeg;base64,{one.jpeg}") == 1
    assert all(f'<td class="">{detections.landmarks_text(box.points)}</td>' in page.read_text() for box in boxes)
    assert detections.landmarks_text(boxes[0].points) in page.with_suffix(".txt").read_text()
    assert f"BOXES\n{len(boxes)} boxes in 1 pictures" in page.with_suffix(".txt").read_text()


_OF_THIS = '{"format": "esp_tvm.detections.1", "model_hash": "this", "pictures": [%s]}'
_FOUND = '{"name": "a.png", "boxes": [{"label": "cat", "score": %s, "edges": [1, 2, 3, 4]}]}'


@pytest.mark.parametrize(
    "text, why",
    [
        ("{}", "was not written by detect"),
        (_OF_THIS[:-1], "was not written by detect"),
        (_OF_THIS % (_FOUND % "1e300"), "was not written by detect"),
        (None, "is of another model"),
    ],
)
def test_boxes_of_another_model_are_not_shown(text, why, tmp_path, capsys):
    path = tmp_path / "detections.json"
    if text is None:
        detections.write(path, detections.Detections(model_hash="another", pictures=[]))
    else:
        path.write_text(text)
    report = SimpleNamespace(model_hash="this", detections=None)
    put_detections(report, tmp_path / "new_project")
    assert report.detections is None and why in capsys.readouterr().out


def test_inputs_that_a_front_end_cannot_fill_are_refused():
    model = classifier("image", [1, 3, 16, 16], 4, -5)
    assert fed_input(model) == ("image", (1, 3, 16, 16))
    with pytest.raises(UserError, match="has no input 'picture'"):
        fed_input(model, "picture")
    plain = helper.make_model(
        helper.make_graph([helper.make_node("Relu", ["image"], ["y"])], "g", model.graph.input, [])
    )
    with pytest.raises(UserError, match="not quantized to int8"):
        fed_input(plain)
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.INT8
    with pytest.raises(UserError, match="is not float32"):
        fed_input(model)


def test_a_state_is_no_input_to_choose():
    model = classifier("image", [1, 3, 16, 16], 4, -5)
    model.graph.input.append(helper.make_tensor_value_info("before", TensorProto.FLOAT, [1, 2]))
    model.graph.output.append(helper.make_tensor_value_info("after", TensorProto.FLOAT, [1, 2]))
    model.graph.node.append(helper.make_node("Neg", ["before"], ["after"], "turn"))
    with pytest.raises(UserError, match="the inputs 'image', 'before': say which"):
        fed_input(model)
    note_states(model, {"before": "after"})
    assert fed_input(model)[0] == "image"


@pytest.mark.slow
def test_the_camera_application_answers_as_python_does(image_project, tmp_path):
    spec = load_image_spec(image_project.parents[1] / "image.yaml")
    program = HostProgram(image_project)
    frames = np.random.default_rng(2).integers(0, 256, (3, 160 * 120 * 2)).astype(np.uint8)
    pixels = [image.unpack_frame(frame, "rgb565_be", 160, 120) for frame in frames]
    inputs = np.stack([image.int8_input(p, spec, -5, "NHWC") for p in pixels])
    computed = ImageProgram(image_project / "components/frontend", spec, tmp_path, sanitize=True)
    assert np.array_equal(computed.run(frames, "rgb565_be"), inputs.reshape(3, -1))
    best = program.run({"image": inputs})["probabilities"].reshape(3, -1).argmax(1)
    lines = run_application(program, tmp_path, frames.tobytes(), ["-Werror"]).splitlines()
    assert [line.rsplit(" ", 8)[0] for line in lines] == [spec.labels[i] for i in best]


@pytest.mark.slow
def test_the_listening_application_hears_what_the_model_says(audio_project, tmp_path):
    spec = load_audio_spec(audio_project.parents[1] / "audio.yaml")
    program = HostProgram(audio_project)
    samples = np.random.default_rng(3).normal(0, 3000, 40000).astype(np.int16)
    inputs = np.stack(list(audio.FeatureStream(spec, -5, 80).push(samples)))
    computed = AudioProgram(audio_project / "components/frontend", spec, tmp_path, sanitize=True)
    assert np.array_equal(computed.run(samples, [333, 1]), inputs)
    answers = program.run({"features": inputs})["probabilities"].reshape(len(inputs), -1)
    percent = (answers * np.float32(100)).astype(np.int8).astype(int)
    lines = run_application(program, tmp_path, samples.tobytes(), ["-Werror"]).splitlines()
    assert lines == expected_lines(percent, spec)


def expected_lines(percent, spec):
    """app_main.c in Python: every fourth frame, the mean of four answers, a pause after each word."""
    lines, history, pause_until = [], np.zeros((4, percent.shape[1]), int), 0
    for frame in range(spec.frames, spec.frames + len(percent)):
        if frame % 4:
            continue
        history = np.vstack([history[1:], percent[frame - spec.frames]])
        heard = [c for c in range(1, percent.shape[1]) if history[:, c].sum() >= 300]
        if heard and frame >= pause_until:
            hundredths = frame * spec.hop * 100 // spec.sample_rate
            lines.append(f"{hundredths // 100}.{hundredths % 100:02} s: {spec.labels[heard[0]]}")
            pause_until = frame + 40
    return lines


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("cmake"), reason="cmake is not installed")
@pytest.mark.parametrize("kind", ["image", "audio"])
def test_projects_build_for_this_computer(kind, image_project, audio_project, tmp_path):
    project = image_project if kind == "image" else audio_project
    for step in (["-S", str(project / "host"), "-B", str(tmp_path)], ["--build", str(tmp_path)]):
        done = subprocess.run(["cmake", *step], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert done.returncode == 0, done.stdout[-2000:]
    assert subprocess.run([str(tmp_path / "app")], input=b"").returncode == 0


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("cmake"), reason="cmake is not installed")
@pytest.mark.parametrize("kind, newer", [("image", True), ("audio", True), ("audio", False)])
def test_applications_compile_for_the_chip(kind, newer, image_project, audio_project, tmp_path):
    """Against a stand-in for ESP-IDF and for the drivers: not the real ones. newer: ESP-IDF 5.3, which took the drivers
    of I2S and GPIO out of the component driver"""
    project = tmp_path / "project"
    shutil.copytree(image_project if kind == "image" else audio_project, project)
    add_drivers(project, newer)
    version = f"-DIDF_VERSION_MAJOR=5 -DIDF_VERSION_MINOR={5 if newer else 1}".split()
    standin = StandIn(project, tmp_path / "standin", "esp32s3", version, run=False)
    standin.configure()
    standin.build("main")


@pytest.mark.parametrize(
    "change, words",
    [
        ({"image.yaml": IMAGE_YAML.replace("width: 16", "width: 20")}, "has shape [1, 3, 16, 16]"),
        ({"image.yaml": IMAGE_YAML.replace("NCHW", "NHWC")}, "change width, height, layout or channels"),
        ({"image.yaml": IMAGE_YAML.split("camera")[0]}, "camera: is missing"),
        ({"sample.png": "no picture"}, "is not a picture"),
        ({"model.onnx": None}, "no such file"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(change, words, image_project, tmp_path):
    folder = image_project.parents[1]
    for name in ("image.yaml", "model.onnx", "sample.png"):
        shutil.copy(folder / name, tmp_path)
    for name, text in change.items():
        (tmp_path / name).unlink()
        if text is not None:
            (tmp_path / name).write_text(text)
    arguments = ["--spec", "image.yaml", "--model", "model.onnx", "--sample", "sample.png", "--out_path", "out"]
    done = subprocess.run(
        [sys.executable, str(REPO / "tools/tvm/frontend.py"), "export", *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2 and words in done.stderr, done.stderr
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_the_users_files_stay_when_exported_again(tmp_path):
    """A changed application and changed pins, also after the second export; what export wrote is written again."""
    folder = tmp_path / "p"
    (folder / "main").mkdir(parents=True)
    for name in ("main/app_main.c", "main/labels.h", "main/camera_pins.h"):
        (folder / name).write_text("export's")
    record(folder, "hash")
    (folder / "main/labels.h").write_text("the user's")
    (folder / "main/camera_pins.h").write_text("the application's")
    again(folder, ["main/camera_pins.h"])
    assert changed(folder) == ["main/labels.h"]
    (folder / "main/new.c").write_text("the user's")
    again(folder, [])
    assert changed(folder) == ["main/labels.h", "main/new.c"]
    app = tmp_path / "app"
    shutil.copytree(folder / "main", app / "main")
    (app / "main/labels.h").write_text("the example's")
    (app / "main/app_main.c").write_text("the example's")
    written = _lay_over(app, folder, set(changed(folder)))
    assert sorted(written) == ["main/app_main.c", "main/camera_pins.h"]
    assert (folder / "main/labels.h").read_text() == "the user's"
    assert (folder / "main/app_main.c").read_text() == "the example's"


def test_an_application_folder_without_app_main_is_refused(image_project, tmp_path):
    folder = image_project.parents[1]
    arguments = [str(folder / name) for name in ("image.yaml", "model.onnx", "sample.png")]
    with pytest.raises(UserError, match=r"has no main/app_main\.c"):
        command.export(*arguments, "esp32s3", TEMPLATE, str(tmp_path / "out"), str(tmp_path))


def test_arrays_of_pictures_and_of_sounds(image_project, audio_project, tmp_path):
    for project, spec, sample, shape in (
        (image_project, "image.yaml", "sample.png", (2, 3, 16, 16)),
        (audio_project, "audio.yaml", "sample.wav", (2, 1, 8, 10)),
    ):
        folder = project.parents[1]
        out = tmp_path / "arrays.npy"
        command.write_arrays(str(folder / spec), [str(folder / sample)] * 2, str(out))
        array = np.load(out)
        assert array.shape == shape and array.dtype == np.float32 and np.array_equal(array[0], array[1])


@pytest.mark.parametrize("name, limit", [("image_classification", 100_000), ("keyword_spotting", 100_000)])
def test_shipped_models_fit_their_description(name, limit):
    folder = EXAMPLES / name
    model = onnx.load(str(folder / "model.onnx"))
    assert (folder / "model.onnx").stat().st_size < limit
    dims = [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim][1:]
    classes = model.graph.output[0].type.tensor_type.shape.dim[1].dim_value
    spec = (
        load_image_spec(folder / "image.yaml") if name.startswith("image") else load_audio_spec(folder / "audio.yaml")
    )
    assert list(spec.shape[1:]) == dims and len(spec.labels) == classes
