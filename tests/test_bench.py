"""The bench's own parts: the files it writes, the comparison, the picture of the arena."""

from __future__ import annotations

import ast
import copy
import functools
import importlib.metadata
import importlib.util
import json
import re
import sys
import sysconfig
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from conftest import REPO

pytest.importorskip("tvm")

sys.path.insert(0, str(REPO / "bench"))

import document_tables  # noqa: E402
import results  # noqa: E402
import tables  # noqa: E402
import vector_results  # noqa: E402

from esp_tvm.errors import UserError  # noqa: E402
from esp_tvm.estimate.work import Work  # noqa: E402
from esp_tvm.quantize.costs import _s16  # noqa: E402
from esp_tvm.steps.last import remember  # noqa: E402

FIGURES = {
    "macs": 1000,
    "instructions": 2500,
    "arena_bytes": 64,
    "stack_bytes": 32,
    "code_bytes": 500,
    "rodata_bytes": 20,
    "weight_bytes": 100,
    "data_bss_bytes": 0,
    "instructions_spread": 0.0,
    "steps": [{"operator": "conv2d", "kernel": "k", "macs": 1000, "instructions": 2400, "output": [1, 2, 2, 8]}],
}


def found():
    return {"models": {"resnet8": copy.deepcopy(FIGURES)}, "layers": {"1x1": copy.deepcopy(FIGURES)}}


def test_comparison_names_what_changed():
    base, new = found(), found()
    new["models"]["resnet8"]["instructions"] = 2000
    new["layers"]["1x1"]["arena_bytes"] = 128
    del base["models"]["resnet8"]["stack_bytes"]
    lines = results.comparison(base, new).splitlines()
    assert lines == [
        "resnet8: instructions 2,500 -> 2,000 (-20.0 %, better)",
        "1x1: arena_bytes 64 -> 128 (+100.0 %, worse)",
    ]


def test_comparison_of_equals_and_of_other_sets():
    assert results.comparison(found(), found()) == "nothing changed"
    base = found()
    base["models"]["old"] = FIGURES
    assert results.comparison(base, found()) == "old: gone"
    assert results.comparison(found(), base) == "old: new"


def test_files_are_written_whole_and_read_back(tmp_path):
    results.write({**found(), "pipeline_seconds": {"resnet8": {"quantize": 3.0, "export": 4.5}}}, tmp_path)
    assert results.load(tmp_path / "results.json")["models"]["resnet8"]["instructions"] == 2500
    text = (tmp_path / "RESULTS.md").read_text()
    assert "| resnet8 | 1,000 | 2,500 | 2.50 |" in text and "| 7.5 |" in text
    # Without the Xtensa's tools, its cells are empty.
    assert "| resnet8 | 1,000 | 2,500 | 2.50 | 0.00 % |  |  | 64 |" in text
    ElementTree.parse(str(tmp_path / "results.svg"))


def test_instructions_of_the_xtensa_have_a_column():
    counted = found()
    counted["models"]["resnet8"]["xtensa_instructions"] = 3600
    counted["layers"]["1x1"]["steps"][0]["xtensa_instructions"] = 3500
    text = results.markdown(counted)
    assert "| resnet8 | 1,000 | 2,500 | 2.50 | 0.00 % | 3,600 | 3.60 | 64 |" in text
    assert "| 1x1 | 1,000 | 2,400 | 2.40 | 3,500 | 3.50 | `k` |" in text
    assert results.comparison(found(), counted) == "nothing changed"
    less = copy.deepcopy(counted)
    less["models"]["resnet8"]["xtensa_instructions"] = 1800
    assert results.comparison(counted, less) == "resnet8: xtensa_instructions 3,600 -> 1,800 (-50.0 %, better)"


VECTOR_STEP = {"operator": "conv2d", "kernel": "Lanes", "macs": 1000, "instructions": 190, "output": [1, 2, 2, 8]}
VECTOR = {"macs": 1000, "instructions": 200, "arena_bytes": 80, "constant_bytes": 90, "steps": [VECTOR_STEP]}
TOOLCHAIN = {"gcc": "13.2", "convention": "windowed", "scalar_instructions": True}
SHAPE = {"kernel": "Lanes", "macs": 204800, "instructions": 20480, "esp_nn": 0.53, "esp_dl_microseconds": 422}


def with_vectors():
    counted = found()
    counted["models"]["resnet8"]["esp32s3"] = copy.deepcopy(VECTOR)
    counted["esp32s3"] = {"toolchain": TOOLCHAIN, "shapes": {"1x1": copy.deepcopy(SHAPE)}}
    return counted


