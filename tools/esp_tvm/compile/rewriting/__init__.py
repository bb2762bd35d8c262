"""What is done to Relay before patterns are matched: canonical forms, layout NHWC, the forms that kernels know.

No rewrite changes what the module computes. All are made of the parts in `toolbox`.
"""
