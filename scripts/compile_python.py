"""Compiles Python files beside them (__pycache__), so that the times of the sources do not matter: not when the files
are used, and not for the bytes. For folders that nobody can write to later.

    python scripts/compile_python.py < list      the files, a line each; others than .py are left out
"""

import py_compile
import sys

if __name__ == "__main__":
    for name in sys.stdin.read().splitlines():
        if name.endswith(".py"):
            py_compile.compile(name, doraise=True, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