def test_the_vector_units_figures_have_a_section():
    text = results.markdown(with_vectors())
    # 204800 MAC in 422 microseconds of 240 cycles.
    assert "| 1x1 | 204,800 | 20,480 | 10.00 | 0.53 | 422 | 2.02 | Lanes |" in text
    assert "| resnet8 | 1,000 | 200 | 5.00 | 5.00 | 12.5 times | 80 | 90 |" in text
    assert "| resnet8 | conv2d | Lanes | 1 | 190 | 95.0 % | 5.26 |" in text
    assert "convention windowed.\n" in text and "an earlier run" not in text
    assert "Skipped: never counted." in results.markdown(found())
    # What an int8 input saves is the change from float.
    counted = with_vectors()
    quantize = {**VECTOR_STEP, "operator": "quantize", "kernel": "QuantizeFpu", "macs": 0, "instructions": 10}
    counted["models"]["resnet8"]["esp32s3"]["steps"].append(quantize)
    assert "| resnet8 | 1,000 | 200 | 5.00 | 5.26 |" in results.markdown(counted)


def test_comparison_with_and_without_the_vector_unit():
    assert results.comparison(found(), with_vectors()) == "nothing changed"
    assert results.comparison(with_vectors(), found()) == "nothing changed"
    better = with_vectors()
    better["models"]["resnet8"]["esp32s3"]["instructions"] = 100
    better["esp32s3"]["shapes"]["1x1"]["instructions"] = 10240
    assert results.comparison(with_vectors(), better).splitlines() == [
        "resnet8 on the ESP32-S3: instructions 200 -> 100 (-50.0 %, better)",
        "1x1 on the ESP32-S3: instructions 20,480 -> 10,240 (-50.0 %, better)",
    ]


def test_without_its_tools_the_vector_units_figures_stay_and_say_so():
    new = found()
    vector_results.keep(new, with_vectors(), "no compiler on PATH")
    assert new["models"]["resnet8"]["esp32s3"] == VECTOR
    text = results.markdown(new)
    assert "(no compiler on PATH): **these figures are those of an earlier run.**" in text and "| 5.00 |" in text
    # Of a layer that is counted there, too.
    old, new = with_vectors(), found()
    old["layers"]["1x1"]["esp32s3"] = copy.deepcopy(VECTOR)
    vector_results.keep(new, old, "no compiler on PATH")
    assert new["layers"]["1x1"]["esp32s3"] == VECTOR and "| 1x1 | 1,000 | 200 | 5.00 |" in results.markdown(new)
    # Never counted: nothing to keep.
    never = found()
    vector_results.keep(never, found(), "no compiler on PATH")
    assert "Skipped: no compiler on PATH." in results.markdown(never)
    assert "esp32s3" not in never["models"]["resnet8"]


def test_missed_promises_are_listed():
    late = found()
    late["models"]["resnet8"]["instructions"] = 40_000_000
    assert results.missed(found()) == []
    assert results.missed(late) == ["resnet8: instructions is 40000000, more than 36000000"]


@pytest.mark.parametrize("content, message", [("{", "is not JSON"), (json.dumps({"a": 1}), "has no models")])
def test_a_wrong_base_is_refused(tmp_path, content, message):
    path = tmp_path / "base.json"
    path.write_text(content)
    with pytest.raises(UserError, match=message):
        results.load(path)
    with pytest.raises(UserError, match="cannot be read"):
        results.load(tmp_path / "none.json")


def test_generated_networks_are_what_they_say():
    import networks

    convolutions = [node for node in networks.mobilenet_v1_025().graph.node if node.op_type == "Conv"]
    assert len(convolutions) == 27
    first, again = networks.autoencoder(), networks.autoencoder()
    assert first.SerializeToString() == again.SerializeToString()
    widths = [init.dims[0] for init in first.graph.initializer if len(init.dims) == 2]
    assert widths == [128, 128, 128, 128, 8, 128, 128, 128, 128, 640]


