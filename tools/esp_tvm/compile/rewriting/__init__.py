"""Rewrites of Relay before patterns are matched: canonical forms, layout NHWC, the forms that kernels expect.

No rewrite changes the result of the module. All use the functions in `toolbox`.
"""

from ... import tvm_import  # noqa: F401  before every other import of TVM
