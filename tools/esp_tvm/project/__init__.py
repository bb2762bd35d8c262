"""The project that an export writes: its files, what fits the chip, and what people changed in it."""
