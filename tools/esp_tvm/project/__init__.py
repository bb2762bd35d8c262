"""The project that an export writes: its files, how it fits the chip, and what users changed in it."""
