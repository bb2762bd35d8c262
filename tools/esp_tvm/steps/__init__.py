"""The steps behind the make targets: which products are up to date, where they are written, and the environment of the
scripts.

Only the standard library: this runs before set-up, with whatever Python (3.8 or later) is there.
"""
