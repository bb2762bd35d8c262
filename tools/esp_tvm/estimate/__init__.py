"""How long an inference will take: an estimate, from instructions that were counted and from bytes that are moved."""

from .times import ERROR, estimate_program, saved_in_psram, sum_of

__all__ = ["ERROR", "estimate_program", "saved_in_psram", "sum_of"]
