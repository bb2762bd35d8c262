"""Numbers that the exporter and the kernels share stand once, in a header that both read."""

from __future__ import annotations

import re
import subprocess

from kernel_archive import COMPONENT, build

from esp_tvm.kernel_limits import HEADER, KERNEL_LIMITS, read_limits
from esp_tvm.run.host import SANITIZE, STRICT


def test_both_sides_read_the_same_numbers(tmp_path):
    names = re.findall(r"^#define ESP_DL_(\w+) ", HEADER.read_text(encoding="utf-8"), re.M)
    assert sorted(names) == sorted(KERNEL_LIMITS)
    prints = "\n".join(f'    printf("%ld\\n", (long)ESP_DL_{name});' for name in names)
    source, binary = tmp_path / "program.c", tmp_path / "program"
    source.write_text(f'#include "esp_dl.h"\n#include <stdio.h>\nint main(void)\n{{\n{prints}\n    return 0;\n}}\n')
    # As most tests have it: these kernels are compiled already.
    build([source], binary, *STRICT, *SANITIZE)
    done = subprocess.run([str(binary)], stdout=subprocess.PIPE, check=True, text=True)
    assert dict(zip(names, map(int, done.stdout.split()))) == KERNEL_LIMITS


def test_another_header_is_another_limit(tmp_path):
    changed = tmp_path / "limits.h"
    changed.write_text(HEADER.read_text(encoding="utf-8").replace("ESP_DL_LANES 16", "ESP_DL_LANES 32"))
    assert read_limits(changed) == {**KERNEL_LIMITS, "LANES": 32}


def test_no_kernel_defines_one_again():
    for path in sorted((COMPONENT / "src").rglob("*.[chS]")) + sorted((COMPONENT / "include").rglob("*.h")):
        if path != HEADER:
            again = re.findall(r"#define ESP_DL_(\w+) ", path.read_text(encoding="utf-8"))
            assert not set(again) & set(KERNEL_LIMITS), path
