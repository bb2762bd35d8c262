"""Front ends: turn the data of a camera or microphone into a model's input, in NumPy and in C with the same
integers."""
