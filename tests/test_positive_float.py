"""common/positive_float.h: what cores without a floating point unit compute is what IEEE 754 says."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from esp_tvm.run.host import SANITIZE, STRICT

SOURCES = Path(__file__).resolve().parent.parent / "template_project_for_model/components/esp-dl/src"

# The compiler's own floats say what is right.
_PROGRAM = """\
#include "common/positive_float.h"

#include <stdio.h>

static int differs(const char *what, float a, float b, float is, float right)
{
    if (memcmp(&is, &right, sizeof is) != 0) {
        printf("%a %s %a is %a, not %a\\n", (double)a, what, (double)b, (double)is, (double)right);
        return 1;
    }
    return 0;
}

static uint32_t state = 1;

static uint32_t next(void)
{
    state ^= state << 13, state ^= state >> 17, state ^= state << 5;
    return state;
}

/* A float of the exponents low to high (0: subnormal); every fourth has few bits, so that ties are met. */
static float number(uint32_t low, uint32_t high)
{
    const uint32_t kind = next() % 4, fraction = next() & 0x7fffff;
    const uint32_t bits = (low + next() % (high - low + 1)) << 23 | (kind == 0 ? fraction & 0x780001 : fraction);
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

int main(void)
{
    int wrong = 0;
    for (int32_t i = 0; i < 3000000 && wrong < 5; i++) {
        const uint32_t low = i % 3 == 0 ? 0 : 97;
        float a = number(low, 137), b = number(low, low + 40);
        wrong += differs("+", a, b, esp_dl_add_positive(a, b), a + b);
        wrong += differs("+", b, a, esp_dl_add_positive(b, a), b + a);
        wrong += differs("+", 0.0f, b, esp_dl_add_positive(0.0f, b), 0.0f + b);
        b = number(127, 150);
        wrong += differs("/", a, b, esp_dl_divide_positive(a, b), a / b);
        a = number(67, 137), b = number(67, 137);
        wrong += differs("*", a, b, esp_dl_multiply_positive(a, b), a * b);
        wrong += differs("*", a, 0.0f, esp_dl_multiply_positive(a, 0.0f), a * 0.0f);
    }
    wrong += differs("/", 0.0f, 1.0f, esp_dl_divide_positive(0.0f, 1.0f), 0.0f);
    return wrong != 0;
}
"""


@pytest.mark.parametrize("soft", [True, False], ids=["integers", "floats"])
def test_sums_products_and_quotients_are_rounded_right(soft, tmp_path):
    source, program = tmp_path / "program.c", tmp_path / "program"
    source.write_text(_PROGRAM)
    flags = [*STRICT, *SANITIZE, "-O2", "-ffp-contract=off", *(["-DESP_DL_SOFT_FLOAT"] if soft else [])]
    subprocess.run(["cc", "-std=c11", *flags, f"-I{SOURCES}", str(source), "-o", str(program)], check=True)
    done = subprocess.run([str(program)], stdout=subprocess.PIPE, text=True)
    assert done.returncode == 0, done.stdout
