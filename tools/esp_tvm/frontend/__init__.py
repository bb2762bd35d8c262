"""Front ends: what a camera or a microphone gives becomes a model's input, in NumPy and in C with the same integers."""
