"""Two tasks with an arena each run the same model at the same time: nothing of the generated program is shared."""

from __future__ import annotations

import shutil
import subprocess

import onnx
import pytest
from kernel_archive import COMPONENT
from onnx import TensorProto, helper
from pipeline_harness import TEMPLATE, compile_once_imported, write_program

pytest.importorskip("tvm")

from esp_tvm.run.host import host_compiler  # noqa: E402

ROUNDS = 300
_TASKS = """\
#include "tvmgen_default.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define ELEMENTS TVMGEN_DEFAULT_INPUT_X_ELEMENTS
static _Alignas(16) uint8_t arenas[3][TVMGEN_DEFAULT_WORKSPACE_SIZE];
static float samples[2][ELEMENTS], results[2][ELEMENTS], wanted[2][ELEMENTS];
static int wrong[2];

static void *task(void *number)
{
    const int n = *(const int *)number;
    for (int i = 0; i < ROUNDS; i++) {
        tvmgen_default___tvm_main__(samples[n], results[n], arenas[n]);
        wrong[n] += memcmp(results[n], wanted[n], sizeof(wanted[n])) != 0;
    }
    return NULL;
}

int main(void)
{
    int numbers[2] = {0, 1};
    pthread_t threads[2];
    for (int n = 0; n < 2; n++) {
        for (int i = 0; i < ELEMENTS; i++) {
            samples[n][i] = (float)((i * 37 + n * 11) % 101) - 50.0f;
        }
        tvmgen_default___tvm_main__(samples[n], wanted[n], arenas[2]);
    }
    for (int n = 0; n < 2; n++) {
        pthread_create(&threads[n], NULL, task, &numbers[n]);
    }
    for (int n = 0; n < 2; n++) {
        pthread_join(threads[n], NULL);
    }
    printf("%d %d\\n", wrong[0], wrong[1]);
    return 0;
}
"""


def model_with_scratch() -> onnx.ModelProto:
    """LRN has no kernel, and TVM's C for it allocates memory."""
    node = helper.make_node("LRN", ["x"], ["y"], "norm", size=5)
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 8, 16, 16]) for name in "xy")
    made = helper.make_model(helper.make_graph([node], "g", [x], [y]), opset_imports=[helper.make_opsetid("", 13)])
    made.ir_version = 8
    return made


@pytest.mark.parametrize("flags", [("-O2",), ("-O0", "-g", "-fsanitize=thread")], ids=["plain", "ThreadSanitizer"])
def test_two_tasks_share_nothing(flags, tmp_path):
    compiled = compile_once_imported(model_with_scratch())
    assert any(call.scratch is not None for call in compiled.program.fallbacks), "TVM's C allocates memory"
    project = write_program(compiled, tmp_path)
    host = next(path.parent for path in project.rglob("default_lib1.c"))
    (tmp_path / "tasks.c").write_text(_TASKS.replace("ROUNDS", str(ROUNDS)))
    headers = [TEMPLATE / "components/tvm_model/crt_config", COMPONENT / "include"]
    template = [f"-I{path}" for path in headers]
    command = [*host_compiler(), *flags, "-std=c11", "-pthread", f"-I{host.parent / 'include'}", *template]
    command += [str(host / "default_lib0.c"), str(host / "default_lib1.c"), str(tmp_path / "tasks.c")]
    done = subprocess.run([*command, "-o", str(tmp_path / "tasks"), "-lm"], capture_output=True, text=True)
    if done.returncode != 0 and "sanitize" in " ".join(flags) and "tsan" in done.stderr:
        pytest.skip("the C compiler has no ThreadSanitizer")
    assert done.returncode == 0, done.stderr[:2000]
    # ThreadSanitizer wants the address space as it was before kernels moved it further about.
    fixed = ["setarch", "-R"] if shutil.which("setarch") else []
    ran = subprocess.run([*fixed, str(tmp_path / "tasks")], capture_output=True, text=True)
    assert "data race" not in ran.stderr, ran.stderr[:2000]
    assert ran.returncode == 0 and ran.stdout.split() == ["0", "0"], ran.stderr[:2000]


def test_no_state_in_the_generated_code():
    """What a program keeps between calls is the arena of tvmgen_default_run and nothing else."""
    compiled = compile_once_imported(model_with_scratch())
    lines = compiled.code.lib1.splitlines()
    files = [line for line in lines if line.startswith("static ") and "const " not in line and "(" not in line]
    assert files == []
    assert sum("uint8_t *tvmgen_scratch" in line for line in lines) >= 1, "what is allocated is given"