def test_rows_of_operators_count_what_is_theirs():
    import operators
    from onnx_cases import OnnxCase

    from esp_tvm.operators import OPERATORS

    def step(operator, kernel, macs, instructions, outputs):
        names = ("operator", "kernel", "macs", "instructions", "outputs")
        return dict(zip(names, (operator, kernel, macs, instructions, outputs)))

    steps = [
        step("transpose", "esp_dl_quantize_s8_nhwc", 0, 70, 9),
        step("conv2d", "esp_dl_conv2d_s8_6x2", 100, 210, 30),
        step("transpose", "esp_dl_transpose_s8", 0, 80, 30),
        step("dequantize", "esp_dl_dequantize_s8", 0, 90, 30),
    ]
    names = [case.id for case in operators.cases()]
    assert len(set(names)) == len(names)
    measured = {case.operator for case in operators.cases()}
    for name, entry in OPERATORS.items():
        own = {operator for rule in entry.rules if rule.kind for operator in rule.operators}
        assert not own or own & measured, f"{name} has no row"
    row = operators.row(OnnxCase("Conv", "3x3", {}), steps)
    assert row == ["Conv, 3x3", "30", "210", "7.0", "2.10", "`conv2d_s8_6x2`"]
    moved = operators.row(OnnxCase("Transpose", "", {}, behind_relu=True), [step("requantize", "", 0, 9, 30), steps[2]])
    assert moved == ["Transpose", "30", "80", "2.7", "", "`transpose_s8`"]
    edges = {}
    operators.edges(edges, steps)
    assert edges == {"esp_dl_dequantize_s8": (90, 30)}


def test_the_picture_of_the_arena_shows_all_that_lies_there(tmp_path):
    import memory
    from test_memory_plan import residual_network, write_program

    from esp_tvm.compile import compile_model
    from esp_tvm.program.store import load

    program = load(write_program(compile_model(residual_network()), tmp_path))
    root = ElementTree.fromstring(memory.picture(program))
    titles = [element.text for element in root.iter() if element.tag.endswith("title")]
    owned = {tensor for call in program.calls() for tensor in call.writes if tensor.place.kind == "arena"}
    scratch = [call for call in program.calls() if call.scratch is not None]
    assert len(titles) == len({tensor.root for tensor in owned}) + len(scratch) > 5
    ends = [int(title.split(": ")[1].split(" ")[0]) + int(title.rsplit(" ", 1)[1]) for title in titles]
    assert 0 <= program.arena_bytes - max(ends) < 16
    assert f"arena on esp32c3: {program.arena_bytes} bytes" in memory.text(program)


def test_whose_arena_is_said_or_asked_for(tmp_path, monkeypatch):
    import memory

    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="neither MODEL nor OUT is set; say which project"):
        memory.folder({})
    assert str(memory.folder({"MODEL": "some/where/net.onnx"})) == "build/net"
    assert str(memory.folder({"MODEL": "some/where/net.onnx", "OUT": "elsewhere"})) == "elsewhere"
    (tmp_path / "net.onnx").write_text("")
    remember("net.onnx", Path("out/of/it"))
    assert str(memory.folder({})) == "out/of/it"
    monkeypatch.setattr(sys, "argv", ["memory.py", str(tmp_path)])
    with pytest.raises(UserError, match="not a project that the export step wrote"):
        memory.main()


def test_what_is_chosen_is_compared_with_what_was_counted():
    import measure

    import bench

    subject = bench.generated("1x1, 8 to 16, 24x24")
    program = measure.compile_model(subject.model).program
    steps = [{**step, "instructions": 9} for step in measure.choices(program)]
    figures = {"steps": steps, "arena_bytes": program.arena_bytes}
    assert measure.other_choices(subject, figures) == []
    index = next(i for i, step in enumerate(steps) if step["operator"] == "conv2d")
    kernel, other = steps[index]["kernel"], copy.deepcopy(figures)
    other["steps"][index]["kernel"] = "esp_dl_conv2d_s8"
    other["steps"][index]["stride"] = 7
    other["arena_bytes"] += 16
    assert measure.other_choices(subject, other) == [
        f"step {index}, conv2d: kernel {kernel} (counted: esp_dl_conv2d_s8), stride None (counted: 7)",
        f"{program.arena_bytes} bytes of arena (counted: {program.arena_bytes + 16})",
    ]
    del other["steps"][-1]
    assert measure.other_choices(subject, other)[0] == f"{len(steps)} steps, {len(steps) - 1} were counted"


def test_rows_of_a_documents_table_are_replaced(tmp_path):
    text = "before\n\n<!-- bench: a -->\n| x | y |\n|---|---|\n| 1 | 2 |\n| 3 | 4 |\n\nbehind\n"
    new = tables.replaced(text, "a", [["5", "6"]], tmp_path)
    assert new == text.replace("| 1 | 2 |\n| 3 | 4 |", "| 5 | 6 |")
    for wrong in (text.replace("bench: a", "bench: b"), text.replace("|---|---|\n", ""), text + text):
        with pytest.raises(UserError, match="one line <!-- bench: a -->|no table follows"):
            tables.replaced(wrong, "a", [], tmp_path)
    # Every table that is written has its place, and rows.
    for page, names in document_tables.PAGES.items():
        there = (REPO / "docs" / f"{page}.md").read_text(encoding="utf-8")
        for name in names:
            assert len(tables.replaced(there, name, [], tmp_path)) < len(there), (page, name)


