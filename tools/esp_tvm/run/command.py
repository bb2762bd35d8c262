"""The commands run and debug."""

from __future__ import annotations

from typing import Optional, Sequence

from ..data_check import check
from ..files import write_text
from ..model import load_model
from ..naming import shown
from ..onnx_check import OnnxRuntimeCheck, Verification, wrong_line
from ..program.samples import as_onnx, rounding
from .compare import compare_with_rules, print_comparison
from .host import HostProgram
from .host_log import LoggingProgram
from .names import find_layer, layer_lines
from .reference import check_same_model, load_steps


def run_project(
    project: str,
    model_path: str,
    input_path: str,
    sanitize: bool = False,
    summary: bool = False,
    log_path: Optional[str] = None,
    log_mode: str = "tensors",
) -> int:
    """Build the project for the host, run all samples, compare; 0 if every byte is equal, otherwise 1.

    Every byte must equal that of the rules, and the results of the rules and of TVM's C must be within the bounds of
    ONNX Runtime's.

    log_path: the file for what a board with this project would print, in mode `log_mode`: checksums or tensors
    """
    model = load_model(model_path)
    program = HostProgram(project, sanitize)
    check_same_model(program.program, program.project, model)
    samples = load_steps(input_path, program.program, program.project)
    own = program.program.callers_inputs
    print("\n".join(check("input", as_onnx(own, samples), model, rounding(own))))
    if log_path is not None:
        write_text(log_path, LoggingProgram(project, log_mode).log(samples))
    onnx_runtime, verification = OnnxRuntimeCheck(model, program.program), Verification()
    comparison = compare_with_rules(program, samples, lambda *one: verification.add(onnx_runtime.check(*one)))
    wrong = verification.first_wrong
    print_comparison(comparison, summary, wrong and wrong_line(wrong), verification.line)
    return 0 if comparison.equal and wrong is None else 1


def debug(
    target_chip: str, model_path: str, img_path: str, dump_root: Optional[str] = None, layers: Sequence[str] = ()
) -> int:
    """Run the reference in TVM's debug executor, print the outputs and the place of the dump.

    layers: names of layers to print: an ONNX tensor or node, a TVM node, or a function of the generated C
    """
    from ..evaluate import debug_onnx_model  # imports TVM, which is not needed otherwise

    module = debug_onnx_model(target_chip, model_path, img_path, dump_root)
    for index in range(module.get_num_outputs()):
        values = module.get_output(index).numpy().reshape(-1)
        text = " ".join(f"{value:.6g}" for value in values[:16]) + (" ..." if values.size > 16 else "")
        print(f"output {index}: {text}")
    for name in layers:
        for entry in find_layer(module.names, name):
            print("\n".join(layer_lines(entry, module.debug_get_output(entry["tvm_index"]).numpy())))
    print(f"TVM's debug dump: {shown(module._dump_path, 400)}")
    return 0
