"""The trace of a program: the C header that prints it, and the reader of what it printed."""