def test_the_costs_of_int16_rest_on_layers_that_have_it_in_any_case():
    """Whether a network has an int16 mean hangs on its costs: networks alone would say one thing, then another."""
    import networks

    layers = results.load(REPO / "bench" / "results.json")["layers"]
    for name, tensors in networks.WIDE.items():
        produced = {output for node in networks.LAYERS[name]().graph.node for output in node.output}
        assert set(tensors.split(",")) <= produced
        for figures in (layers[name], layers[name]["esp32s3"]):
            assert {"average_pool2d_s16", "dense_s16"} <= {step["operator"] for step in figures["steps"]}
        # The quantizer counts those kernels on the ESP32-S3 that programs have there.
        for step in layers[name]["esp32s3"]["steps"]:
            if step["operator"] in ("average_pool2d_s16", "dense_s16"):
                *_, inputs = networks.LAYERS[name]().graph.initializer[0].dims
                work = Work(step["output"][-1], step["output"][-1], step["macs"], inputs, taps=step["taps"])
                told = _s16("esp32s3", step["operator"], work, step["kernel"])
                assert 0.8 < told / step["instructions"] < 1.25


@functools.lru_cache(maxsize=None)
def imported(path: Path):
    """The modules that a file imports, at its top or later, without those whose absence it handles."""
    nodes, found = [ast.parse(path.read_text(encoding="utf-8"))], []
    for node in nodes:
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        handled = isinstance(node, ast.Try) and any("ImportError" in ast.dump(one) for one in node.handlers)
        nodes += [*node.handlers, *node.orelse] if handled else ast.iter_child_nodes(node)
    return found


def needed(script: Path):
    """What a script imports from elsewhere than this repository: {module: the file that imports it}."""
    found, files, folders = {}, [script], [script.parent, REPO / "tools", REPO / "bench", REPO / "tests"]
    for path in files:
        for name in imported(path):
            top, *inner = name.split(".")
            folder = next((f for f in folders if (f / top).is_dir() or (f / f"{top}.py").is_file()), None)
            if folder is None:
                found.setdefault(top, path.relative_to(REPO))
                continue
            for depth in range(len(inner) + 1):
                place = folder.joinpath(top, *inner[:depth])
                candidates = (place.with_suffix(".py"), place / "__init__.py")
                files += [one for one in candidates if one.is_file() and one not in files]
    return found


def packages_of_modules():
    """{module: the packages that bring it}, of what is installed."""
    found = {}
    for package in importlib.metadata.distributions():
        for file in package.files or ():
            found.setdefault(file.parts[0].split(".")[0], set()).add(package.metadata["Name"].lower().replace("_", "-"))
    return found


def test_a_bench_needs_only_what_setup_installs():
    """After `make demo`, say: pytest and its like come with `make test`."""
    makefiles = "".join(path.read_text() for path in sorted(REPO.glob("scripts/*.mk")))
    recipes = re.findall(r"^[a-z0-9-]+:.*\n((?:\t.*\n)+)", makefiles, re.M)
    scripts, of_developers = (
        {script for recipe in recipes if ("--dev" in recipe) == dev for script in re.findall(r"\w+/\w+\.py", recipe)}
        for dev in (False, True)
    )
    scripts |= {str(path.relative_to(REPO)) for path in REPO.glob("bench/*.py")} - of_developers
    assert {"bench/bench.py", "bench/strips.py", "bench/zoo.py", "tests/onnx_node_tests.py"} <= scripts
    locked = set(re.findall(r"^([\w.-]+)==", (REPO / "tools/tvm/requirements.lock").read_text(), re.M))
    packages, own = packages_of_modules(), sysconfig.get_paths()["stdlib"]
    wrong = []
    for script in sorted(scripts):
        for module, importer in needed(REPO / script).items():
            if packages.get(module, set()) & locked or module in ("tvm", *sys.builtin_module_names):
                continue
            spec = importlib.util.find_spec(module)
            if module in packages or spec is None or not (spec.origin or "").startswith(own):
                wrong.append(f"{script}: {importer} imports {module}")
    assert not wrong, "\n".join(wrong)
